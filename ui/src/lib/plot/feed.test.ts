import { describe, expect, it, vi } from "vitest";
import type { Series } from "$lib/rpc/bindings/Series";
import type { SeriesRequest } from "$lib/rpc/bindings/SeriesRequest";
import { SeriesFeed, type FeedState } from "./feed";

/** A store with one metric: its points in the order in which they were logged. */
class FakeStore {
  readonly requests: SeriesRequest[] = [];
  generation = 0;
  failure: Error | null = null;
  /** Answers wait for it. */
  gate: Promise<unknown> = Promise.resolve();
  constructor(public logged: [step: number, value: number][]) {}

  getSeries = async (request: SeriesRequest): Promise<Series> => {
    this.requests.push(request);
    await this.gate;
    if (this.failure) throw this.failure;
    const [generation, count] = (request.after ?? `${this.generation}:0`).split(":").map(Number);
    const restarted = generation !== this.generation;
    const from = restarted ? 0 : (count ?? 0);
    const rows = this.logged.slice(from).sort((a, b) => a[0] - b[0]);
    const isReduced = request.after === null && rows.length > 2 * request.width_px;
    const kept = isReduced ? rows.slice(-2 * request.width_px) : rows;
    return {
      steps: kept.map((row) => row[0]),
      timestamps: kept.map((row) => row[0] * 1_000),
      values: kept.map((row) => row[1]),
      total_points: this.logged.length,
      is_reduced: isReduced,
      cursor: this.logged.length === 0 ? null : `${this.generation}:${this.logged.length}`,
      restarted,
    };
  };
}

