import { screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";

import { CommandFailure } from "$lib/host";
import type { ExperimentSummary } from "$lib/rpc/bindings/ExperimentSummary";
import { draw } from "$lib/testing";

import ExperimentList from "./ExperimentList.svelte";

const CHURN: ExperimentSummary = {
  experiment_id: "1",
  name: "churn",
  run_count: 1204,
  running_count: 0,
  creation_time: null,
  last_run_time: null,
  description: null,
};

it("counts runs, shows what runs, and follows changes", async () => {
  let experiments = [CHURN];
  const { host } = draw(
    ExperimentList,
    { currentId: "1" },
    { "experiments.list": () => experiments },
  );
  const link = await screen.findByRole("link", { name: /churn/ });
  expect(link.getAttribute("href")).toBe("/experiments/1");
  expect(link.getAttribute("aria-current")).toBe("page");
  expect(link.textContent).toContain("1,204");
  expect(screen.queryByText("Running")).toBeNull();
  experiments = [{ ...CHURN, run_count: 1205, running_count: 1 }];
  host.emit({
    type: "changed",
    experiments: false,
    runs_in: ["1"],
    runs: [],
    models: false,
    everything: false,
  });
  expect(await screen.findByText("Running")).toBeTruthy();
  expect(screen.getByRole("link").textContent).toContain("1,205");
});

it("says why the list is missing, and asks again", async () => {
  let isBroken = true;
  draw(
    ExperimentList,
    { currentId: undefined },
    {
      "experiments.list": () => {
        if (!isBroken) return [CHURN];
        throw new CommandFailure({
          code: "busy",
          message: "The database is locked",
          hint: null,
          detail: null,
          span: null,
        });
      },
    },
  );
  expect(await screen.findByText("The database is locked")).toBeTruthy();
  isBroken = false;
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByRole("link", { name: /churn/ })).toBeTruthy();
});
