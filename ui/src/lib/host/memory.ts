import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";

import {
  failure,
  readFailure,
  type Args,
  type CommandName,
  type Host,
  type LiveListener,
  type Result,
} from "./host";

/** How a test answers commands; what is missing is refused. */
export type Answers = {
  [K in CommandName]?: (args: Args<K>) => Result<K> | Promise<Result<K>>;
};

/** A host for tests: answers from functions, and remembers what was asked. */
export class MemoryHost implements Host {
  readonly kind = "memory";
  /** Every call so far, oldest first. */
  readonly calls: { name: CommandName; args: unknown }[] = [];
  answers: Answers;
  readonly #listeners = new Set<LiveListener>();

  constructor(answers: Answers = {}) {
    this.answers = answers;
  }

  async call<K extends CommandName>(name: K, args: Args<K>): Promise<Result<K>> {
    this.calls.push({ name, args });
    const answer = this.answers[name];
    if (answer === undefined) throw failure(`The test has no answer for ${name}`, null);
    try {
      return await answer(args);
    } catch (error) {
      throw readFailure(name, error);
    }
  }

  listen(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    listener.connection("connected");
    return () => this.#listeners.delete(listener);
  }

  /** Sends an event to everyone who listens. */
  emit(event: LiveEvent): void {
    for (const listener of this.#listeners) listener.event(event);
  }

  /** Breaks or mends the connection. */
  connection(state: "connected" | "disconnected"): void {
    for (const listener of this.#listeners) listener.connection(state);
  }

  /** The arguments of every call of one command, oldest first. */
  callsOf<K extends CommandName>(name: K): Args<K>[] {
    return this.calls.filter((call) => call.name === name).map((call) => call.args as Args<K>);
  }

  fileUrl(handle: string): string {
    return `memory:${handle}`;
  }
}
