import type { Cause } from "./stale";

/** The shortest time between two refreshes of one command, in milliseconds. */
const SHORTEST_PAUSE_MS = 150;

/**
 * Gathers changes and refreshes for all of them at once: one refresh at a time, then a pause of at
 * least twice the time that it took. The last change is never dropped, so what is shown ends right.
 */
export class Lane {
  readonly #refresh: (changes: Cause[]) => Promise<unknown>;
  #waiting: Cause[] = [];
  #isBusy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(refresh: (changes: Cause[]) => Promise<unknown>) {
    this.#refresh = refresh;
  }

  push(change: Cause): void {
    this.#waiting.push(change);
    if (!this.#isBusy) void this.#run();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
    this.#isBusy = true;
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    const changes = this.#waiting;
    this.#waiting = [];
    const start = performance.now();
    try {
      await this.#refresh(changes);
    } catch {
      // The question itself keeps its failure; the screen that asked shows it.
    }
    const pause = Math.max(SHORTEST_PAUSE_MS, 2 * (performance.now() - start));
    this.#timer = setTimeout(() => {
      this.#isBusy = false;
      if (this.#waiting.length > 0) void this.#run();
    }, pause);
  }
}
