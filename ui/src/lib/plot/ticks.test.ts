import { describe, expect, it } from "vitest";
import {
  STEP_INCREMENTS,
  TIME_INCREMENTS,
  clockLabels,
  numberLabels,
  powerLabels,
  timeLabels,
  valueRange,
} from "./ticks";

describe("number labels", () => {
  const check = (ticks: number[], increment: number, expected: string) =>
    expect(numberLabels(ticks, increment).join(" ")).toBe(expected);

  it("show as many decimals as tell the ticks apart", () => {
    check([0, 1, 2], 1, "0 1 2");
    check([0.5, 0.6, 0.7], 0.1, "0.5 0.6 0.7");
    check([0.25, 0.5, 0.75, 1], 0.25, "0.25 0.50 0.75 1.00");
    check([0.9995, 1, 1.0005], 0.0005, "0.9995 1.0000 1.0005");
  });

  it("hide what is only rounding of doubles", () => {
    check([-0.2, -5.6e-17, 0.2], 0.2, "-0.2 0 0.2");
    check([0.1 + 0.2], 0.1, "0.3");
  });

  it("use a unit only where nothing is lost", () => {
    check([0, 5_000, 10_000], 5_000, "0 5k 10k");
    check([12_340, 12_345], 5, "12\u202f340 12\u202f345");
    check([0, 2_500, 5_000, 7_500], 2_500, "0 2500 5000 7500");
    check([0, 20_000_000], 20_000_000, "0 20M");
  });

  it("use powers of ten where digits would not fit", () => {
    check([0.999998, 1, 1.000002], 2e-6, "0.999998 1.000000 1.000002");
    check([0, 1e-7, 2e-7], 1e-7, "0 1e-7 2e-7");
    check([1e12, 1.5e12], 5e11, "1.0e12 1.5e12");
  });
});

describe("range of values", () => {
  it("holds all values with some room", () => {
    expect(valueRange(-1, 1)).toEqual([-1.12, 1.12]);
    expect(valueRange(0.9, 1)).toEqual([expect.closeTo(0.894), expect.closeTo(1.006)]);
  });

  it("begins at zero where that costs little", () => {
    expect(valueRange(0.1, 2)[0]).toBe(0);
    expect(valueRange(0, 2)[0]).toBe(0);
    expect(valueRange(1.9, 2)[0]).toBeGreaterThan(1.8);
  });

  it("shows tiny differences, and none that are only rounding", () => {
    const [from, to] = valueRange(0.99999, 1);
    expect(to - from).toBeLessThan(0.0001);
    expect(valueRange(1, 1 + 2e-16)).toEqual([expect.closeTo(0.9), expect.closeTo(1.1)]);
  });

  it("has the value in the middle where all are equal", () => {
    expect(valueRange(5, 5)).toEqual([4.5, 5.5]);
    expect(valueRange(-5, -5)).toEqual([-5.5, -4.5]);
    expect(valueRange(0, 0)).toEqual([-1, 1]);
    expect(valueRange(null, null)).toEqual([0, 1]);
  });
});

describe("time labels", () => {
  it("count in the unit of the distance", () => {
    expect(timeLabels([0, 0.5, 1], 0.5)).toEqual(["0", "0.5 s", "1.0 s"]);
    expect(timeLabels([0, 0.001, 0.002], 0.001)).toEqual(["0", "1 ms", "2 ms"]);
    expect(timeLabels([0, 30, 60], 30)).toEqual(["0", "30 s", "60 s"]);
    expect(timeLabels([0, 300, 600], 300)).toEqual(["0", "5 m", "10 m"]);
    expect(timeLabels([0, 3_600], 3_600)).toEqual(["0", "1 h"]);
    expect(timeLabels([0, 172_800], 172_800)).toEqual(["0", "2 d"]);
  });
});

describe("increments", () => {
  it("ascend, and steps are whole", () => {
    for (const increments of [STEP_INCREMENTS, TIME_INCREMENTS]) {
      expect([...increments].sort((a, b) => a - b)).toEqual(increments);
    }
    expect(STEP_INCREMENTS.every(Number.isInteger)).toBe(true);
  });
});

describe("clock labels", () => {
  const noon = Date.UTC(2026, 0, 31, 12);
  const check = (ticks: number[], increment: number, expected: string) =>
    expect(clockLabels(ticks, increment, "en-GB", "UTC").join(" | ")).toBe(expected);

  it("say the day once, and seconds where they differ", () => {
    const hour = 3_600_000;
    check([noon, noon + hour], hour, "31 Jan 12:00 | 13:00");
    check([noon + 11 * hour, noon + 12 * hour], hour, "31 Jan 23:00 | 1 Feb 00:00");
    check([noon, noon + 30_000], 30_000, "31 Jan 12:00:00 | 12:00:30");
    check([noon, noon + 24 * hour], 24 * hour, "31 Jan | 1 Feb");
  });
});

describe("labels of powers", () => {
  it("are short, and none where the axis has none", () => {
    expect(powerLabels([0.30000000000000004, null, 1e-7, 20, 1e6, 0.001])).toEqual([
      "0.3",
      "",
      "1e-7",
      "20",
      "1e6",
      "0.001",
    ]);
  });
});
