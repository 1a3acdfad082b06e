import { QueryObserver } from "@tanstack/svelte-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";
import type { StoreStatus } from "$lib/rpc/bindings/StoreStatus";
import { newQueryClient } from "$lib/rpc";

import { MemoryHost } from "../host/memory";
import { Live } from "./live.svelte";
import { isStale } from "./stale";

type Changed = Extract<LiveEvent, { type: "changed" }>;

const NOTHING: Changed = {
  type: "changed",
  experiments: false,
  runs_in: [],
  runs: [],
  models: false,
  everything: false,
};

const STATUS: StoreStatus = {
  path: "/home/ada/churn",
  display_path: "~/churn",
  revision: "1",
  mlflow_release: "3.0",
  read_only: null,
  server: { state: "off", reason: "" },
  running_runs: 0,
  has_runs: true,
  disk_free_bytes: null,
};

const RUN = { run_id: "r1", facts: false, metrics: false, artifacts: false };

describe("what a change makes old", () => {
  const page = ["runs.page", { experimentIds: ["1", "2"] }, {}];
  it.each<[string, readonly unknown[], Partial<Changed>, boolean]>([
    ["rows of its experiment", page, { runs_in: ["2"] }, true],
    ["not rows of another", page, { runs_in: ["3"] }, false],
    [
      "columns of its experiment",
      ["runs.columns", { experimentIds: ["2"] }],
      { runs_in: ["2"] },
      true,
    ],
    [
      "the parts of a run by a run of its experiment",
      ["run.parts", { runId: "r1", experimentIds: ["2"] }],
      { runs_in: ["2"] },
      true,
    ],
    [
      "not the parts of a run elsewhere",
      ["run.parts", { runId: "r1", experimentIds: ["2"] }],
      { runs_in: ["3"] },
      false,
    ],
    ["counts of experiments", ["experiments.list"], { runs_in: ["9"] }, true],
    [
      "a run's page by facts",
      ["run.get", { runId: "r1" }],
      { runs: [{ ...RUN, facts: true }] },
      true,
    ],
    [
      "a run's page by metrics",
      ["run.get", { runId: "r1" }],
      { runs: [{ ...RUN, metrics: true }] },
      true,
    ],
    ["not another run's", ["run.get", { runId: "r2" }], { runs: [{ ...RUN, facts: true }] }, false],
    [
      "not its series by facts",
      ["series.get", { runId: "r1" }, {}],
      { runs: [{ ...RUN, facts: true }] },
      false,
    ],
    [
      "its series",
      ["series.get", { runId: "r1" }, {}],
      { runs: [{ ...RUN, metrics: true }] },
      true,
    ],
    [
      "charts of several runs by one's metrics",
      ["chart.series", { runIds: ["r2", "r1"] }, {}],
      { runs: [{ ...RUN, metrics: true }] },
      true,
    ],
    [
      "not charts of others",
      ["chart.series", { runIds: ["r2"] }, {}],
      { runs: [{ ...RUN, metrics: true }] },
      false,
    ],
    [
      "not charts by files",
      ["chart.series", { runIds: ["r1"] }, {}],
      { runs: [{ ...RUN, artifacts: true }] },
      false,
    ],
    [
      "its files",
      ["artifacts.list", { runId: "r1" }, ""],
      { runs: [{ ...RUN, artifacts: true }] },
      true,
    ],
    ["models", ["model.get", "churn"], { models: true }, true],
    ["not models by runs", ["models.list"], { runs_in: ["1"] }, false],
    ["all data by everything", ["series.get", { runId: "r1" }, {}], { everything: true }, true],
    ["not the status line", ["store.status"], { everything: true }, false],
    ["not jobs", ["jobs.list"], { everything: true }, false],
  ])("%s", (_, key, change, expected) => {
    expect(isStale(key, { ...NOTHING, ...change })).toBe(expected);
  });
});

