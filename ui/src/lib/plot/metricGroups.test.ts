import { describe, expect, it } from "vitest";
import { groupMetrics } from "./metricGroups";

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

  it("count as people do", () => {
    expect(show(["w/10", "w/9", "acc@10", "acc@2"])).toEqual([": acc@2 acc@10", "w: w/9 w/10"]);
  });

  it("take a leading slash as part of the name", () => {
    expect(show(["/a"])).toEqual([": /a"]);
  });

  it("stand together when they were searched", () => {
    expect(show(["acc", "train/Loss", "val/loss"], "loss")).toEqual([": train/Loss val/loss"]);
    expect(show(["acc"], "zzz")).toEqual([]);
  });
});
