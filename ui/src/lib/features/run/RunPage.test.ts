import { screen, waitFor, within } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { createRawSnippet } from "svelte";
import { beforeEach, describe, expect, it, vi } from "vitest";

import type { RunDetail } from "$lib/rpc/bindings/RunDetail";
import type { RunParts } from "$lib/rpc/bindings/RunParts";
import type { RunOrigin } from "$lib/rpc/bindings/RunOrigin";
import { draw } from "$lib/testing";

import type { RunPlace } from "./address";
import RunPage from "./RunPage.svelte";

const RUN: RunDetail = {
  run_id: "0123456789abcdef0123456789abcdef",
  experiment_id: "7",
  experiment_name: "churn",
  name: "quiet-heron-7",
  status: "FINISHED",
  deleted: false,
  start_time: 1_000_000,
  end_time: 1_000_000 + 64 * 60_000,
  user: "ada",
  source: { name: "train.py", kind: "LOCAL" },
  git_commit: "8844eb4",
  description: null,
  artifact_uri: null,
  params: [
    { key: "lr", value: "0.01" },
    { key: "config", value: "x".repeat(400) },
  ],
  metrics: [
    { key: "acc", last: 0.9134, step: 12, timestamp: 5 },
    { key: "broken", last: { special: "NaN" }, step: 3, timestamp: 5 },
  ],
  tags: [
    { key: "team", value: "growth" },
    { key: "mlflow.user", value: "ada" },
  ],
  datasets: [],
  models: [
    {
      model_id: "m-1",
      name: "model",
      status: "READY",
      versions: [{ name: "churn/forest", version: 3 }],
    },
  ],
  parent: null,
  children: [],
};
const OVERVIEW: RunPlace = { tab: "overview", metricSearch: "", artifactPath: "" };

const artifacts = createRawSnippet<[string]>((runId) => ({
  render: () => `<p>files of ${runId()}</p>`,
}));

const log = createRawSnippet<[string]>((runId) => ({
  render: () => `<p>output of ${runId()}</p>`,
}));
const parts = createRawSnippet<[RunParts]>((of) => ({
  render: () => `<p>parts of a ${of().kind}</p>`,
}));
const ORIGIN: RunOrigin = {
  launch: null,
  has_log: false,
  code: null,
  environment: null,
  rerun_of: null,
  reruns: [],
  verdict: null,
};

function open(
  run: Partial<RunDetail> = {},
  place: Partial<RunPlace> = {},
  origin: Partial<RunOrigin> = {},
  madeOf: RunParts | null = null,
) {
  const ongo = vi.fn();
  const onagain = vi.fn();
  const onresume = vi.fn();
  let current = { ...RUN, ...run };
  const page = draw(
    RunPage,
    {
      runId: RUN.run_id,
      place: { ...OVERVIEW, ...place },
      ongo,
      artifacts,
      log,
      parts,
      onagain,
      onresume,
    },
    {
      "run.get": () => current,
      "run.origin": () => ({ ...ORIGIN, ...origin }),
      "run.parts": () => madeOf,
    },
  );
  return {
    ...page,
    ongo,
    onagain,
    onresume,
    /** The run becomes another one, and the program tells. */
    become(changed: Partial<RunDetail>) {
      current = { ...current, ...changed };
      page.host.emit({
        type: "changed",
        experiments: false,
        runs_in: [],
        runs: [{ run_id: RUN.run_id, facts: true, metrics: true, artifacts: false }],
        models: false,
        everything: false,
      });
    },
  };
}

