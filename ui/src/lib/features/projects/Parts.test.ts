import { screen, within } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it } from "vitest";

import type { RunParts } from "$lib/rpc/bindings/RunParts";
import type { RunStatus } from "$lib/rpc/bindings/RunStatus";
import type { SweepTrial } from "$lib/rpc/bindings/SweepTrial";
import { draw } from "$lib/testing";

import Parts from "./Parts.svelte";

function link(name: string, status: RunStatus) {
  return { run_id: `id-${name}`, experiment_id: "0", name, status };
}

function trial(number: number, more: Partial<SweepTrial> = {}): SweepTrial {
  return {
    number,
    run: link(`trial ${String(number)}`, "FINISHED"),
    values: [`0.${String(number)}`],
    value: number / 8,
    pruned: null,
    is_best: false,
    ...more,
  };
}

const SWEEP: Extract<RunParts, { kind: "sweep" }> = {
  kind: "sweep",
  progress: "4 of 5 done, 1 pruned",
  names: ["alpha"],
  metric: "loss",
  maximize: false,
  trials: [],
  total: 0,
  can_resume: false,
};

describe("parts of a run", () => {
  it("are the steps of a pipeline: how each went, why it failed, with a link to its run", () => {
    const step = (name: string, needs: string[], last: object) => ({
      name,
      entry_point: name,
      needs,
      last: { run: null, why: null, ...last },
    });
    const parts = {
      kind: "pipeline",
      can_resume: true,
      steps: [
        step("load", [], { state: "cached", run: link("load", "FINISHED") }),
        step("clean", ["load"], {
          state: "failed",
          run: link("clean", "FAILED"),
          why: "ended with exit code 1",
        }),
        step("train", ["clean"], { state: "skipped", why: "the step clean was not done" }),
        step("plot", ["load"], { state: "running", run: link("plot", "RUNNING") }),
        step("post", ["plot"], { state: "waiting" }),
      ],
    } as RunParts;
    draw(Parts, { parts }, {});
    const of = (name: string) => screen.getByText(name).closest(".step")?.textContent;
    expect(of("load")).toContain("Unchanged, taken from before");
    expect(of("clean")).toMatch(/Failed.*ended with exit code 1/);
    expect(of("train")).toMatch(/Not run.*the step clean was not done/);
    expect(of("plot")).toContain("Running");
    expect(of("post")).toMatch(/Waiting.*after plot/);
    expect(screen.getByRole("link", { name: "clean" }).getAttribute("href")).toBe("/runs/id-clean");
    expect(screen.queryByRole("link", { name: "train" })).toBeNull();
  });

  it("are the trials of a sweep: values, metric and state, the best marked, in the given order", () => {
    const trials = [
      trial(3, { is_best: true }),
      trial(5, { run: link("trial 5", "RUNNING"), value: null }),
      trial(1),
      trial(4, { run: link("trial 4", "KILLED"), pruned: "worse than the median at step 3" }),
      trial(2, { run: link("trial 2", "KILLED") }),
    ];
    draw(Parts, { parts: { ...SWEEP, trials, total: 5 } }, {});
    expect(screen.getByText("4 of 5 done, 1 pruned")).toBeTruthy();
    expect(screen.getByRole("columnheader", { name: /loss.*smallest is best/ })).toBeTruthy();
    const rows = screen.getAllByRole("row").slice(1);
    const texts = rows.map((row) =>
      within(row)
        .getAllByRole("cell")
        .map((cell) => cell.textContent?.trim().replaceAll(/\s+/g, " ")),
    );
    expect(texts).toEqual([
      ["0.3750", "0.3", "Finished"],
      ["—", "0.5", "Running"],
      ["0.1250", "0.1", "Finished"],
      ["0.5000", "0.4", "Pruned worse than the median at step 3"],
      ["0.2500", "0.2", "Killed"],
    ]);
    const names = rows.map((row) => within(row).getByRole("rowheader").textContent?.trim());
    expect(names[0]).toMatch(/^trial 3\s+Best$/);
    expect(names.slice(1)).toEqual(["trial 5", "trial 1", "trial 4", "trial 2"]);
    expect(
      within(rows[0] as HTMLElement)
        .getByRole("link")
        .getAttribute("href"),
    ).toBe("/runs/id-trial 3");
  });

  it("of a large sweep are shown when they are asked for, and what is left out is said", async () => {
    const trials = Array.from({ length: 30 }, (_, index) => trial(index + 1));
    draw(Parts, { parts: { ...SWEEP, trials, total: 1030 } }, {});
    expect(screen.getAllByRole("row")).toHaveLength(21);
    expect(screen.queryByText(/more are in the table/)).toBeNull();
    await userEvent.click(screen.getByRole("button", { name: "Show all 30" }));
    expect(screen.getAllByRole("row")).toHaveLength(31);
    expect(screen.getByText(/1,000 more are in the table/)).toBeTruthy();
  });

  it("are not there before a trial began", () => {
    draw(Parts, { parts: { ...SWEEP, metric: null, progress: "0 of 5 done" } }, {});
    expect(screen.getByText("None has begun yet")).toBeTruthy();
  });
});
