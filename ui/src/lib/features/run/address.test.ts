import { describe, expect, it } from "vitest";

import { readPlace, runAddress } from "./address";

describe("address of a run's page", () => {
  it("is read as it was written", () => {
    const place = {
      tab: "artifacts",
      metricSearch: "val/loss & acc",
      artifactPath: "plots/ü #1.png",
    } as const;
    const address = runAddress("abc", place);
    expect(readPlace(new URL(address, "http://localhost").searchParams)).toEqual(place);
  });

  it("leaves out what is usual", () => {
    expect(runAddress("abc")).toBe("/runs/abc");
    expect(runAddress("abc", { tab: "overview", metricSearch: "" })).toBe("/runs/abc");
    expect(runAddress("abc", { tab: "metrics" })).toBe("/runs/abc?tab=metrics");
  });

  it("is the overview where the tab is none that is known", () => {
    expect(readPlace(new URLSearchParams("tab=pictures")).tab).toBe("overview");
  });
});
