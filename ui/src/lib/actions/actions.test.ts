import { describe, expect, it, vi } from "vitest";

import { shortcutKeys } from "$lib/parts/shortcut";

import { Actions } from "./actions.svelte";
import { inGroups } from "./groups";
import { matchesShortcut } from "./shortcut";

function press(key: string, modifiers: KeyboardEventInit = {}, target: Element = document.body) {
  const event = new KeyboardEvent("keydown", {
    key,
    bubbles: true,
    cancelable: true,
    ...modifiers,
  });
  Object.defineProperty(event, "target", { value: target });
  return event;
}

describe("shortcuts", () => {
  it.each<[string, string, KeyboardEventInit, boolean]>([
    ["$mod+K", "k", { ctrlKey: true }, true],
    ["$mod+K", "K", { ctrlKey: true, shiftKey: true }, false],
    ["$mod+K", "k", {}, false],
    ["$mod+K", "k", { ctrlKey: true, altKey: true }, false],
    ["/", "/", {}, true],
    // A German keyboard needs Shift for the slash.
    ["/", "/", { shiftKey: true }, true],
    ["?", "?", { shiftKey: true }, true],
    ["c", "c", { ctrlKey: true }, false],
  ])("%s and %s %o: %s", (shortcut, key, modifiers, expected) => {
    expect(matchesShortcut(shortcut, press(key, modifiers), false)).toBe(expected);
  });

  it("take the command key on a Mac", () => {
    expect(matchesShortcut("$mod+K", press("k", { metaKey: true }), true)).toBe(true);
    expect(matchesShortcut("$mod+K", press("k", { ctrlKey: true }), true)).toBe(false);
  });

  it("are written as people read them", () => {
    expect(shortcutKeys("$mod+Shift+Z", false)).toEqual(["Ctrl", "Shift", "Z"]);
    expect(shortcutKeys("$mod+K", true)).toEqual(["⌘", "K"]);
    expect(shortcutKeys("Shift+?", false)).toEqual(["?"]);
    expect(shortcutKeys("ArrowUp ArrowDown", false)).toEqual(["↑", "↓"]);
  });
});

describe("actions", () => {
  const action = (id: string, run: () => void, more = {}) => ({
    id,
    name: id,
    group: "g",
    run,
    ...more,
  });

  it("run by their key, the one added last first", () => {
    const actions = new Actions();
    const [first, second] = [vi.fn(), vi.fn()];
    actions.add(action("a", first, { shortcut: "/" }));
    const remove = actions.add(action("b", second, { shortcut: "/" }));
    actions.onkeydown(press("/"));
    expect([first, second].map((run) => run.mock.calls.length)).toEqual([0, 1]);
    remove();
    actions.onkeydown(press("/"));
    expect([first, second].map((run) => run.mock.calls.length)).toEqual([1, 1]);
  });

  it("leave plain keys to a field that has the focus", () => {
    const actions = new Actions();
    const run = vi.fn();
    actions.add(action("a", run, { shortcut: "/" }), action("b", run, { shortcut: "$mod+K" }));
    const field = document.createElement("input");
    actions.onkeydown(press("/", {}, field));
    expect(run).not.toHaveBeenCalled();
    actions.onkeydown(press("k", { ctrlKey: true }, field));
    expect(run).toHaveBeenCalledOnce();
  });

  it("leave every key to a dialog, so that no second one opens over it", () => {
    const actions = new Actions();
    const run = vi.fn();
    actions.add(action("a", run, { shortcut: "$mod+O" }));
    const dialog = document.createElement("div");
    dialog.setAttribute("role", "dialog");
    const field = dialog.appendChild(document.createElement("input"));
    actions.onkeydown(press("o", { ctrlKey: true }, field));
    expect(run).not.toHaveBeenCalled();
  });

  it("do nothing while they are not possible", () => {
    const actions = new Actions();
    const run = vi.fn();
    actions.add(action("a", run, { shortcut: "x", isEnabled: () => false }));
    const event = press("x");
    actions.onkeydown(event);
    expect(run).not.toHaveBeenCalled();
    expect(event.defaultPrevented).toBe(false);
    expect(actions.enabled).toEqual([]);
  });

  it("are replaced under the same id, and taking away the old one keeps the new one", () => {
    const actions = new Actions();
    const remove = actions.add(action("a", vi.fn()));
    const next = action("a", vi.fn());
    actions.add(next);
    remove();
    expect(actions.find("a")).toBe(next);
  });
});

describe("groups", () => {
  it("stand in the same order whichever was added first", () => {
    const action = (group: string) => ({ id: group, name: group, group, run: () => undefined });
    const expected = ["Run", "Go to", "Store", "Window"];
    const names = (groups: string[]) => [...inGroups(groups.map(action)).keys()];
    expect(names(["Window", "Go to", "Store", "Run"])).toEqual(expected);
    expect(names(["Run", "Store", "Window", "Go to"])).toEqual(expected);
  });
});

it("leaves keys to what has them of its own, and stays possible", () => {
  const actions = new Actions();
  const run = vi.fn();
  let isTaken = true;
  actions.add({ id: "a", name: "A", group: "G", shortcut: "a", leavesKeys: () => isTaken, run });
  const press = () => {
    const event = new KeyboardEvent("keydown", { key: "a", cancelable: true });
    actions.onkeydown(event);
    return event.defaultPrevented;
  };
  expect(press()).toBe(false);
  expect(actions.enabled).toHaveLength(1);
  isTaken = false;
  expect(press()).toBe(true);
  expect(run).toHaveBeenCalledOnce();
});
