import { createContext } from "svelte";
import { SvelteMap } from "svelte/reactivity";

import type { MenuEntry } from "$lib/parts";

import { History } from "./history.svelte";
import { isTyping, matchesShortcut } from "./shortcut";

/** Something a person can do. Buttons, menus, the palette and keys all run the same object. */
export interface Action {
  /** Stable and unique: `store.open_folder`. */
  id: string;
  /** What happens, as on the button: `Open a folder…`. */
  name: string;
  /** The heading it stands under in the palette and in the list of keys. */
  group: string;
  /** As `matchesShortcut` reads it. */
  shortcut?: string;
  /** Read when its keys are pressed: whether they are something else's then, as a field's Ctrl+Z. */
  leavesKeys?: () => boolean;
  /** Read each time; an action without it is always possible. */
  isEnabled?: () => boolean;
  run: () => unknown;
}

/** The actions that are possible on this page, in the order they were added. */
export class Actions {
  /** What was done here and can be taken back. */
  readonly history = new History();
  readonly #byId = new SvelteMap<string, Action>();

  get all(): Action[] {
    return [...this.#byId.values()];
  }

  get enabled(): Action[] {
    return this.all.filter(isEnabled);
  }

  find(id: string): Action | undefined {
    return this.#byId.get(id);
  }

  /** Adds actions until the function that comes back is called; made for `$effect`. */
  add(...actions: Action[]): () => void {
    for (const action of actions) this.#byId.set(action.id, action);
    return () => {
      for (const action of actions) {
        if (this.#byId.get(action.id) === action) this.#byId.delete(action.id);
      }
    };
  }

  /** Runs the action whose shortcut was pressed; the one added last wins. */
  onkeydown(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.isComposing) return;
    const isPlain = !event.ctrlKey && !event.metaKey;
    if (isIn("[role=dialog]", event.target)) return; // It asks for an answer first.
    if (isPlain && (isTyping(event.target) || isIn("[role=menu]", event.target))) return;
    const action = this.all.findLast(
      ({ shortcut }) => shortcut !== undefined && matchesShortcut(shortcut, event),
    );
    if (action === undefined || !isEnabled(action) || action.leavesKeys?.()) return;
    event.preventDefault();
    action.run();
  }
}

export function isEnabled(action: Action): boolean {
  return action.isEnabled?.() ?? true;
}

/** An action as a line of a menu. */
export function menuEntry(action: Action): MenuEntry {
  return {
    kind: "item",
    name: action.name,
    shortcut: action.shortcut,
    isDisabled: !isEnabled(action),
    run: () => action.run(),
  };
}

function isIn(selector: string, target: EventTarget | null): boolean {
  return target instanceof Element && target.closest(selector) !== null;
}

/** The actions of this page, set by the layout. */
export const [useActions, provideActions] = createContext<Actions>();