function open(store: FakeStore) {
  const states: FeedState[] = [];
  const feed = new SeriesFeed(
    { runId: "r", metricKey: "loss", getSeries: store.getSeries, pauseMs: 0 },
    (state) => states.push(state),
  );
  return { feed, states };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

/** Holds back the answers of a store until the function that comes back is called. */
function hold(store: FakeStore): () => void {
  let open: (value: unknown) => void = () => undefined;
  store.gate = new Promise((resolve) => (open = resolve));
  return () => {
    store.gate = Promise.resolve();
    open(undefined);
  };
}

const widths = (store: FakeStore) =>
  store.requests.map((request) => [request.width_px, request.after]);

function steps(feed: SeriesFeed): readonly number[] {
  if (feed.current.state !== "ready") throw new Error(`it is ${feed.current.state}`);
  return feed.current.points.steps;
}

describe("series feed", () => {
  it("asks for nothing before it knows its width", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.changed();
    await settle();
    expect(store.requests).toEqual([]);
    expect(feed.current.state).toBe("waiting");
  });

  it("loads all points once, reduced for the width", async () => {
    const store = new FakeStore([
      [0, 1],
      [1, 2],
    ]);
    const { feed } = open(store);
    feed.resize(400.4);
    await settle();
    expect(store.requests).toEqual([
      { run_id: "r", metric_key: "loss", width_px: 400, after: null },
    ]);
    expect(steps(feed)).toEqual([0, 1]);
  });

  it("asks for what came after its cursor and appends it", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    store.logged.push([1, 2]);
    feed.changed();
    await settle();
    expect(store.requests[1]?.after).toBe("0:1");
    expect(steps(feed)).toEqual([0, 1]);
  });

  it("starts from an empty series", async () => {
    const store = new FakeStore([]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    expect(steps(feed)).toEqual([]);
    store.logged.push([0, 1]);
    feed.changed();
    await settle();
    expect(steps(feed)).toEqual([0]);
  });

  it("asks for the whole when a step came out of order", async () => {
    const store = new FakeStore([
      [0, 1],
      [10, 2],
    ]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    store.logged.push([5, 3]);
    feed.changed();
    await settle();
    expect(store.requests.map((request) => request.after)).toEqual([null, "0:2", null]);
    expect(steps(feed)).toEqual([0, 5, 10]);
  });

  it("takes a restarted answer as the whole", async () => {
    const store = new FakeStore([
      [0, 1],
      [1, 1],
    ]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    store.generation = 1;
    store.logged = [[7, 7]];
    feed.changed();
    await settle();
    expect(steps(feed)).toEqual([7]);
  });

  it("asks for a reduced whole once more than two points a pixel were appended", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.resize(10);
    await settle();
    for (let step = 1; step <= 25; step += 1) store.logged.push([step, step]);
    feed.changed();
    await settle();
    expect(store.requests.map((request) => request.after)).toEqual([null, "0:1", null]);
    expect(steps(feed)).toHaveLength(20);
    store.logged.push([26, 26]);
    feed.changed();
    await settle();
    expect(store.requests).toHaveLength(4);
    expect(steps(feed)).toHaveLength(21);
  });

  it("puts changes during a question into one further question", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.resize(400);
    feed.changed();
    feed.changed();
    feed.changed();
    await settle();
    expect(store.requests).toHaveLength(2);
  });

  it("asks again for a much wider chart only when points were left out", async () => {
    const store = new FakeStore(Array.from({ length: 100 }, (_, step) => [step, step]));
    const { feed } = open(store);
    feed.resize(20);
    await settle();
    feed.resize(22);
    await settle();
    expect(store.requests).toHaveLength(1);
    feed.resize(100);
    await settle();
    expect(store.requests).toHaveLength(2);
    expect(steps(feed)).toHaveLength(100);
    feed.resize(400);
    await settle();
    expect(store.requests).toHaveLength(2);
  });

  it("loads for the width that the chart grew to while it was loading for a smaller one", async () => {
    const store = new FakeStore(Array.from({ length: 10_000 }, (_, step) => [step, step]));
    const { feed } = open(store);
    feed.resize(800);
    await settle();
    const release = hold(store);
    feed.resize(3_200);
    feed.resize(10_000);
    release();
    await settle();
    expect(widths(store)).toEqual([
      [800, null],
      [3_200, null],
      [10_000, null],
    ]);
    expect(steps(feed)).toHaveLength(10_000);
  });

  it("loads for a wider chart also when it grew during the first question", async () => {
    const store = new FakeStore(Array.from({ length: 1_000 }, (_, step) => [step, step]));
    const { feed } = open(store);
    const release = hold(store);
    feed.resize(100);
    feed.resize(1_000);
    release();
    await settle();
    expect(widths(store)).toEqual([
      [100, null],
      [1_000, null],
    ]);
    expect(steps(feed)).toHaveLength(1_000);
  });

  it("asks for no wider chart when the answer under way leaves nothing out", async () => {
    const store = new FakeStore(Array.from({ length: 1_000 }, (_, step) => [step, step]));
    const { feed } = open(store);
    feed.resize(100);
    await settle();
    const release = hold(store);
    feed.resize(1_000);
    feed.resize(4_000);
    release();
    await settle();
    expect(widths(store)).toEqual([
      [100, null],
      [1_000, null],
    ]);
  });

  it("asks for the whole again at the next change when it failed for a wider chart", async () => {
    const store = new FakeStore(Array.from({ length: 1_000 }, (_, step) => [step, step]));
    const { feed } = open(store);
    feed.resize(100);
    await settle();
    store.failure = new Error("busy");
    feed.resize(1_000);
    await settle();
    expect(store.requests).toHaveLength(2);
    store.failure = null;
    feed.changed();
    await settle();
    expect(widths(store).slice(1)).toEqual([
      [1_000, null],
      [1_000, null],
    ]);
    expect(steps(feed)).toHaveLength(1_000);
  });

  it("still reloads the whole when a reload failed", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    store.failure = new Error("busy");
    feed.reload();
    await settle();
    store.failure = null;
    feed.changed();
    await settle();
    expect(store.requests.map((request) => request.after)).toEqual([null, null, null]);
  });

  it("says that the first question failed, and loads after a reload", async () => {
    const store = new FakeStore([[0, 1]]);
    store.failure = new Error("busy");
    const { feed, states } = open(store);
    feed.resize(400);
    await settle();
    expect(feed.current).toEqual({ state: "failed", error: store.failure });
    store.failure = null;
    feed.reload();
    await settle();
    expect(states.map((state) => state.state)).toEqual(["failed", "waiting", "ready"]);
  });

  it("keeps what is shown when an update failed, and catches up at the next change", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    store.failure = new Error("busy");
    store.logged.push([1, 2]);
    feed.changed();
    await settle();
    expect(steps(feed)).toEqual([0]);
    store.failure = null;
    store.logged.push([2, 3]);
    feed.changed();
    await settle();
    expect(steps(feed)).toEqual([0, 1, 2]);
  });

  it("catches up with a change that came while a question failed", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    const release = hold(store);
    store.failure = new Error("busy");
    feed.changed();
    store.logged.push([1, 2]);
    feed.changed();
    release();
    await Promise.resolve();
    await Promise.resolve();
    store.failure = null;
    await settle();
    expect(steps(feed)).toEqual([0, 1]);
  });

  it("tries only once for all changes during a failing question, and stops while it fails", async () => {
    const store = new FakeStore([[0, 1]]);
    const { feed } = open(store);
    feed.resize(400);
    await settle();
    const release = hold(store);
    store.failure = new Error("busy");
    feed.changed();
    feed.changed();
    feed.changed();
    release();
    await settle();
    await settle();
    expect(store.requests).toHaveLength(3);
  });

  it("does not try again after it was stopped", async () => {
    const store = new FakeStore([[0, 1]]);
    store.failure = new Error("busy");
    const release = hold(store);
    const feed = new SeriesFeed(
      { runId: "r", metricKey: "loss", getSeries: store.getSeries, pauseMs: 5 },
      (state) => {
        if (state.state === "failed") setTimeout(() => feed.stop(), 0);
      },
    );
    feed.resize(400);
    feed.changed();
    release();
    await settle();
    expect(store.requests).toHaveLength(1);
  });

  it("tells nothing after it was stopped", async () => {
    const store = new FakeStore([[0, 1]]);
    const onchange = vi.fn();
    const feed = new SeriesFeed(
      { runId: "r", metricKey: "loss", getSeries: store.getSeries, pauseMs: 0 },
      onchange,
    );
    feed.resize(400);
    feed.stop();
    await settle();
    expect(onchange).not.toHaveBeenCalled();
  });
});
