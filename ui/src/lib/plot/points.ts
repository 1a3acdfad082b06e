/** The points of one metric as the screen holds them: read from the wire, joined, made ready to draw. */
import { toDouble } from "$lib/format";
import type { Series } from "$lib/rpc/bindings/Series";

/** The points of one metric of one run, in order of step. The three lists have one length. */
export interface Points {
  readonly steps: readonly number[];
  /** Milliseconds since 1970, by the clock of the client. */
  readonly timestamps: readonly number[];
  /** In the metric's own unit; NaN and the infinities are kept. */
  readonly values: readonly number[];
  /** Points that the store has, also those left out here. */
  readonly totalPoints: number;
  /** Whether points were left out. */
  readonly isReduced: boolean;
  /** Asks for what comes later; `null` while there is no point. */
  readonly cursor: string | null;
}

/** The points of an answer, read. */
export function readPoints(series: Series): Points {
  return {
    steps: series.steps,
    timestamps: series.timestamps,
    values: series.values.map(toDouble),
    totalPoints: series.total_points,
    isReduced: series.is_reduced,
    cursor: series.cursor,
  };
}

/**
 * Joins what came after the cursor to what is shown.
 *
 * `null` when that cannot be done by appending: a point belongs before one that is shown already (the
 * client logged steps out of order), so that the whole must be asked for again. The same object when
 * nothing came. For answers that did not restart.
 */
export function joinPoints(shown: Points, answer: Series): Points | null {
  const later = readPoints(answer);
  const first = later.steps[0];
  if (first === undefined) {
    return shown;
  }
  const last = shown.steps.at(-1);
  if (last !== undefined && first < last) return null;
  return {
    steps: [...shown.steps, ...later.steps],
    timestamps: [...shown.timestamps, ...later.timestamps],
    values: [...shown.values, ...later.values],
    totalPoints: later.totalPoints,
    isReduced: shown.isReduced,
    cursor: later.cursor ?? shown.cursor,
  };
}

/** What the horizontal axis counts. */
export type XKind = "step" | "time";

/** A value that cannot be drawn at a height, and where it was logged. */
export interface Mark {
  /** Which point. */
  readonly index: number;
  readonly kind: "nan" | "above" | "below";
}

/** Points ready to draw. */
export interface Drawing {
  readonly xKind: XKind;
  /** Steps, or seconds since the first point; never descending. */
  readonly x: readonly number[];
  /** `null` breaks the line. */
  readonly y: readonly (number | null)[];
  /** NaN and infinities. */
  readonly marks: readonly Mark[];
}

/**
 * Makes points ready to draw.
 *
 * A client that logs without steps gives every point step 0, which would draw one upright line; then,
 * and only then, the axis is the time since the first point.
 */
export function toDrawing(points: Points): Drawing {
  const { steps, timestamps, values } = points;
  const xKind: XKind = steps.length > 1 && steps[0] === steps.at(-1) ? "time" : "step";
  const start = timestamps.reduce((least, time) => Math.min(least, time), Infinity);
  let latest = 0;
  const x =
    xKind === "step"
      ? steps
      : timestamps.map((time) => (latest = Math.max(latest, (time - start) / 1000)));
  const marks: Mark[] = [];
  const y = values.map((value, index) => {
    if (Number.isFinite(value)) return value;
    marks.push({ index, kind: Number.isNaN(value) ? "nan" : value > 0 ? "above" : "below" });
    return null;
  });
  return { xKind, x, y, marks };
}

/** The index of the point at `x`, or of the nearest one; `null` where there is no point. */
export function indexAt(drawing: Drawing, x: number): number | null {
  const { x: all } = drawing;
  if (all.length === 0) return null;
  let low = 0;
  let high = all.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle] ?? 0) < x) low = middle + 1;
    else high = middle;
  }
  const before = all[low - 1];
  return before !== undefined && x - before < Math.abs((all[low] ?? 0) - x) ? low - 1 : low;
}

/** The points that no line reaches because both neighbours are missing; they are drawn as dots. */
export function lonePoints(y: readonly (number | null)[]): number[] {
  const lone: number[] = [];
  y.forEach((value, index) => {
    if (value === null) return;
    const before = index === 0 ? null : y[index - 1];
    const after = index === y.length - 1 ? null : y[index + 1];
    if (before === null && after === null) lone.push(index);
  });
  return lone;
}
