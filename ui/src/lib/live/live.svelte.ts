/**
 * Live events become answers: what an event carries is put into the cache, what it only names is
 * asked again. The one place where a live event meets the cache.
 */
import type { QueryClient } from "@tanstack/svelte-query";

import type { Host } from "$lib/host";
import type { Job } from "$lib/rpc/bindings/Job";
import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";
import type { StoreStatus } from "$lib/rpc/bindings/StoreStatus";

import { Lane } from "./lane";
import { isStale } from "./stale";

type Changed = Extract<LiveEvent, { type: "changed" }>;

const EVERYTHING: Changed = {
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
    const stop = host.listen({
      event: (event) => {
        this.apply(event);
      },
      connection: (state) => {
        const wasConnected = this.isConnected;
        this.isConnected = state === "connected";
        // Events were lost meanwhile, so every answer may be old.
        if (!wasConnected && this.isConnected) void this.#client.invalidateQueries();
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
  #refresh(change: Changed): void {
    const commands = new Set<string>();
    for (const query of this.#client.getQueryCache().getAll()) {
      if (isStale(query.queryKey, change)) commands.add(String(query.queryKey[0]));
    }
    for (const command of commands) {
      let lane = this.#lanes.get(command);
      if (lane === undefined) {
        lane = new Lane((changes) =>
          this.#client.invalidateQueries({
            predicate: (query) =>
              query.queryKey[0] === command &&
              changes.some((change) => isStale(query.queryKey, change)),
          }),
        );
        this.#lanes.set(command, lane);
      }
      lane.push(change);
    }
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

function withJob(jobs: Job[] | undefined, job: Job): Job[] {
  if (jobs === undefined) return [job];
  const isKnown = jobs.some((known) => known.job_id === job.job_id);
  return isKnown
    ? jobs.map((known) => (known.job_id === job.job_id ? job : known))
    : [...jobs, job];
}
