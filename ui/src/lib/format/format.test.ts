import { describe, expect, it } from "vitest";

import {
  digitsFor,
  exactNumber,
  formatBytes,
  formatDuration,
  formatExact,
  formatNumber,
  formatRelative,
  formatRunningDuration,
  safeLocale,
  toDouble,
} from ".";

describe("numbers", () => {
  it.each([
    [0.91342, 4, "0.9134"],
    [0.91, 4, "0.9100"],
    [0, 4, "0"],
    [-0.5, 4, "−0.5000"],
    [12, 4, "12"],
    [1234.5678, 6, "1234.57"],
    [123456.7, 4, "123\u202f457"],
    [1234567, 4, "1\u202f234\u202f567"],
    [-1234567, 4, "−1\u202f234\u202f567"],
    [9999, 4, "9999"],
    [3.2e-7, 4, "3.2e−7"],
    [1.5e12, 4, "1.5e12"],
    [0.0001, 4, "0.0001000"],
  ])("%d in %d digits is %s", (value, digits, text) => {
    expect(formatNumber(value, digits)).toBe(text);
  });

  it("names what is not finite", () => {
    expect(formatNumber({ special: "NaN" })).toBe("NaN");
    expect(formatNumber({ special: "Infinity" })).toBe("∞");
    expect(formatNumber({ special: "-Infinity" })).toBe("−∞");
    expect(toDouble({ special: "-Infinity" })).toBe(-Infinity);
    expect(exactNumber({ special: "NaN" })).toBe("NaN");
  });

  it("shows the decimals of whole numbers among fractions", () => {
    expect(formatNumber(1, 4, true)).toBe("1.000");
    expect(formatNumber(12, 4, true)).toBe("12.00");
    expect(formatNumber(0, 4, true)).toBe("0");
    expect(formatNumber(123456, 4, true)).toBe("123\u202f456");
  });

  it("keeps every digit of the exact value", () => {
    expect(exactNumber(0.1 + 0.2)).toBe("0.30000000000000004");
  });

  it("takes as many digits as tell values apart", () => {
    expect(digitsFor([0.91, 0.92, 0.93])).toBe(4);
    expect(digitsFor([0.912341, 0.912342, 0.912343])).toBe(6);
    expect(digitsFor([NaN, Infinity])).toBe(4);
    expect(digitsFor([])).toBe(4);
  });
});

describe("sizes", () => {
  it.each([
    [0, "0 bytes"],
    [1, "1 byte"],
    [999, "999 bytes"],
    [1500, "1.5 kB"],
    [999_999, "1 MB"],
    [84_000_000_000, "84 GB"],
  ])("%d is %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

describe("durations", () => {
  it.each([
    [-5, "0 ms"],
    [240, "240 ms"],
    [4_250, "4.2 s"],
    [59_999, "59 s"],
    [187_000, "3 m 07 s"],
    [3_600_000 + 4 * 60_000, "1 h 04 m"],
    [51 * 3_600_000, "2 d 03 h"],
  ])("%d ms is %s", (millis, text) => {
    expect(formatDuration(millis)).toBe(text);
  });

  it("counts whole seconds while it grows", () => {
    expect(formatRunningDuration(4_250)).toBe("4 s");
    expect(formatRunningDuration(61_000)).toBe("1 m 01 s");
  });
});

describe("times", () => {
  const now = new Date(2026, 10, 21, 14, 0, 0).getTime();
  const ago = (millis: number) => formatRelative(now - millis, now, "en");

  it.each([
    [20_000, "just now"],
    [-30_000, "just now"],
    [5 * 60_000, "5 min ago"],
    [3 * 3_600_000, "3 h ago"],
    [20 * 3_600_000, "yesterday"],
    [4 * 86_400_000, "4 days ago"],
    [30 * 86_400_000, "Oct 22"],
    [400 * 86_400_000, "Oct 17, 2025"],
  ])("%d ms ago is %s", (millis, text) => {
    expect(ago(millis)).toBe(text);
  });

  it("shows a clock that runs far ahead by its date", () => {
    expect(ago(-3 * 86_400_000)).toBe("Nov 24");
  });

  it("gives the exact time in local time", () => {
    expect(formatExact(new Date(2026, 0, 2, 3, 4, 5, 6).getTime())).toBe("2026-01-02 03:04:05.006");
  });
});

describe("locale", () => {
  it.each([
    ["C", "en"],
    ["POSIX", "en"],
    ["", "en"],
    ["not a language", "en"],
    [undefined, "en"],
    ["de-DE", "de-DE"],
    ["en-US", "en-US"],
  ])("%s becomes %s", (language, expected) => {
    expect(safeLocale(language)).toBe(expected);
    expect(() => new Intl.NumberFormat(safeLocale(language))).not.toThrow();
  });
});
