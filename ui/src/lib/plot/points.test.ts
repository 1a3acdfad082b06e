import { describe, expect, it } from "vitest";
import type { Series } from "$lib/rpc/bindings/Series";
import { indexAt, joinPoints, lonePoints, readPoints, toDrawing } from "./points";

function series(steps: number[], values: Series["values"], more: Partial<Series> = {}): Series {
  return {
    steps,
    timestamps: steps.map((_, index) => 1_000 + index * 500),
    values,
    total_points: steps.length,
    is_reduced: false,
    cursor: steps.length === 0 ? null : `c${steps.at(-1)}`,
    restarted: false,
    ...more,
  };
}

describe("points", () => {
  it("reads the numbers that JSON does not have", () => {
    const points = readPoints(
      series(
        [0, 1, 2, 3],
        [0.5, { special: "NaN" }, { special: "Infinity" }, { special: "-Infinity" }],
      ),
    );
    expect(points.values).toEqual([0.5, NaN, Infinity, -Infinity]);
  });

  it("appends what came later and moves the cursor", () => {
    const shown = readPoints(series([0, 1], [1, 2]));
    const joined = joinPoints(shown, series([2, 3], [3, 4], { total_points: 4 }));
    expect(joined).toMatchObject({
      steps: [0, 1, 2, 3],
      values: [1, 2, 3, 4],
      totalPoints: 4,
      cursor: "c3",
    });
  });

  it("appends a second value at the last step", () => {
    const shown = readPoints(series([0, 1], [1, 2]));
    expect(joinPoints(shown, series([1], [9]))?.steps).toEqual([0, 1, 1]);
  });

  it("stays the same object when nothing came later", () => {
    const shown = readPoints(series([0, 1], [1, 2]));
    expect(joinPoints(shown, series([], []))).toBe(shown);
  });

  it("refuses a point that belongs before what is shown", () => {
    const shown = readPoints(series([0, 10], [1, 2]));
    expect(joinPoints(shown, series([5], [3]))).toBeNull();
  });

  it("breaks the line at values that have no height and marks them", () => {
    const drawing = toDrawing(
      readPoints(series([0, 1, 2, 3], [1, { special: "NaN" }, { special: "-Infinity" }, 2])),
    );
    expect(drawing.y).toEqual([1, null, null, 2]);
    expect(drawing.marks).toEqual([
      { index: 1, kind: "nan" },
      { index: 2, kind: "below" },
    ]);
    expect(drawing.xKind).toBe("step");
  });

  it("counts time when every point has the same step", () => {
    const drawing = toDrawing(readPoints(series([0, 0, 0], [1, 2, 3])));
    expect(drawing.xKind).toBe("time");
    expect(drawing.x).toEqual([0, 0.5, 1]);
  });

  it("never lets the time axis run backwards when a clock did", () => {
    const points = readPoints(series([0, 0, 0], [1, 2, 3], { timestamps: [2_000, 1_000, 5_000] }));
    expect(toDrawing(points).x).toEqual([1, 1, 4]);
  });

  it("keeps the step axis for a single point", () => {
    expect(toDrawing(readPoints(series([0], [1]))).xKind).toBe("step");
  });

  it("finds the point at a place, or the nearest one", () => {
    const drawing = toDrawing(readPoints(series([0, 10, 20], [1, 2, 3])));
    expect([-5, 0, 4, 6, 10, 19, 99].map((x) => indexAt(drawing, x))).toEqual([
      0, 0, 0, 1, 1, 2, 2,
    ]);
    expect(indexAt(toDrawing(readPoints(series([], []))), 3)).toBeNull();
  });

  it("finds the points that no line reaches", () => {
    expect(lonePoints([1])).toEqual([0]);
    expect(lonePoints([1, 2, null, 3, null, null, 4])).toEqual([3, 6]);
    expect(lonePoints([null, null])).toEqual([]);
  });
});
