import { describe, expect, it } from "vitest";

import type { ChartLine } from "$lib/rpc/bindings/ChartLine";
import type { ChartSeries } from "$lib/rpc/bindings/ChartSeries";

import { seriesStyles } from "./palette";
import {
  allPlaces,
  nearestIndex,
  placeRows,
  readAt,
  shortName,
  toLines,
  valueEnds,
  type RunsLine,
} from "./runs";

function chartLine(id: string, more: Partial<ChartLine>): ChartLine {
  return {
    id: `${id}:0`,
    label: id,
    y_index: 0,
    run_ids: [id],
    group: [],
    status: "FINISHED",
    x: [],
    y: [],
    low: null,
    high: null,
    raw: null,
    marks: [],
    points: 0,
    is_reduced: false,
    alignment: null,
    statistics: null,
    ...more,
  };
}

function linesOf(lines: ChartLine[], hidden: string[] = []): RunsLine[] {
  const chart: ChartSeries = {
    lines,
    x_bounds: null,
    y_bounds: null,
    left_out: [],
    runs: lines.length,
  };
  const ids = lines.map((line) => line.run_ids[0] ?? "");
  return toLines(chart, seriesStyles(ids), new Set(hidden));
}

const READ = linesOf([
  chartLine("a", { x: [0, 10, 20], y: [1, 2, 3] }),
  chartLine("b", { x: [0, 10], y: [5, null], marks: [{ x: 10, value: { special: "NaN" } }] }),
  chartLine("c", { x: [8, 40], y: [4, 4], raw: { x: [8, 9, 40], y: [4, 7, 4] } }),
]);

describe("lines of runs", () => {
  it("leave hidden runs out, keep gaps, marks and bands", () => {
    const line = chartLine("b", {
      x: [0, 1],
      y: [1, null],
      low: [0, null],
      high: [2, null],
      marks: [
        { x: 1, value: { special: "NaN" } },
        { x: 1, value: { special: "Infinity" } },
        { x: 1, value: { special: "-Infinity" } },
      ],
    });
    const [shown, ...others] = linesOf([chartLine("a", {}), line], ["a"]);
    expect(others).toEqual([]);
    expect(shown?.y).toEqual([1, null]);
    expect(shown?.band).toEqual({ low: [0, null], high: [2, null] });
    expect(shown?.marks.map((mark) => mark.kind)).toEqual(["nan", "above", "below"]);
  });

  it("know groups by their values", () => {
    const group = chartLine("x", { run_ids: ["a", "b"], group: ["0.1", null] });
    expect(linesOf([group])[0]?.id).toBe('["0.1",null]');
  });

  it("are read at the crosshair, the largest first, what is not finite last", () => {
    const read = (at: number, slack = 0) =>
      readAt(READ, at, slack).map(({ line, x, value, raw }) => [line.id, x, value, raw]);
    expect(read(9)).toEqual([
      ["c", 8, 4, 7],
      ["a", 10, 2, null],
      ["b", 10, NaN, null],
    ]);
    // A line is not read where it has ended or not begun, but for a little slack.
    expect(read(21)).toEqual([["c", 8, 4, 7]]);
    expect(read(21, 2).map(([id]) => id)).toEqual(["c", "a"]);
    expect(readAt([], 1, 1)).toEqual([]);
  });

  it("find the nearest point", () => {
    expect(nearestIndex([], 1)).toBeNull();
    expect([-5, 4, 5, 6, 99].map((x) => nearestIndex([0, 10], x))).toEqual([0, 0, 1, 1, 1]);
  });

  it("end where the values in the stretch end, with raw lines and bands", () => {
    const range = (from: number, to: number) => ({ from, to });
    expect(valueEnds(READ, range(0, 40), false)).toEqual([1, 7]);
    expect(valueEnds(READ.slice(0, 2), range(10, 20), false)).toEqual([2, 3]);
    // Between two points there is still a line.
    expect(valueEnds(READ.slice(0, 1), range(12, 18), false)).toEqual([2, 3]);
    const low = linesOf([chartLine("a", { x: [0, 1], y: [1, 1], low: [-3, 0.5], high: [2, 2] })]);
    expect(valueEnds(low, range(0, 1), false)).toEqual([-3, 2]);
    expect(valueEnds(low, range(0, 1), true)).toEqual([0.5, 2]);
    expect(valueEnds([], range(0, 1), false)).toEqual([null, null]);
  });

  it("are walked over and listed by all places, as logged", () => {
    expect(allPlaces(READ)).toEqual([0, 8, 10, 20, 40]);
    expect(placeRows(READ, 4)).toEqual([
      { x: 40, values: [undefined, undefined, 4] },
      { x: 20, values: [3, undefined, undefined] },
      { x: 10, values: [2, NaN, undefined] },
      { x: 9, values: [undefined, undefined, 7] },
    ]);
  });
});

describe("names", () => {
  it("lose their middle where they are too long", () => {
    expect(shortName("calm-otter", 10)).toBe("calm-otter");
    expect(shortName("calm-otter-12", 10)).toBe("calm-…r-12");
    expect([...shortName("😀😀😀😀😀", 3)]).toEqual(["😀", "…", "😀"]);
  });
});
