/** Puts a component on a page of its own, with a program that answers from functions. */
import { render } from "@testing-library/svelte";
import type { Component } from "svelte";

import { useHost } from "$lib/host";
import { MemoryHost, type Answers } from "$lib/host/memory";

import Stage from "./Stage.svelte";

/** The component on the page, and the program behind it. */
export interface Staged<Props> {
  readonly host: MemoryHost;
  /** Gives the component other properties; those left out stay. */
  update(props: Partial<Props>): Promise<void>;
}

/** Draws a component whose commands are answered by `answers`. */
export function stage<Props extends Record<string, unknown>>(
  subject: Component<Props>,
  props: Props,
  answers: Answers,
): Staged<Props> {
  const host = new MemoryHost(answers);
  useHost(host);
  let current = props;
  const drawn = render(Stage as Component<{ subject: Component<Props>; given: Props }>, {
    subject,
    given: props,
  });
  return {
    host,
    async update(changed) {
      current = { ...current, ...changed };
      await drawn.rerender({ given: current });
    },
  };
}
