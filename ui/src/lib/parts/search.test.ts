import { describe, expect, it } from "vitest";

import { foundOf, matchesSearch } from "./search";

describe("search", () => {
  it("finds every word in any order and case", () => {
    expect(matchesSearch("val/Loss", "LOSS val")).toBe(true);
    expect(matchesSearch("val/loss", "loss train")).toBe(false);
    expect(matchesSearch("anything", "  ")).toBe(true);
  });

  it("says how many it found", () => {
    expect(foundOf(2, 11)).toBe("2 of 11");
    expect(foundOf(11, 11)).toBe("11");
  });
});
