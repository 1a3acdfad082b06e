/**
 * Live events become answers: what an event carries is put into the cache, what it only names is
 * asked again. The one place where a live event meets the cache.
 */
import type { Query, QueryClient } from "@tanstack/svelte-query";

import type { Host } from "$lib/host";
import type { Job } from "$lib/rpc/bindings/Job";
import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";
import type { StoreStatus } from "$lib/rpc/bindings/StoreStatus";

import { Lane } from "./lane";
import { isStale, type Cause } from "./stale";

const EVERYTHING: Cause = {
  type: "changed",
  experiments: true,
  runs_in: [],
  runs: [],
  models: true,
  everything: true,
};

export class Live {
  /** Whether the program can be reached; optimistic until the host says otherwise. */
  isConnected = $state(true);

  readonly #client: QueryClient;
  readonly #lanes = new Map<string, Lane>();
  readonly #listeners = new Set<(event: LiveEvent) => void>();

  constructor(client: QueryClient) {
    this.#client = client;
  }

  /** Listens to the host until the function that comes back is called. */
  start(host: Host): () => void {
    // Unlike `isConnected` not optimistic: what happens before the host listens is never told.
    let isTold = false;
    const stop = host.listen({
      event: (event) => {
        this.apply(event);
      },
      connection: (state) => {
        const wasTold = isTold;
        isTold = state === "connected";
        this.isConnected = isTold;
        if (isTold && !wasTold) this.apply({ type: "resync" });
      },
    });
    return () => {
      stop();
      for (const lane of this.#lanes.values()) lane.stop();
      this.#lanes.clear();
    };
  }

  /** Hands every event on, after the cache knows it; for what is not kept in the cache. */
  subscribe(listener: (event: LiveEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Brings the cache up to date with one event. */
  apply(event: LiveEvent): void {
    switch (event.type) {
      case "changed":
      case "resync":
      case "queue":
      case "log":
      case "projects":
        this.#refresh(event);
        break;
      case "store": {
        const before = this.#client.getQueryData<StoreStatus | null>(["store.status"]);
        this.#client.setQueryData(["store.status"], event.status);
        if (before?.path !== event.status?.path) this.#forget();
        else if (before?.has_runs !== event.status?.has_runs) {
          // Whoever shows the first run looks in this list for where it is.
          void this.#client.invalidateQueries({ queryKey: ["experiments.list"] });
        }
        break;
      }
      case "job":
        this.#client.setQueryData<Job[]>(["jobs.list"], (jobs) => withJob(jobs, event.job));
        break;
      case "settings":
        this.#client.setQueryData(["settings.get"], event.settings);
        break;
    }
    for (const listener of this.#listeners) listener(event);
  }

  /** Each command refreshes in a lane of its own, so that a slow one does not hold up the others. */
  #refresh(change: Cause): void {
    const commands = new Set<string>();
    for (const query of this.#client.getQueryCache().getAll()) {
      if (isStale(query.queryKey, change)) commands.add(String(query.queryKey[0]));
    }
    for (const command of commands) {
      let lane = this.#lanes.get(command);
      if (lane === undefined) {
        lane = new Lane((changes) => this.#askAgain(command, changes));
        this.#lanes.set(command, lane);
      }
      lane.push(change);
    }
  }

  /** What is shown of one command is asked again now, the rest when it is shown. */
  async #askAgain(command: string, changes: Cause[]): Promise<void> {
    const path = this.#storePath();
    const old = this.#client.getQueryCache().findAll({
      queryKey: [command],
      predicate: (query) => changes.some((change) => isStale(query.queryKey, change)),
    });
    await Promise.all(
      old.map(async (query) => {
        await firstAnswer(query);
        await this.#client.invalidateQueries({ queryKey: query.queryKey, exact: true });
      }),
    );
    // Among the lost events was the one that another store was opened.
    if (command === "store.status" && this.#storePath() !== path) this.#forget();
  }

  #storePath(): string | undefined {
    return this.#client.getQueryData<StoreStatus | null>(["store.status"])?.path;
  }

  /** Another store is open: no old answer may be shown for a moment. */
  #forget(): void {
    const isOfTheData = (key: readonly unknown[]) => isStale(key, EVERYTHING);
    this.#client.removeQueries({
      predicate: (query) => !query.isActive() && isOfTheData(query.queryKey),
    });
    void this.#client.resetQueries({ predicate: (query) => isOfTheData(query.queryKey) });
  }
}

/**
 * Waits for a question that is asked for the first time: it is not asked anew while it is under way,
 * and what it answers may be of before the change.
 */
async function firstAnswer(query: Query): Promise<void> {
  if (query.state.data !== undefined || query.state.fetchStatus === "idle") return;
  await query.promise?.catch(() => undefined);
}

function withJob(jobs: Job[] | undefined, job: Job): Job[] {
  if (jobs === undefined) return [job];
  const isKnown = jobs.some((known) => known.job_id === job.job_id);
  return isKnown
    ? jobs.map((known) => (known.job_id === job.job_id ? job : known))
    : [...jobs, job];
}
