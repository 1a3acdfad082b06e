import { screen, waitFor, within } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import type { LaunchView } from "$lib/rpc/bindings/LaunchView";
import type { ProjectDetail } from "$lib/rpc/bindings/ProjectDetail";
import type { RunDraft } from "$lib/rpc/bindings/RunDraft";
import type { RunPlanView } from "$lib/rpc/bindings/RunPlanView";
import { draw } from "$lib/testing";

import type { ProjectPlace } from "./address";
import ProjectPage from "./ProjectPage.svelte";

const PROJECT: ProjectDetail = {
  uri: "/home/ada/churn",
  name: "churn",
  place: "~/churn",
  kind: "folder",
  is_here: true,
  entry_points: [
    {
      name: "main",
      command: "python train.py {alpha} {data}",
      parameters: [
        { name: "alpha", kind: "float", default: "0.5" },
        { name: "data", kind: "path", default: null },
      ],
      is_script: false,
    },
    { name: "evaluate", command: "python evaluate.py", parameters: [], is_script: false },
  ],
  environment: "python_env.yaml",
  commit: "0123456789abcdef",
  branch: "main",
  steps: [],
  pipeline_parameters: [],
  problems: [],
  runs: [],
};
const PLAN: RunPlanView = {
  command: "python train.py 0.5 data.csv",
  folder: "/home/ada/churn",
  environment: {
    kind: "uv",
    summary: "Python 3.11, 2 packages",
    files: ["python_env.yaml"],
    is_built: false,
    folder: null,
  },
  params: [],
  variables: [{ key: "MLFLOW_RUN_ID", value: "<run>" }],
  content_hash: "h1",
  is_allowed: true,
  problems: [],
  warnings: [],
};
const LAUNCH = { launch_id: "l1", title: "churn", run: null } as LaunchView;
const PLACE: ProjectPlace = { uri: "/home/ada/churn", version: null, entry: "", isSweep: false };

function open(
  plan: Partial<RunPlanView> = {},
  project: Partial<ProjectDetail> = {},
  place: Partial<ProjectPlace> = {},
) {
  const onstarted = vi.fn();
  const ongo = vi.fn();
  const page = draw(
    ProjectPage,
    { place: { ...PLACE, ...place }, ongo, onstarted, onforgotten: vi.fn() },
    {
      "project.get": () => ({ ...PROJECT, ...project }),
      "project.plan": (draft: RunDraft) => ({
        ...PLAN,
        command: `python train.py ${draft.params.map((param) => param.value).join(" ")}`,
        ...plan,
      }),
      "sweep.plan": () => ({ trials: 4, first: { ...PLAN, ...plan }, problems: [] }),
      "project.run": () => LAUNCH,
      "sweep.run": () => LAUNCH,
      "pipeline.run": () => LAUNCH,
      "experiments.list": () => [],
    },
  );
  return { ...page, onstarted, ongo };
}

