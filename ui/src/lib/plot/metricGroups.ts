/** The metrics of runs as they stand on a page: searched, and grouped by what precedes the `/`. */
import { matcherOf } from "$lib/parts/search";

/** Metrics whose keys begin alike. */
export interface MetricGroup {
  /** What precedes the first `/` of their keys; empty for keys without one. */
  readonly prefix: string;
  readonly keys: readonly string[];
}

/** Compares `layer 9` before `layer 10`. In English order, so that a list is the same everywhere. */
const byName = new Intl.Collator("en", { numeric: true }).compare;

/** What MLflow's own measurements of the machine begin with. */
const SYSTEM = "system";

/**
 * Groups keys: those without a prefix first, then by prefix, the machine's (`system/`) last. Within
 * a group keys stand as people count. What a search found is one group, so that it stands together.
 */
export function groupMetrics(keys: readonly string[], search: string): MetricGroup[] {
  const sorted = [...keys].sort(byName);
  if (search.trim() !== "") {
    const { matches } = matcherOf(search);
    const found = sorted.filter(matches);
    return found.length === 0 ? [] : [{ prefix: "", keys: found }];
  }
  const groups = new Map<string, string[]>();
  for (const key of sorted) {
    const slash = key.indexOf("/");
    const prefix = slash > 0 ? key.slice(0, slash) : "";
    const group = groups.get(prefix);
    if (group) group.push(key);
    else groups.set(prefix, [key]);
  }
  const rank = (prefix: string) => (prefix === "" ? 0 : prefix === SYSTEM ? 2 : 1);
  return [...groups]
    .map(([prefix, members]) => ({ prefix, keys: members }))
    .sort((a, b) => rank(a.prefix) - rank(b.prefix) || (a.prefix < b.prefix ? -1 : 1));
}
