/** Where an axis has its ticks, and what stands at them. */

/** Distances between ticks of whole steps, in steps. */
export const STEP_INCREMENTS: readonly number[] = Array.from({ length: 15 }, (_, power) =>
  [1, 2, 5].map((digit) => digit * 10 ** power),
).flat();

/** Distances between ticks of passing time, in seconds: what clocks and calendars count by. */
export const TIME_INCREMENTS: readonly number[] = [
  ...[-3, -2, -1].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power)),
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 3_600),
  ...[1, 2, 5, 10, 20, 50, 100].map((days) => days * 86_400),
];

/**
 * The stretch of the upright axis for values from `least` to `most`: all of them with some room, and
 * from zero where that costs little. Values that are all equal stand in the middle.
 */
export function valueRange(least: number | null, most: number | null): [from: number, to: number] {
  if (least === null || most === null) return [0, 1];
  const size = Math.max(Math.abs(least), Math.abs(most));
  const spread = most - least;
  // What differs only by the rounding of doubles is equal.
  if (spread <= size * 1e-12) {
    const room = size === 0 ? 1 : size * 0.1;
    return [least - room, most + room];
  }
  const room = spread * 0.06;
  const isNearZero = least >= 0 && least <= most * 0.25;
  return [isNearZero ? 0 : least - room, most + room];
}

/**
 * Labels of the ticks of a plain axis, all with the same unit and digits, so that they differ exactly
 * where the ticks do: `0.5 0.6`, `10k 20k`, `1e-7 2e-7`.
 *
 * `increment` is the distance between two ticks.
 */
export function numberLabels(ticks: readonly number[], increment: number): string[] {
  const largest = Math.max(...ticks.map(Math.abs), increment);
  if (largest === 0 || !Number.isFinite(largest)) return ticks.map(String);
  if (largest >= 1e9 || largest < 1e-4) {
    const digits = Math.max(0, exponentOf(largest) - exponentOf(increment));
    return ticks.map((tick) =>
      tick === 0 ? "0" : tick.toExponential(Math.min(digits, 15)).replace("e+", "e"),
    );
  }
  for (const [unit, size] of [
    ["M", 1e6],
    ["k", 1e3],
  ] as const) {
    // A unit only where it leaves at most one decimal: 12,345 stays 12,345.
    if (largest >= 10 * size && increment * 10 >= size) {
      const decimals = decimalsOf(increment / size);
      return ticks.map((tick) => (tick === 0 ? "0" : `${(tick / size).toFixed(decimals)}${unit}`));
    }
  }
  const decimals = decimalsOf(increment);
  return ticks.map((tick) => {
    // A tick that is zero but for the rounding of doubles is zero.
    if (Math.abs(tick) < increment / 1e6) return "0";
    return withThousands(tick.toFixed(decimals));
  });
}

/** Labels of the ticks of an axis of passing time, in seconds: `30 s`, `5 m`, `2 h`, `1.5 s`, `2 ms`. */
export function timeLabels(ticks: readonly number[], increment: number): string[] {
  const [unit, size] =
    increment >= 86_400
      ? (["d", 86_400] as const)
      : increment >= 3_600
        ? (["h", 3_600] as const)
        : increment >= 60
          ? (["m", 60] as const)
          : Math.max(...ticks) >= 1
            ? (["s", 1] as const)
            : (["ms", 0.001] as const);
  const decimals = decimalsOf(increment / size);
  return ticks.map((tick) => (tick === 0 ? "0" : `${(tick / size).toFixed(decimals)} ${unit}`));
}

/**
 * Labels of the ticks of an axis of clock time, in milliseconds since 1970 and `increment` apart. The
 * first of each day says the day.
 */
export function clockLabels(
  ticks: readonly number[],
  increment: number,
  language: string,
  timeZone?: string,
): string[] {
  const write = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat(language, timeZone === undefined ? options : { ...options, timeZone });
  const day = write({ day: "numeric", month: "short" });
  if (increment >= 86_400_000) return ticks.map((tick) => day.format(tick));
  const seconds = increment < 60_000 ? ({ second: "2-digit" } as const) : {};
  const time = write({ hour: "2-digit", minute: "2-digit", ...seconds });
  let lastDay = "";
  return ticks.map((tick) => {
    const thisDay = day.format(tick);
    const label = thisDay === lastDay ? time.format(tick) : `${thisDay} ${time.format(tick)}`;
    lastDay = thisDay;
    return label;
  });
}

/** Labels of the ticks of a logarithmic axis; `null` stands for ticks without a label. */
export function powerLabels(ticks: readonly (number | null)[]): string[] {
  return ticks.map((tick) => {
    if (tick === null) return "";
    // Ticks are computed: 0.30000000000000004 is 0.3.
    const rounded = Number(tick.toPrecision(12));
    return rounded >= 1e-3 && rounded < 1e5
      ? String(rounded)
      : rounded.toExponential().replace("e+", "e");
  });
}

/** Sets thousands apart by a thin space from 10,000 on, as numbers are written everywhere here. */
function withThousands(text: string): string {
  const [whole = "", fraction] = text.split(".");
  const isLong = whole.replace("-", "").length > 4;
  const grouped = isLong ? whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole;
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** The power of ten of a positive number: 3 for 1,234 and -2 for 0.05. */
function exponentOf(value: number): number {
  return Math.floor(Math.log10(value) + 1e-9);
}

/** Decimals that a tick needs when ticks are this far apart. */
function decimalsOf(increment: number): number {
  for (let decimals = 0; decimals < 14; decimals += 1) {
    const scaled = increment * 10 ** decimals;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * scaled) return decimals;
  }
  return 14;
}