describe("page of a project", () => {
  it("is a form of the entry point, with defaults, beside what would run", async () => {
    open();
    const alpha = await screen.findByLabelText(/alpha/);
    expect((alpha as HTMLInputElement).value).toBe("0.5");
    expect(await screen.findByText("Python 3.11, 2 packages")).toBeTruthy();
    expect(screen.getByText(/will be built first/)).toBeTruthy();
    expect(screen.getByText("01234567")).toBeTruthy();
  });

  it("says what a value lacks while it is typed, and does not run before", async () => {
    open();
    const alpha = await screen.findByLabelText(/alpha/);
    await userEvent.clear(alpha);
    await userEvent.type(alpha, "abc");
    expect(screen.getByText("“abc” is not a number")).toBeTruthy();
    expect(alpha.getAttribute("aria-invalid")).toBe("true");
    expect((await screen.findByRole<HTMLButtonElement>("button", { name: "Run" })).disabled).toBe(
      true,
    );
  });

  it("keeps the command up to date, and runs what stands there by one press", async () => {
    const { host, onstarted } = open();
    await userEvent.type(await screen.findByLabelText(/data/), "x.csv");
    expect(await screen.findByText("python train.py x.csv")).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Run" }));
    await waitFor(() => expect(onstarted.mock.calls[0]?.[0]).toEqual(LAUNCH));
    expect(host.callsOf("project.run")).toMatchObject([
      { draft: { entry_point: "main", params: [{ key: "data", value: "x.csv" }] }, allow: null },
    ]);
  });

  it("asks once for content that was not allowed before, with what would run in sight", async () => {
    const { host } = open({ is_allowed: false });
    await userEvent.type(await screen.findByLabelText(/data/), "x.csv");
    await userEvent.click(await screen.findByRole("button", { name: "Allow and run" }));
    await waitFor(() => expect(host.callsOf("project.run")[0]?.allow).toBe("h1"));
  });

  it("shows the file, the line and what would be right where a project cannot be read", async () => {
    open(
      {},
      {
        entry_points: [],
        problems: [
          {
            file: "MLproject",
            line: 4,
            column: 3,
            message: "“parameter” is no key here",
            hint: "Write “parameters”",
          },
        ],
      },
    );
    expect(await screen.findByText("MLproject:4:3")).toBeTruthy();
    expect(screen.getByText("Write “parameters”")).toBeTruthy();
  });

  it("runs for several values", async () => {
    const { host } = open({}, {}, { isSweep: true });
    await userEvent.type(await screen.findByLabelText(/^data/), "x.csv");
    await userEvent.selectOptions(screen.getByLabelText("How alpha varies"), "list");
    const list = screen.getByLabelText(/^alpha/);
    await userEvent.clear(list);
    await userEvent.type(list, "0.1, 0.2");
    await userEvent.click(await screen.findByRole("button", { name: "Run 4 times" }));
    await waitFor(() =>
      expect(host.callsOf("sweep.run")[0]?.sweep.params).toEqual([
        { name: "alpha", values: { kind: "choice", values: ["0.1", "0.2"] } },
      ]),
    );
  });

  it("runs a pipeline with the values of its own parameters, and every step when asked to", async () => {
    const step = { name: "train", entry_point: "main", needs: [], last: null };
    const { host, onstarted } = open(
      {},
      {
        steps: [step],
        pipeline_parameters: [
          { name: "rows", kind: "float", default: "10" },
          { name: "raw", kind: "path", default: null },
        ],
      },
    );
    const form = await screen.findByRole("form", { name: "Parameters of the pipeline" });
    expect(within(form).queryByText("Other parameters")).toBeNull();
    expect(screen.queryByText("For several values")).toBeNull();
    await userEvent.type(within(form).getByLabelText(/^raw/), "x.csv");
    const rows = within(form).getByLabelText(/^rows/);
    await userEvent.clear(rows);
    await userEvent.type(rows, "3");
    await userEvent.click(screen.getByLabelText(/Run every step/));
    await userEvent.click(await screen.findByRole("button", { name: "Run the pipeline" }));
    await waitFor(() => expect(onstarted).toHaveBeenCalled());
    expect(host.callsOf("pipeline.run")).toMatchObject([
      {
        draft: {
          params: [
            { key: "rows", value: "3" },
            { key: "raw", value: "x.csv" },
          ],
        },
        ignore_cache: true,
      },
    ]);
    expect(host.callsOf("project.plan")[0]?.entry_point).toBe("pipeline:");
  });

  it("fetches only when asked to", async () => {
    const { host } = open({}, { is_here: false, entry_points: [], kind: "git" });
    expect(await screen.findByText("Not fetched yet")).toBeTruthy();
    expect(host.callsOf("project.fetch")).toEqual([]);
    expect(host.callsOf("project.run")).toEqual([]);
  });

  it("goes to another entry point", async () => {
    const { ongo } = open();
    await userEvent.click(await screen.findByRole("button", { name: "evaluate" }));
    expect(ongo).toHaveBeenCalledWith({ ...PLACE, entry: "evaluate" });
  });
});
