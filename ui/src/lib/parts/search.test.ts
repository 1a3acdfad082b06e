import { describe, expect, it } from "vitest";

import { foundOf, matcherOf, matchesSearch } from "./search";

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

describe("a search for keys", () => {
  const found = (search: string) =>
    ["loss", "val/loss", "val/Acc"].filter(matcherOf(search).matches);

  it("takes words, or a regular expression between slashes", () => {
    expect(found("LOSS val")).toEqual(["val/loss"]);
    expect(found("")).toHaveLength(3);
    expect(found("/^(loss|val.acc)$/")).toEqual(["loss", "val/Acc"]);
    // A prefix that is being typed is not an expression yet.
    expect(found("/loss")).toEqual(["val/loss"]);
    expect(found("/")).toEqual(["val/loss", "val/Acc"]);
  });

  it("says what is wrong with an expression", () => {
    expect(matcherOf("/(/").mistake).toMatch(/unterminated group/i);
    expect(found("/(/")).toEqual([]);
    expect(matcherOf("/x/").mistake).toBeNull();
  });
});
