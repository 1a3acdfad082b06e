import { describe, expect, it } from "vitest";
import { groupMetrics, matchesSearch } from "./metricGroups";

const show = (keys: string[], search = "") =>
  groupMetrics(keys, search).map((group) => `${group.prefix}: ${group.keys.join(" ")}`);

describe("metric groups", () => {
  it("stand by prefix, plain keys first and the machine's last", () => {
    expect(show(["acc", "loss", "system/cpu", "train/loss", "val/loss", "val/sub/auc"])).toEqual([
      ": acc loss",
      "train: train/loss",
      "val: val/loss val/sub/auc",
      "system: system/cpu",
    ]);
  });

  it("take a leading slash as part of the name", () => {
    expect(show(["/a"])).toEqual([": /a"]);
  });

  it("hold only what the search finds, and no empty group", () => {
    expect(show(["acc", "train/Loss", "val/loss"], "loss tr")).toEqual(["train: train/Loss"]);
    expect(show(["acc"], "zzz")).toEqual([]);
  });
});

describe("search", () => {
  it("finds every word in any order and case", () => {
    expect(matchesSearch("val/Loss", "LOSS val")).toBe(true);
    expect(matchesSearch("val/loss", "loss train")).toBe(false);
    expect(matchesSearch("anything", "  ")).toBe(true);
  });
});
