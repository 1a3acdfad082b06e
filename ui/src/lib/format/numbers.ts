import type { Number as WireNumber } from "$lib/rpc/bindings/Number";

/** Turns a number of the wire into a double. */
export function toDouble(value: WireNumber): number {
  if (typeof value === "number") return value;
  switch (value.special) {
    case "NaN":
      return NaN;
    case "Infinity":
      return Infinity;
    case "-Infinity":
      return -Infinity;
  }
}

/**
 * A number in `digits` significant digits: `0.9134`, `1234.5`, `3.2e−7`. The decimal point is
 * always a point, as in code and logs; thousands are set apart by a thin space from 10,000 on.
 * What is not finite says so: `NaN`, `∞`, `−∞`. Whole numbers have no decimals, unless they stand
 * in a column of fractions (`isFraction`).
 */
export function formatNumber(value: WireNumber, digits = 4, isFraction = false): string {
  const double = toDouble(value);
  if (Number.isNaN(double)) return "NaN";
  if (double === Infinity) return "∞";
  if (double === -Infinity) return "−∞";
  if (double === 0) return "0";
  const size = Math.abs(double);
  if (Number.isInteger(double) && size < 1e9 && !(isFraction && size < 10 ** digits))
    return withThousands(double.toFixed(0));
  if (size >= 1e9 || size < 1e-4) return exponent(double, digits);
  const rounded = double.toPrecision(Math.max(digits, 1));
  // toPrecision falls back to an exponent when the whole part has more digits than asked for.
  return withThousands(rounded.includes("e") ? double.toFixed(0) : rounded);
}

/** The number as a program would write it, every digit kept; for hover and copy. */
export function exactNumber(value: WireNumber): string {
  return String(toDouble(value));
}

/**
 * How many significant digits a column needs so that its values look different where they differ:
 * at least 4, at most 6. Values that are not finite do not count.
 */
export function digitsFor(values: readonly number[]): number {
  const distinct = [...new Set(values.filter((value) => Number.isFinite(value)))];
  for (let digits = 4; digits < 6; digits += 1) {
    const shown = new Set(distinct.map((value) => value.toPrecision(digits)));
    if (shown.size >= distinct.length * 0.95) return digits;
  }
  return 6;
}

function exponent(value: number, digits: number): string {
  const [mantissa = "", power = ""] = value.toExponential(Math.max(digits - 1, 0)).split("e");
  const plain = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return `${plain}e${power.replace("+", "")}`.replaceAll("-", "−");
}

function withThousands(text: string): string {
  const [whole = "", fraction] = text.replace("-", "−").split(".");
  const digits = whole.replace("−", "");
  const grouped = digits.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole;
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

const counts = new Map<string, Intl.NumberFormat>();

/** A count with the thousands set apart, in the person's locale. */
export function formatCount(count: number, locale: string): string {
  let format = counts.get(locale);
  if (format === undefined) {
    format = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
    counts.set(locale, format);
  }
  return format.format(count);
}

const BYTE_UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"] as const;

/** A size: `512 bytes`, `1.5 kB`, `84 GB`, in powers of 1,000. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let size = bytes;
  while (size >= 999.5 && unit < BYTE_UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  const text = unit === 0 || size >= 9.95 ? size.toFixed(0) : size.toFixed(1).replace(/\.0$/, "");
  return `${text} ${bytes === 1 ? "byte" : (BYTE_UNITS[unit] ?? "PB")}`;
}
