import { screen, within } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";

import type { ReproductionView } from "$lib/rpc/bindings/ReproductionView";
import { draw } from "$lib/testing";

import Reproduction from "./Reproduction.svelte";

const REPORT: ReproductionView = {
  original: { run_id: "o", experiment_id: "1", name: "first-one", status: "FINISHED" },
  original_run_id: "o",
  verdict: "differs",
  summary: "1 of 2 metrics differs.",
  metrics: [
    {
      key: "rmse",
      original: 0.5,
      rerun: 0.75,
      difference: 0.25,
      tolerance: "equal",
      verdict: "differs",
    },
    {
      key: "r2",
      original: 0.25,
      rerun: 0.25,
      difference: 0,
      tolerance: "± 0.01",
      verdict: "reproduced",
    },
  ],
  same_files: 3,
  files: [{ name: "model.pkl", original: "sha256:aa", rerun: "sha256:bb" }],
  environment: [],
  code: [{ name: "parameter seed", original: "1", rerun: "2" }],
  causes: [
    { what: "The seed changed from 1 to 2", why: "Chance decides what it draws" },
    { what: "The processor is another one", why: "" },
  ],
  notes: [],
};

describe("report of a rerun", () => {
  it("says the verdict first, then the likeliest cause", async () => {
    draw(Reproduction, { runId: "r" }, { "reproduction.get": () => REPORT });
    const verdict = await screen.findByRole("region", { name: "Verdict" });
    expect(verdict.textContent).toContain("Differs");
    expect(within(verdict).getByRole("link", { name: "first-one" })).toBeTruthy();
    const causes = screen.getByRole("region", { name: /Likely causes/ });
    expect(within(causes).getAllByRole("listitem")[0]?.textContent).toContain("The seed changed");
  });

  it("sets metrics side by side, and shows only the tables that say something", async () => {
    draw(Reproduction, { runId: "r" }, { "reproduction.get": () => REPORT });
    const row = (await screen.findByRole("rowheader", { name: "rmse" })).closest("tr");
    expect(
      within(row as HTMLElement)
        .getAllByRole("cell")
        .map((cell) => cell.textContent?.trim().replaceAll(/\s+/g, " ")),
    ).toEqual(["0.5000", "0.7500", "0.250", "equal", "Failed Differs"]);
    expect(screen.getByText("model.pkl")).toBeTruthy();
    expect(screen.queryByRole("region", { name: "Environment" })).toBeNull();
  });

  it("names an original that is not here by its id", async () => {
    draw(
      Reproduction,
      { runId: "r" },
      { "reproduction.get": () => ({ ...REPORT, original: null }) },
    );
    expect(await screen.findByText(/not in this store/)).toBeTruthy();
  });
});