describe("live events", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  function setUp() {
    const client = newQueryClient();
    const host = new MemoryHost();
    const live = new Live(client);
    const stop = live.start(host);
    return { client, host, live, stop };
  }

  /** Counts how often a question is asked while a screen shows it. */
  function show(client: ReturnType<typeof newQueryClient>, queryKey: unknown[]) {
    const ask = vi.fn(() => Promise.resolve(0));
    const observer = new QueryObserver(client, { queryKey, queryFn: ask });
    return { ask, stop: observer.subscribe(() => undefined) };
  }

  it("put a job and the settings where they are read", () => {
    const { client, host } = setUp();
    const job = {
      job_id: "1",
      title: "a",
      step: "x",
      progress: null,
      log: [],
      state: { state: "running" as const },
    };
    host.emit({ type: "job", job });
    host.emit({ type: "job", job: { ...job, step: "y" } });
    expect(client.getQueryData(["jobs.list"])).toEqual([{ ...job, step: "y" }]);
    host.emit({
      type: "settings",
      settings: { theme: "dark", recent_stores: [], port: null, requires_token: false },
    });
    expect(client.getQueryData(["settings.get"])).toMatchObject({ theme: "dark" });
  });

  it("forget what was known of another store", async () => {
    const { client, host } = setUp();
    client.setQueryData(["store.status"], STATUS);
    client.setQueryData(["models.list"], []);
    client.setQueryData(["app.info"], { version: "1" });
    const shown = show(client, ["experiments.list"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(shown.ask).toHaveBeenCalledTimes(1);
    host.emit({ type: "store", status: { ...STATUS, path: "/home/ada/other" } });
    expect(client.getQueryData(["models.list"])).toBeUndefined();
    expect(client.getQueryData(["app.info"])).toBeDefined();
    await vi.advanceTimersByTimeAsync(0);
    expect(shown.ask).toHaveBeenCalledTimes(2);
  });

  it("keep the answers when only the status line moves", () => {
    const { client, host } = setUp();
    client.setQueryData(["store.status"], STATUS);
    client.setQueryData(["models.list"], []);
    host.emit({ type: "store", status: { ...STATUS, running_runs: 3 } });
    expect(client.getQueryData(["models.list"])).toEqual([]);
    expect(client.getQueryData(["store.status"])).toMatchObject({ running_runs: 3 });
  });

  it("are gathered: a burst asks at once and once more, and the last change counts", async () => {
    const { client, host } = setUp();
    const shown = show(client, ["experiments.list"]);
    await vi.advanceTimersByTimeAsync(0);
    shown.ask.mockClear();
    for (let burst = 0; burst < 20; burst += 1) {
      host.emit({ ...NOTHING, runs_in: ["1"] });
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(shown.ask).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(shown.ask).toHaveBeenCalledTimes(2);
  });

  it("ask for everything again after the connection was lost", async () => {
    const { client, host, live } = setUp();
    const shown = show(client, ["store.status"]);
    await vi.advanceTimersByTimeAsync(0);
    host.connection("disconnected");
    expect(live.isConnected).toBe(false);
    host.connection("connected");
    expect(live.isConnected).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(shown.ask).toHaveBeenCalledTimes(2);
  });

  it("that were lost make every answer old, and what is shown is asked for again", async () => {
    const { client, host } = setUp();
    const keys: unknown[][] = [
      ["app.info"],
      ["store.status"],
      ["settings.get"],
      ["jobs.list"],
      ["experiments.list"],
      ["runs.page", { experimentIds: ["1"] }, {}],
      ["runs.columns", { experimentIds: ["1"] }],
      ["run.get", { runId: "r1" }],
      ["series.get", { runId: "r1" }, {}],
      ["artifacts.list", { runId: "r1" }, ""],
      ["artifact.preview", { runId: "r1" }, "model.txt"],
      ["models.list"],
      ["model.get", "churn"],
    ];
    const shown = keys.map((key) => show(client, key));
    client.setQueryData(["run.get", { runId: "out of sight" }], {});
    await vi.advanceTimersByTimeAsync(0);
    host.emit({ type: "resync" });
    await vi.advanceTimersByTimeAsync(0);
    expect(shown.map(({ ask }) => ask.mock.calls.length)).toEqual(keys.map(() => 2));
    const hidden = client.getQueryState(["run.get", { runId: "out of sight" }]);
    expect(hidden?.isInvalidated).toBe(true);
  });

  it("that are lost again and again ask at once and once more", async () => {
    const { client, host } = setUp();
    const shown = show(client, ["experiments.list"]);
    await vi.advanceTimersByTimeAsync(0);
    for (let loss = 0; loss < 20; loss += 1) {
      host.emit({ type: "resync" });
      await vi.advanceTimersByTimeAsync(1);
    }
    await vi.advanceTimersByTimeAsync(2_000);
    expect(shown.ask).toHaveBeenCalledTimes(3);
  });

  it("that were lost forget another store when the status line tells of it", async () => {
    const { client, host } = setUp();
    let status = STATUS;
    const ask = () => Promise.resolve(status);
    new QueryObserver(client, { queryKey: ["store.status"], queryFn: ask }).subscribe(() => {
      // Only shown.
    });
    await vi.advanceTimersByTimeAsync(0);
    client.setQueryData(["models.list"], []);
    host.emit({ type: "resync" });
    await vi.advanceTimersByTimeAsync(500);
    expect(client.getQueryData(["models.list"])).toEqual([]);
    status = { ...STATUS, path: "/home/ada/other" };
    host.emit({ type: "resync" });
    await vi.advanceTimersByTimeAsync(0);
    expect(client.getQueryData(["models.list"])).toBeUndefined();
  });

  it("between the first answers and the first listening are made up for", async () => {
    const client = newQueryClient();
    let runs = ["r1"];
    const observer = new QueryObserver(client, {
      queryKey: ["runs.page", { experimentIds: ["1"] }, {}],
      queryFn: () => Promise.resolve(runs),
    });
    observer.subscribe(() => undefined);
    await vi.advanceTimersByTimeAsync(0);
    runs = ["r1", "r2"];
    expect(observer.getCurrentResult().data).toEqual(["r1"]);
    new Live(client).start(new MemoryHost());
    await vi.advanceTimersByTimeAsync(0);
    expect(observer.getCurrentResult().data).toEqual(["r1", "r2"]);
  });

  it("during a first question ask it again once it is answered", async () => {
    const { client, host } = setUp();
    let answerFirst: (runs: string[]) => void = () => undefined;
    const first = new Promise<string[]>((resolve) => (answerFirst = resolve));
    const answers = [first, Promise.resolve(["r1", "r2"])];
    const observer = new QueryObserver(client, {
      queryKey: ["runs.page", { experimentIds: ["1"] }, {}],
      queryFn: () => answers.shift() ?? Promise.reject(new Error("asked too often")),
    });
    observer.subscribe(() => undefined);
    await vi.advanceTimersByTimeAsync(0);
    host.emit({ ...NOTHING, runs_in: ["1"] });
    await vi.advanceTimersByTimeAsync(0);
    answerFirst(["r1"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(observer.getCurrentResult().data).toEqual(["r1", "r2"]);
  });

  it("are not taken for lost when the host says twice that it is connected", async () => {
    const { client, host } = setUp();
    const shown = show(client, ["experiments.list"]);
    await vi.advanceTimersByTimeAsync(0);
    host.connection("connected");
    await vi.advanceTimersByTimeAsync(500);
    expect(shown.ask).toHaveBeenCalledTimes(1);
  });

  it("reach nobody after the end", () => {
    const { client, host, stop } = setUp();
    stop();
    host.emit({
      type: "settings",
      settings: { theme: "dark", recent_stores: [], port: null, requires_token: false },
    });
    expect(client.getQueryData(["settings.get"])).toBeUndefined();
  });
});