beforeEach(() => {
  vi.stubGlobal(
    "IntersectionObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
});

describe("page of a run", () => {
  it("says what run it is, how it ended and how long it took", async () => {
    open();
    expect(await screen.findByRole("heading", { level: 1, name: "quiet-heron-7" })).toBeTruthy();
    expect(screen.getByText("Finished")).toBeTruthy();
    expect(screen.getByText("1 h 04 m")).toBeTruthy();
    expect(screen.getByText(RUN.run_id)).toBeTruthy();
    expect(screen.getByRole("link", { name: "churn" }).getAttribute("href")).toBe("/experiments/7");
  });

  it("follows the run: status, new metrics", async () => {
    const { become } = open({ status: "RUNNING", end_time: null });
    expect(await screen.findByText("Running")).toBeTruthy();
    become({
      status: "FAILED",
      end_time: 2_000_000,
      metrics: [...RUN.metrics, { key: "late", last: 1, step: 0, timestamp: 9 }],
    });
    expect(await screen.findByText("Failed")).toBeTruthy();
    expect(screen.getByText("late")).toBeTruthy();
  });

  it("says that the run is deleted", async () => {
    open({ deleted: true });
    expect(await screen.findByText(/This run is deleted/)).toBeTruthy();
    expect(screen.getByText("In the trash")).toBeTruthy();
  });

  it("leads to the run it is nested in, and to those nested in it", async () => {
    open({
      parent: { run_id: "p", experiment_id: "7", name: "sweep", status: "RUNNING" },
      children: [{ run_id: "c", experiment_id: "7", name: "fold-1", status: "FINISHED" }],
    });
    expect((await screen.findByRole("link", { name: "sweep" })).getAttribute("href")).toBe(
      "/runs/p",
    );
    expect(screen.getByRole("link", { name: "fold-1" }).getAttribute("href")).toBe("/runs/c");
  });

  it("leads from a metric to its chart, and from a model to its registered version", async () => {
    open();
    const metric = await screen.findByRole("link", { name: "acc" });
    expect(metric.getAttribute("href")).toBe(`/runs/${RUN.run_id}?tab=metrics&metric=acc`);
    expect(screen.getByRole("link", { name: "churn/forest version 3" }).getAttribute("href")).toBe(
      "/models/churn%2Fforest",
    );
  });

  it("says NaN where the latest value is none", async () => {
    open();
    const row = (await screen.findByRole("link", { name: "broken" })).closest("tr");
    expect(within(row as HTMLElement).getByText("NaN")).toBeTruthy();
  });

  it("folds long values", async () => {
    open();
    const button = await screen.findByRole("button", { name: "Show all" });
    await userEvent.click(button);
    expect(button.getAttribute("aria-expanded")).toBe("true");
  });

  it("searches where there is much", async () => {
    const params = Array.from({ length: 20 }, (_, index) => ({
      key: `p${index}`,
      value: index === 13 ? "cosine" : "x",
    }));
    open({ params });
    await userEvent.type(await screen.findByLabelText("Search parameters"), "cosine");
    expect(screen.getByText("1 of 20")).toBeTruthy();
    expect(screen.getByText("p13")).toBeTruthy();
    expect(screen.queryByText("p12")).toBeNull();
  });

  it("goes to a tab by its number, but not while something is typed", async () => {
    const { ongo } = open({}, { tab: "metrics" });
    const search = await screen.findByLabelText("Search metrics");
    await userEvent.keyboard("3");
    expect(ongo).toHaveBeenCalledWith({ ...OVERVIEW, tab: "tags" });
    ongo.mockClear();
    await userEvent.type(search, "4");
    expect(ongo).toHaveBeenCalledExactlyOnceWith({
      ...OVERVIEW,
      tab: "metrics",
      metricSearch: "4",
    });
  });

  it("goes to a tab by a click, and draws the one of the address", async () => {
    const { ongo } = open({}, { tab: "artifacts" });
    expect(await screen.findByText(`files of ${RUN.run_id}`)).toBeTruthy();
    await userEvent.click(screen.getByRole("tab", { name: /Tags/ }));
    await waitFor(() => {
      expect(ongo).toHaveBeenCalledWith({ ...OVERVIEW, tab: "tags" });
    });
  });

  it("keeps MLflow's own tags apart", async () => {
    open({}, { tab: "tags" });
    const own = await screen.findByRole("region", { name: "Tags" });
    expect(within(own).getByText("team")).toBeTruthy();
    expect(within(own).queryByText("mlflow.user")).toBeNull();
    expect(
      within(screen.getByRole("region", { name: "Set by MLflow" })).getByText("mlflow.user"),
    ).toBeTruthy();
  });

  it("says what to write where nothing was logged", async () => {
    open({ metrics: [], params: [], tags: [] });
    expect(await screen.findByText(/mlflow\.log_metric/)).toBeTruthy();
    expect(screen.getByText(/mlflow\.log_params/)).toBeTruthy();
  });

  it("says that there is no such run, and tries again", async () => {
    let isThere = false;
    draw(
      RunPage,
      {
        runId: RUN.run_id,
        place: OVERVIEW,
        ongo: vi.fn(),
        artifacts,
        log,
        parts,
        onagain: vi.fn(),
        onresume: vi.fn(),
      },
      {
        "run.origin": () => ORIGIN,
        "run.get": () => {
          if (!isThere) throw Object.assign(new Error("There is no run"), { code: "not_found" });
          return RUN;
        },
      },
    );
    expect((await screen.findByRole("alert")).textContent).toContain("There is no run");
    isThere = true;
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByText("quiet-heron-7")).toBeTruthy();
  });

  it("is run again by its button, by a key, and in other ways by the menu", async () => {
    const { onagain, actions } = open();
    await userEvent.click(await screen.findByRole("button", { name: "Run again" }));
    await userEvent.keyboard("r");
    expect(onagain.mock.calls).toEqual([["once"], ["once"]]);
    expect(screen.getByRole("button", { name: "More ways to run it again" })).toBeTruthy();
    actions.find("run.again_values")?.run();
    expect(onagain).toHaveBeenLastCalledWith("values");
  });

  it("shows what it is made of before the rest, and goes on with it", async () => {
    const link = (run_id: string) => ({
      run_id,
      experiment_id: "7",
      name: run_id,
      status: "FAILED" as const,
    });
    const { onresume, host } = open(
      {
        status: "FAILED",
        tags: [{ key: "cairn.pipeline.state", value: "{}" }],
        children: [link("clean"), link("other")],
      },
      {},
      {},
      {
        kind: "pipeline",
        steps: [
          {
            name: "clean",
            entry_point: "clean",
            needs: [],
            last: { state: "failed", run: link("clean"), why: "ended with exit code 1" },
          },
        ],
        can_resume: true,
      },
    );
    expect(await screen.findByText("parts of a pipeline")).toBeTruthy();
    // A run that stands among the parts is not named twice.
    expect(screen.queryByRole("link", { name: "clean" })).toBeNull();
    expect(screen.getByRole("link", { name: "other" })).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Resume" }));
    expect(onresume).toHaveBeenCalledOnce();
    expect(host.callsOf("run.parts")).toEqual([{ run_id: RUN.run_id }]);
  });

  it("does not ask for parts where there are none", async () => {
    const { host } = open();
    await screen.findByRole("button", { name: "Run again" });
    expect(screen.queryByRole("button", { name: "Resume" })).toBeNull();
    expect(host.callsOf("run.parts")).toEqual([]);
  });

  it("shows what it repeats, how well, and what was kept of its code", async () => {
    open(
      {},
      {},
      {
        rerun_of: { run_id: "o", experiment_id: "7", name: "first-one", status: "FINISHED" },
        verdict: "within_tolerance",
        code: {
          project: "/home/ada/churn",
          entry_point: "main",
          command: "python train.py",
          folder: "/home/ada/churn",
          commit: null,
          branch: null,
          remote: null,
          changed_files: [],
          left_out: [],
          data: [],
          seeds: [],
          notes: [],
        },
      },
    );
    expect((await screen.findByRole("link", { name: "first-one" })).getAttribute("href")).toBe(
      "/runs/o",
    );
    expect(screen.getByRole("link", { name: "within tolerance" })).toBeTruthy();
    expect(screen.getByRole("tab", { name: "Code and environment" })).toBeTruthy();
    expect(screen.getByRole("tab", { name: "Reproduction" })).toBeTruthy();
  });

  it("has no empty tabs for what was not kept", async () => {
    open();
    await screen.findByRole("tab", { name: "Log" });
    expect(screen.queryByRole("tab", { name: "Reproduction" })).toBeNull();
    expect(screen.queryByRole("tab", { name: "Code and environment" })).toBeNull();
  });
});
