import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { useHost, type Args, type Result } from "$lib/host";
import { MemoryHost } from "$lib/host/memory";
import { newQueryClient } from "$lib/rpc";
import { runRow } from "$lib/testing";

import { RunSlices, SLICE, type Question } from "./slices.svelte";

const TOTAL = 100_000;
const QUESTION: Question = {
  experimentIds: ["1"],
  filter: "",
  order: [],
  isTrash: false,
  columns: [],
};

function page({ offset, limit }: Args<"runs.page">): Result<"runs.page"> {
  const length = Math.max(0, Math.min(limit, TOTAL - offset));
  const rows = Array.from({ length }, (_, place) => runRow(offset + place));
  return { total: TOTAL, unfiltered_total: TOTAL, offset, rows };
}

describe("slices of the table", () => {
  let host: MemoryHost;
  let slices: RunSlices;

  beforeEach(() => {
    vi.useFakeTimers();
    host = new MemoryHost({ "runs.page": page });
    useHost(host);
    slices = new RunSlices(newQueryClient());
  });

  afterEach(() => {
    slices.stop();
    vi.useRealTimers();
  });

  const settle = () => vi.advanceTimersByTimeAsync(200);
  const offsets = () => host.callsOf("runs.page").map((asked) => asked.offset);

  it("are asked for where the table is looked at, and let go behind it", async () => {
    slices.ask(QUESTION);
    await settle();
    expect(slices.row(0)?.name).toBe("run-0");
    slices.look(50_010, 50_030);
    await settle();
    expect(slices.row(50_010)?.name).toBe("run-50010");
    expect(slices.row(0)).toBeUndefined();
    expect([...slices.loaded()].length).toBeLessThanOrEqual(3 * SLICE);
  });

  it("that are only passed are not asked for", async () => {
    slices.ask(QUESTION);
    await settle();
    slices.look(0, 20);
    await settle();
    const before = offsets().length;
    for (let first = 10_000; first <= 90_000; first += 1_000) slices.look(first, first + 20);
    await settle();
    // The first and the last place of the way, and no more.
    expect(offsets().length - before).toBeLessThanOrEqual(4);
    expect(slices.row(90_000)?.name).toBe("run-90000");
  });

  it("reach the last row", async () => {
    slices.ask(QUESTION);
    await settle();
    slices.look(TOTAL - 20, TOTAL);
    await settle();
    expect(slices.row(TOTAL - 1)?.name).toBe(`run-${String(TOTAL - 1)}`);
    expect(Math.max(...offsets())).toBe(TOTAL - SLICE);
  });

  it("keep the old rows until the next question is answered", async () => {
    slices.ask(QUESTION);
    await settle();
    let release: (() => void) | undefined;
    host.answers["runs.page"] = async (asked) => {
      await new Promise<void>((resolve) => (release = resolve));
      return { ...page(asked), total: 1, rows: [runRow(7)] };
    };
    const next = { ...QUESTION, filter: "params.a = '7'" };
    slices.ask(next);
    await settle();
    expect([slices.isAsking, slices.answered, slices.row(0)?.name]).toEqual([
      true,
      QUESTION,
      "run-0",
    ]);
    release?.();
    await settle();
    expect([slices.isAsking, slices.answered, slices.row(0)?.name, slices.total]).toEqual([
      false,
      next,
      "run-7",
      1,
    ]);
  });

  it("stay where they are when only the columns change", async () => {
    slices.ask(QUESTION);
    await settle();
    slices.look(50_010, 50_030);
    await settle();
    slices.ask({ ...QUESTION, columns: [{ kind: "metric", key: "auc" }] });
    await settle();
    expect(slices.row(50_010)?.name).toBe("run-50010");
    expect(offsets().filter((offset) => offset === 0)).toHaveLength(1);
  });

  it("give the ids of a range that is not here", async () => {
    slices.ask(QUESTION);
    await settle();
    const ids = await slices.ids(70_000, 71_200);
    expect(ids).toHaveLength(1_200);
    expect(ids[0]).toBe(runRow(70_000).run_id);
    expect(host.callsOf("runs.page").every((asked) => asked.limit <= 500)).toBe(true);
  });
});
