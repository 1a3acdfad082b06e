import { groupBy } from "$lib/parts/group";

import type { Action } from "./actions.svelte";

/** What belongs to the page comes first, then these. */
const LAST = ["Changes", "Go to", "Store", "Recent stores", "Appearance", "Window"];

/** Actions under their headings, in an order that does not depend on which was added first. */
export function inGroups(actions: readonly Action[]): Map<string, Action[]> {
  const place = (action: Action) => LAST.indexOf(action.group);
  return groupBy(
    actions.toSorted((a, b) => place(a) - place(b)),
    (action) => action.group,
  );
}
