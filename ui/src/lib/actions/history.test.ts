import { expect, it } from "vitest";

import { History, type Step } from "./history.svelte";

/** A number that steps are added to and taken from. */
function counter() {
  const state = { value: 0, isBroken: false };
  const step = (name: string, by: number): Step => ({
    name,
    back: () => {
      if (state.isBroken) return Promise.reject(new Error("not now"));
      state.value -= by;
      return Promise.resolve(step(name, -by));
    },
  });
  const add = (history: History, by: number) => {
    state.value += by;
    history.add(step(`add ${String(by)}`, by));
  };
  return { state, add };
}

it("goes back and forth over what was done", async () => {
  const history = new History();
  const { state, add } = counter();
  add(history, 1);
  add(history, 10);
  expect([history.last, history.next]).toEqual(["add 10", undefined]);
  expect(await history.undo()).toBe("add 10");
  expect([state.value, history.last, history.next]).toEqual([1, "add 1", "add 10"]);
  await history.undo();
  expect([state.value, history.last]).toEqual([0, undefined]);
  expect(await history.undo()).toBeUndefined();
  await history.redo();
  await history.redo();
  expect([state.value, history.last, history.next]).toEqual([11, "add 10", undefined]);
});

it("forgets what was undone once something else is done", async () => {
  const history = new History();
  const { state, add } = counter();
  add(history, 1);
  await history.undo();
  add(history, 5);
  expect(await history.redo()).toBeUndefined();
  expect(state.value).toBe(5);
});

it("keeps a step that could not be taken back", async () => {
  const history = new History();
  const { state, add } = counter();
  add(history, 1);
  state.isBroken = true;
  await expect(history.undo()).rejects.toThrow("not now");
  expect([history.last, history.isBusy]).toEqual(["add 1", false]);
  state.isBroken = false;
  await history.undo();
  expect(state.value).toBe(0);
});
