/** What a person changed, and the way back and forth. */
import { CommandFailure } from "$lib/host";
import { toast } from "$lib/parts";

/** A change that was made. */
export interface Step {
  /** What was done, as it stands behind “Undo”: `delete 3 runs`. */
  name: string;
  /** Takes it back; what comes back makes it again. It stays to be taken back if this fails. */
  back: () => Promise<Step>;
}

/** More steps than these are forgotten, the oldest first. */
const MOST = 100;

export class History {
  #done: Step[] = $state.raw([]);
  #undone: Step[] = $state.raw([]);
  /** One after the other: a second press while one is under way does nothing. */
  #isBusy = $state(false);

  /** What `undo` would take back. */
  get last(): string | undefined {
    return this.#done.at(-1)?.name;
  }

  /** What `redo` would make again. */
  get next(): string | undefined {
    return this.#undone.at(-1)?.name;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Notes a change that was made; what was undone before cannot be made again any more. */
  add(step: Step): void {
    this.#done = [...this.#done, step].slice(-MOST);
    this.#undone = [];
  }

  /** Forgets everything: what it was about is out of reach, as after another store was opened. */
  clear(): void {
    this.#done = [];
    this.#undone = [];
  }

  /** Takes the last change back; its name, `undefined` if there was none. */
  async undo(): Promise<string | undefined> {
    return this.#move(this.#done, (rest, made) => {
      this.#done = rest;
      this.#undone = [...this.#undone, made];
    });
  }

  /** Makes again what was taken back last; its name, `undefined` if there was nothing. */
  async redo(): Promise<string | undefined> {
    return this.#move(this.#undone, (rest, made) => {
      this.#undone = rest;
      this.#done = [...this.#done, made];
    });
  }

  async #move(
    from: Step[],
    settle: (rest: Step[], made: Step) => void,
  ): Promise<string | undefined> {
    const step = from.at(-1);
    if (step === undefined || this.#isBusy) return undefined;
    this.#isBusy = true;
    try {
      const made = await step.back();
      settle(from.slice(0, -1), made);
      return step.name;
    } finally {
      this.#isBusy = false;
    }
  }
}

/** Says why a change could not be made, or not be taken back. */
export function refused(error: unknown): undefined {
  const { message, hint } =
    error instanceof CommandFailure ? error : { message: String(error), hint: null };
  toast.error(message, { description: hint ?? "", duration: 12_000 });
}
