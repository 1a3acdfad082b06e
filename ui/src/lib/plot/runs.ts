/** Lines of many runs as the screen holds them: read from the wire, made ready to draw and to read. */
import { toDouble } from "$lib/format";
import type { ChartLine } from "$lib/rpc/bindings/ChartLine";
import type { ChartSeries } from "$lib/rpc/bindings/ChartSeries";
import type { ChartStatistics } from "$lib/rpc/bindings/ChartStatistics";

import type { XRange } from "./line";
import { SERIES_COLORS, type Ground, type SeriesStyle } from "./palette";
import type { Mark } from "./points";

/** What the horizontal axis counts: steps, milliseconds since 1970, or seconds since the run began. */
export type RunsXKind = "step" | "wall" | "relative";

/** Points of a line; the lists have one length, `null` breaks the line. */
export interface Curve {
  /** Never descending. */
  readonly x: readonly number[];
  readonly y: readonly (number | null)[];
}

/** One line of a chart. */
export interface RunsLine extends Curve {
  /** The run's id, or the values of the group. */
  readonly id: string;
  readonly label: string;
  readonly style: SeriesStyle;
  /** As logged, where the line is smoothed. */
  readonly raw: Curve | null;
  /** Edges of the band, along `x`. */
  readonly band: {
    readonly low: readonly (number | null)[];
    readonly high: readonly (number | null)[];
  } | null;
  readonly marks: readonly { readonly x: number; readonly kind: Mark["kind"] }[];
  /** Points that the store has. */
  readonly totalPoints: number;
  readonly statistics: ChartStatistics | null;
}

/** Under what a line is known on all charts of a page: the run, or the values of the group. */
export function lineId(line: ChartLine): string {
  return line.group.length === 0 ? (line.run_ids[0] ?? line.id) : JSON.stringify(line.group);
}

/** The lines of an answer, in its order, without the hidden ones. */
export function toLines(
  chart: ChartSeries,
  styles: ReadonlyMap<string, SeriesStyle>,
  hidden: ReadonlySet<string>,
): RunsLine[] {
  return chart.lines.flatMap((line) => {
    const id = lineId(line);
    if (hidden.has(id)) return [];
    const { low, high } = line;
    const marks = line.marks.map(({ x, value }) => {
      const number = toDouble(value);
      const kind: Mark["kind"] = Number.isNaN(number) ? "nan" : number > 0 ? "above" : "below";
      return { x, kind };
    });
    return {
      id,
      label: line.label,
      style: styles.get(id) ?? { color: SERIES_COLORS[0], dash: [] },
      x: line.x,
      y: line.y,
      raw: line.raw,
      band: low !== null && high !== null ? { low, high } : null,
      marks,
      totalPoints: line.points,
      statistics: line.statistics,
    };
  });
}

/** The colour of a line on its ground. */
export function colorOf(line: RunsLine, ground: Ground): string {
  return line.style.color[ground];
}

/** The index of the point of a curve that is nearest to `x`; `null` where there is none. */
export function nearestIndex(x: readonly number[], at: number): number | null {
  if (x.length === 0) return null;
  const after = lowerBound(x, at);
  const before = x[after - 1];
  const next = x[after];
  if (next === undefined) return after - 1;
  return before !== undefined && at - before < next - at ? after - 1 : after;
}

/** The first index whose place is at or after `at`; the length where there is none. */
function lowerBound(x: readonly number[], at: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((x[middle] ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What a line has at the crosshair. */
export interface Reading {
  readonly line: RunsLine;
  /** Where its nearest point is. */
  readonly x: number;
  /** NaN where the value is not finite. */
  readonly value: number;
  /** As logged, where the line is smoothed. */
  readonly raw: number | null;
}

/**
 * What the lines have at `at`: each its nearest point, if it begins before and ends after (with
 * `slack` to both sides, in units of x). The largest value first, what is not finite last.
 */
export function readAt(lines: readonly RunsLine[], at: number, slack: number): Reading[] {
  const readings = lines.flatMap((line): Reading[] => {
    const index = nearestIndex(line.x, at);
    const first = line.x[0];
    const last = line.x.at(-1);
    if (index === null || first === undefined || last === undefined) return [];
    if (at < first - slack || at > last + slack) return [];
    const rawIndex = line.raw === null ? null : nearestIndex(line.raw.x, at);
    return [
      {
        line,
        x: line.x[index] ?? at,
        value: line.y[index] ?? NaN,
        raw: rawIndex === null ? null : (line.raw?.y[rawIndex] ?? NaN),
      },
    ];
  });
  const rank = (value: number) => (Number.isNaN(value) ? -Infinity : value);
  return readings.sort((a, b) => {
    const [left, right] = [rank(a.value), rank(b.value)];
    return left === right ? 0 : right - left;
  });
}

/** The places of all points, ascending, each once. */
export function allPlaces(lines: readonly RunsLine[]): number[] {
  return [...new Set(lines.flatMap((line) => [...line.x]))].sort((a, b) => a - b);
}

/**
 * The smallest and the largest value that is drawn in a stretch, with bands and what lies behind a
 * smoothed line; without values at 0 and below for a logarithmic axis. `null` twice where there is none.
 */
export function valueEnds(
  lines: readonly RunsLine[],
  range: XRange,
  isLog: boolean,
): [least: number | null, most: number | null] {
  let least = Infinity;
  let most = -Infinity;
  const take = (x: readonly number[], y: readonly (number | null)[]) => {
    let from = lowerBound(x, range.from);
    let to = lowerBound(x, range.to);
    while (to < x.length && x[to] === range.to) to += 1;
    // Between two points far outside there is still a line.
    if (from === to) {
      from = Math.max(0, from - 1);
      to = Math.min(x.length, to + 1);
    }
    for (let index = from; index < to; index += 1) {
      const value = y[index] ?? null;
      if (value === null || (isLog && value <= 0)) continue;
      if (value < least) least = value;
      if (value > most) most = value;
    }
  };
  for (const line of lines) {
    take(line.x, line.y);
    if (line.raw !== null) take(line.raw.x, line.raw.y);
    if (line.band !== null) {
      take(line.x, line.band.low);
      take(line.x, line.band.high);
    }
  }
  return least > most ? [null, null] : [least, most];
}

/** One row of the table behind a chart: a place, and what each line has exactly there. */
export interface PlaceRow {
  readonly x: number;
  /** `undefined` where a line has no point, NaN where its value is not finite. */
  readonly values: readonly (number | undefined)[];
}

/** The last `most` places of the lines as logged, the last one first. */
export function placeRows(lines: readonly RunsLine[], most: number): PlaceRow[] {
  const curves = lines.map((line): Curve => line.raw ?? line);
  const places = [...new Set(curves.flatMap((curve) => [...curve.x]))];
  places.sort((a, b) => b - a);
  return places.slice(0, most).map((x) => ({
    x,
    values: curves.map((curve) => {
      const index = lowerBound(curve.x, x);
      return curve.x[index] === x ? (curve.y[index] ?? NaN) : undefined;
    }),
  }));
}

/** A name of at most `most` characters: what is too long loses its middle, as ends tell names apart. */
export function shortName(name: string, most: number): string {
  const letters = [...name];
  if (letters.length <= most) return name;
  const end = Math.floor((most - 1) / 2);
  return `${letters.slice(0, most - 1 - end).join("")}…${letters.slice(letters.length - end).join("")}`;
}
