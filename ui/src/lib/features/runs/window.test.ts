import { describe, expect, it } from "vitest";

import {
  columnWindow,
  leftEdges,
  MAX_HEIGHT,
  recycledRows,
  rowWindow,
  scrollTopToSee,
} from "./window";

const SMALL = { count: 1000, rowHeight: 28, viewHeight: 280 };
const LARGE = { count: 2_000_000, rowHeight: 28, viewHeight: 560 };

describe("rows", () => {
  it("draws what is in sight and a margin", () => {
    const shown = rowWindow({ ...SMALL, scrollTop: 280, margin: 3 });
    expect(shown).toMatchObject({ firstSeen: 10, endSeen: 20, first: 7, end: 23, height: 28_000 });
    expect(shown.top).toBe(7 * 28);
  });

  it("draws a row that is only half in sight", () => {
    const shown = rowWindow({ ...SMALL, scrollTop: 14, margin: 0 });
    expect([shown.first, shown.end, shown.top]).toEqual([0, 11, 0]);
  });

  it("stays inside the table at both ends", () => {
    expect(rowWindow({ ...SMALL, scrollTop: -50, margin: 5 }).first).toBe(0);
    const end = rowWindow({ ...SMALL, scrollTop: 1e9, margin: 5 });
    expect([end.firstSeen, end.end]).toEqual([990, 1000]);
  });

  it("draws nothing of an empty table", () => {
    const shown = rowWindow({ ...SMALL, count: 0, scrollTop: 0, margin: 5 });
    expect([shown.first, shown.end, shown.height]).toEqual([0, 0, 0]);
  });

  it("shows 100,000 rows without making them smaller", () => {
    const shown = rowWindow({ ...SMALL, count: 100_000, scrollTop: 2_799_720, margin: 0 });
    expect([shown.height, shown.firstSeen, shown.endSeen]).toEqual([2_800_000, 99_990, 100_000]);
  });

  it("reaches the last of two million rows below the height that browsers allow", () => {
    const bottom = MAX_HEIGHT - LARGE.viewHeight;
    const shown = rowWindow({ ...LARGE, scrollTop: bottom, margin: 2 });
    expect(shown.height).toBe(MAX_HEIGHT);
    expect(shown.end).toBe(LARGE.count);
    // The last row ends where the table ends.
    expect(shown.top + (shown.end - shown.first) * 28).toBeCloseTo(MAX_HEIGHT, 3);
  });

  it("shows the row that was scrolled to, near or far, in a small and in a huge table", () => {
    for (const rows of [SMALL, LARGE]) {
      let scrollTop = 0;
      for (const row of [rows.count - 1, 0, rows.count >> 1, (rows.count >> 1) + 1, 5]) {
        scrollTop = scrollTopToSee(row, scrollTop, rows);
        const shown = rowWindow({ ...rows, scrollTop, margin: 0 });
        expect(shown.firstSeen).toBeLessThanOrEqual(row);
        expect(shown.endSeen).toBeGreaterThan(row);
      }
    }
  });

  it("does not scroll to what is in sight", () => {
    expect(scrollTopToSee(12, 280, SMALL)).toBe(280);
  });

  it("keeps the element of a row that stays", () => {
    const before = recycledRows(10, 20, 12);
    const after = recycledRows(11, 21, 12);
    const moved = before.filter((row, element) => row !== undefined && row !== after[element]);
    // The row that left; its element waits for the next one.
    expect(moved).toEqual([10]);
    expect(new Set(after)).toEqual(
      new Set([undefined, ...Array.from({ length: 10 }, (_, i) => 11 + i)]),
    );
  });
});

describe("columns", () => {
  const edges = leftEdges([100, 50, 200, 80]);

  it("knows where columns begin and how wide they are together", () => {
    expect(edges).toEqual([0, 100, 150, 350, 430]);
  });

  it.each([
    [0, 100, { first: 0, end: 1 }],
    [0, 101, { first: 0, end: 2 }],
    [100, 50, { first: 1, end: 2 }],
    [99, 60, { first: 0, end: 3 }],
    [400, 1000, { first: 3, end: 4 }],
  ])("at %d in %d pixels", (left, width, expected) => {
    expect(columnWindow(edges, left, width)).toEqual(expected);
  });

  it("draws none of no columns", () => {
    expect(columnWindow([0], 0, 500)).toEqual({ first: 0, end: 0 });
  });
});
