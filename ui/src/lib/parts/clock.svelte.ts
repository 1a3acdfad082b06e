import { createSubscriber } from "svelte/reactivity";

/**
 * The time now, in milliseconds since 1970: moves each second while something on the screen reads
 * it, and not at all otherwise.
 */
class Clock {
  #now = Date.now();
  readonly #subscribe = createSubscriber((update) => {
    this.#now = Date.now();
    const timer = setInterval(() => {
      this.#now = Date.now();
      update();
    }, 1000);
    return () => clearInterval(timer);
  });

  get now(): number {
    this.#subscribe();
    return this.#now;
  }
}

export const clock = new Clock();
