import { screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { CommandFailure } from "$lib/host";
import type { ImportCounts } from "$lib/rpc/bindings/ImportCounts";
import type { ImportFound } from "$lib/rpc/bindings/ImportFound";
import type { ImportState } from "$lib/rpc/bindings/ImportState";
import type { Job } from "$lib/rpc/bindings/Job";
import type { SkipGroup } from "$lib/rpc/bindings/SkipGroup";
import { draw, storeStatus } from "$lib/testing";

import ImportFolder from "./ImportFolder.svelte";
import Jobs from "./Jobs.svelte";

vi.mock("$app/navigation", () => ({ goto: vi.fn(() => Promise.resolve()) }));

const JOB: Job = {
  job_id: "7",
  title: "Import ~/churn/mlruns",
  step: "12 of 431 runs, 5,000 metric values",
  progress: 0.25,
  state: { state: "running" },
  log: [],
};

const SKIPPED: SkipGroup[] = [
  {
    reason: "bad_metric_line",
    words: "Metric lines that cannot be read",
    is_loss: true,
    count: 7,
    first: [{ path: "0/abc/metrics/loss", detail: "line 2: x y z" }],
  },
  {
    reason: "remote",
    words: "Files in another system, left where they are",
    is_loss: false,
    count: 1,
    first: [{ path: "0/def", detail: "s3://bucket/def" }],
  },
];

const FOUND: ImportFound = {
  path: "/home/ada/churn/mlruns",
  display_path: "~/churn/mlruns",
  experiments: [
    {
      name: "churn",
      experiment_id: "912345678901234567",
      is_deleted: false,
      runs: 430,
      logged_models: 2,
      conflict: null,
    },
    {
      name: "Default",
      experiment_id: "0",
      is_deleted: false,
      runs: 1,
      logged_models: 0,
      conflict: "Joins the experiment of the same name and number",
    },
  ],
  runs: 431,
  runs_in_store: 0,
  logged_models: 2,
  registered_models: 1,
  files: 1200,
  file_bytes: 2_000_000,
  skipped: SKIPPED,
};

const COUNTS: ImportCounts = {
  experiments: 1,
  runs: 431,
  runs_updated: 0,
  runs_unchanged: 0,
  metric_values: 86_200,
  logged_models: 2,
  registered_models: 1,
  model_versions: 3,
  files: 1200,
  file_bytes: 2_000_000,
  files_unchanged: 0,
};

async function open(answers: Parameters<typeof draw>[2]) {
  const drawn = draw(ImportFolder, {}, answers);
  await vi.waitFor(() => {
    expect(drawn.actions.find("import.folder")?.isEnabled?.()).toBe(true);
  });
  drawn.actions.find("import.folder")?.run();
  const dialog = await screen.findByRole("dialog", { name: "Import an mlruns folder" });
  return { ...drawn, dialog };
}

async function look(path: string) {
  await userEvent.type(screen.getByRole("textbox"), `${path}{Enter}`);
}

describe("importing a folder", () => {
  it("shows what was found before anything happens, then starts with what was chosen", async () => {
    const { host, dialog } = await open({
      "import.look": () => FOUND,
      "import.start": () => JOB,
    });
    await look("~/churn");
    expect(await within(dialog).findByText(/2 experiments, 431 runs/)).toBeTruthy();
    expect(
      within(dialog).getByText("Joins the experiment of the same name and number"),
    ).toBeTruthy();
    expect(within(dialog).getByText("Metric lines that cannot be read")).toBeTruthy();
    expect(within(dialog).getByText(/2 MB/)).toBeTruthy();
    expect(host.callsOf("import.start")).toEqual([]);
    await userEvent.click(within(dialog).getByRole("switch", { name: /Keep following/ }));
    await userEvent.click(within(dialog).getByRole("button", { name: "Import" }));
    expect(host.callsOf("import.start")).toEqual([
      { path: "/home/ada/churn/mlruns", follow: true, reference_artifacts: false },
    ]);
    await vi.waitFor(() => {
      expect(screen.queryByRole("dialog")).toBeNull();
    });
  });

  it("says what is wrong with a folder, and forgets it when another path is typed", async () => {
    const { dialog } = await open({
      "import.look": () => {
        throw new CommandFailure({
          code: "invalid_input",
          message: "/x is no mlruns folder",
          hint: "Choose the folder named mlruns.",
          detail: null,
          span: null,
        });
      },
    });
    await look("/x");
    expect(await within(dialog).findByText("Choose the folder named mlruns.")).toBeTruthy();
    await userEvent.type(within(dialog).getByRole("textbox"), "y");
    expect(within(dialog).queryByRole("alert")).toBeNull();
  });

  it("offers no import of a folder without runs", async () => {
    const nothing = { ...FOUND, experiments: [], runs: 0, registered_models: 0, skipped: [] };
    const { dialog } = await open({ "import.look": () => nothing });
    await look("~/churn");
    expect(await within(dialog).findByText(/No runs are in ~\/churn\/mlruns/)).toBeTruthy();
    expect(within(dialog).queryByRole("button", { name: "Import" })).toBeNull();
  });

  it("is not possible while the store is read only", async () => {
    const status = storeStatus({ read_only: "Its revision is not known." });
    const { actions, client } = draw(ImportFolder, {}, { "store.status": () => status });
    await vi.waitFor(() => {
      expect(client.getQueryData(["store.status"])).toBeTruthy();
    });
    expect(actions.find("import.folder")?.isEnabled?.()).toBe(false);
  });
});

describe("the report of an import", () => {
  it("is shown from its task, by reason, with places", async () => {
    const state: ImportState = {
      display_path: "~/churn/mlruns",
      report: { counts: COUNTS, skipped: SKIPPED },
      followed: { ...COUNTS, runs: 3 },
      polls_because: "too many folders",
    };
    draw(Jobs, {}, { "jobs.list": () => [JOB], "import.state": () => state });
    await userEvent.click(await screen.findByRole("button", { name: /Import ~\/churn\/mlruns/ }));
    await userEvent.click(await screen.findByText("Show report"));
    const dialog = await screen.findByRole("dialog", { name: "Import report" });
    expect(await within(dialog).findByText("~/churn/mlruns")).toBeTruthy();
    expect(within(dialog).getAllByText("431")).toHaveLength(1);
    expect(within(dialog).getByText("Left out")).toBeTruthy();
    expect(within(dialog).getByText("0/abc/metrics/loss")).toBeTruthy();
    expect(within(dialog).getByText("line 2: x y z")).toBeTruthy();
    expect(within(dialog).getByText("and 6 more")).toBeTruthy();
    expect(within(dialog).getByText(/too many folders/)).toBeTruthy();
  });

  it("says that it is still to come while the import is at work", async () => {
    const state = { display_path: "~/x", report: null, followed: null, polls_because: null };
    draw(Jobs, {}, { "jobs.list": () => [JOB], "import.state": () => state });
    await userEvent.click(await screen.findByRole("button", { name: /Import ~\/churn\/mlruns/ }));
    await userEvent.click(await screen.findByText("Show report"));
    expect(await screen.findByText(/still at work/)).toBeTruthy();
  });
});
