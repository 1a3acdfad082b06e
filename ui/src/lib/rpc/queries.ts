/**
 * Every question that a screen keeps an answer to. The key of each starts with the command's name;
 * `lib/live` tells from the keys which answers a live event made old.
 */
import { keepPreviousData, queryOptions, type QueryObserverOptions } from "@tanstack/svelte-query";

import type { CommandFailure } from "$lib/host";

import type { ChartRequest } from "./bindings/ChartRequest";
import type { ChartSeries } from "./bindings/ChartSeries";
import type { Job } from "./bindings/Job";
import type { LogLines } from "./bindings/LogLines";
import type { LogRequest } from "./bindings/LogRequest";
import type { LogSearch } from "./bindings/LogSearch";
import type { RunDraft } from "./bindings/RunDraft";
import type { RunPlanView } from "./bindings/RunPlanView";
import type { RunsPage } from "./bindings/RunsPage";
import type { RunsPageRequest } from "./bindings/RunsPageRequest";
import type { SeriesRequest } from "./bindings/SeriesRequest";
import type { SweepDraft } from "./bindings/SweepDraft";
import type { SweepPlanView } from "./bindings/SweepPlanView";
import { call } from "./client";

/** What this program is; never changes while the page is open. */
export const appInfo = () =>
  queryOptions({ queryKey: ["app.info"], queryFn: () => call("app.info"), staleTime: Infinity });

/** The token is not kept once no one looks at it. */
export const clientToken = () =>
  queryOptions({ queryKey: ["token.get"], queryFn: () => call("token.get"), gcTime: 0 });

export const settings = () =>
  queryOptions({ queryKey: ["settings.get"], queryFn: () => call("settings.get") });

/** The open store; `null` while none is open. */
export const storeStatus = () =>
  queryOptions({ queryKey: ["store.status"], queryFn: () => call("store.status") });

/** The backups of the store, newest first; also of one that could not be opened. */
export const backups = () =>
  queryOptions({ queryKey: ["backups.list"], queryFn: () => call("backups.list") });

/** Active experiments, most recently used first. */
export const experiments = () =>
  queryOptions({ queryKey: ["experiments.list"], queryFn: () => call("experiments.list") });

/** Which keys the runs of an experiment have. */
export const runColumns = (experimentIds: string[]) =>
  queryOptions({
    queryKey: ["runs.columns", { experimentIds }],
    queryFn: () => call("runs.columns", { experiment_ids: experimentIds }),
  });

/** Some runs side by side. */
export const comparison = (runIds: string[]) =>
  queryOptions({
    queryKey: ["runs.compare", { runIds }],
    queryFn: () => call("runs.compare", { run_ids: runIds }),
    placeholderData: keepPreviousData,
  });

/** A slice of the run table. */
export const runsPage = (
  request: RunsPageRequest,
): QueryObserverOptions<RunsPage, CommandFailure> => ({
  queryKey: ["runs.page", { experimentIds: request.experiment_ids }, request],
  queryFn: () => call("runs.page", request),
  // Slices out of sight are let go soon: a long scroll must not collect the whole table.
  gcTime: 3_000,
});

export const run = (runId: string) =>
  queryOptions({
    queryKey: ["run.get", { runId }],
    queryFn: () => call("run.get", { run_id: runId }),
  });

/** The points of one metric, as many as `width_px` can show. */
export const series = (request: SeriesRequest) =>
  queryOptions({
    queryKey: ["series.get", { runId: request.run_id }, request],
    queryFn: () => call("series.get", request),
  });

/**
 * The lines of a chart of some runs. The last answer stands until the next one is there, so that a
 * zoom or another smoothing never empties the chart.
 */
export const chartSeries = (
  runIds: string[],
  request: Omit<ChartRequest, "runs">,
): QueryObserverOptions<ChartSeries, CommandFailure> => ({
  queryKey: ["chart.series", { runIds }, request],
  queryFn: () => call("chart.series", { runs: { kind: "ids", run_ids: runIds }, ...request }),
  placeholderData: keepPreviousData,
  // Each stretch that was zoomed into is another answer: they are let go soon.
  gcTime: 10_000,
});

/** What lies in one folder of a run; `path` is empty for the top. */
export const artifacts = (runId: string, path: string) =>
  queryOptions({
    queryKey: ["artifacts.list", { runId }, path],
    queryFn: () => call("artifacts.list", { run_id: runId, path }),
  });

export const artifactPreview = (runId: string, path: string) =>
  queryOptions({
    queryKey: ["artifact.preview", { runId }, path],
    queryFn: () => call("artifact.preview", { run_id: runId, path }),
  });

export const models = () =>
  queryOptions({ queryKey: ["models.list"], queryFn: () => call("models.list") });

export const model = (name: string) =>
  queryOptions({ queryKey: ["model.get", name], queryFn: () => call("model.get", { name }) });

/** How an import stands; asked again whenever its task moves on. `null` for other tasks. */
export const importState = (job: Job) =>
  queryOptions({
    queryKey: ["import.state", job.job_id, job.state.state, job.step],
    queryFn: () => call("import.state", { job_id: job.job_id }),
    placeholderData: keepPreviousData,
  });

/** Long work, running and ended. */
export const jobs = () =>
  queryOptions({ queryKey: ["jobs.list"], queryFn: () => call("jobs.list") });

/** Projects that were run or added, last used first. */
export const projects = () =>
  queryOptions({ queryKey: ["projects.list"], queryFn: () => call("projects.list") });

export const project = (uri: string, version: string | null) =>
  queryOptions({
    queryKey: ["project.get", { uri, version }],
    queryFn: () => call("project.get", { uri, version }),
  });

/**
 * What would run. The last answer stands until the next one is there, so that what is typed never
 * makes it blink; files on disk may change meanwhile, so coming back to the window asks again.
 */
export const runPlan = (draft: RunDraft): QueryObserverOptions<RunPlanView, CommandFailure> => ({
  queryKey: ["project.plan", draft],
  queryFn: () => call("project.plan", draft),
  placeholderData: keepPreviousData,
  staleTime: 0,
  gcTime: 3_000,
  refetchOnWindowFocus: "always",
});

export const sweepPlan = (
  draft: RunDraft,
  sweep: SweepDraft,
): QueryObserverOptions<SweepPlanView, CommandFailure> => ({
  queryKey: ["sweep.plan", draft, sweep],
  queryFn: () => call("sweep.plan", { draft, sweep, allow: null }),
  placeholderData: keepPreviousData,
  staleTime: 0,
  gcTime: 3_000,
  refetchOnWindowFocus: "always",
});

/** Where a run came from: its launch, its code, its environment, what it repeats. */
export const runOrigin = (runId: string) =>
  queryOptions({
    queryKey: ["run.origin", { runId }],
    queryFn: () => call("run.origin", { run_id: runId }),
  });

/** The steps or trials of a run that is made of others; `null` for every other run. */
export const runParts = (runId: string, experimentId: string) =>
  queryOptions({
    queryKey: ["run.parts", { runId, experimentIds: [experimentId] }],
    queryFn: () => call("run.parts", { run_id: runId }),
  });

/** What going on with a pipeline or sweep would run; nothing is started by asking. */
export const resumePlan = (runId: string) =>
  queryOptions({
    queryKey: ["resume.plan", { runId }],
    queryFn: () => call("resume.plan", { run_id: runId }),
    // The files of the project may have changed since.
    staleTime: 0,
    refetchOnWindowFocus: "always",
  });

/** What running it again would do; nothing is started by asking. */
export const rerunPlan = (runId: string) =>
  queryOptions({
    queryKey: ["rerun.plan", { runId }],
    queryFn: () => call("rerun.plan", { run_id: runId }),
    // The files of the project may have changed since.
    staleTime: 0,
  });

/** How well a rerun reproduced its original. */
export const reproduction = (runId: string) =>
  queryOptions({
    queryKey: ["reproduction.get", { runId }],
    queryFn: () => call("reproduction.get", { run_id: runId }),
  });

/** Launches: running, waiting, over. */
export const queue = () =>
  queryOptions({ queryKey: ["queue.get"], queryFn: () => call("queue.get") });

export const logLines = (request: LogRequest): QueryObserverOptions<LogLines, CommandFailure> => ({
  queryKey: ["log.lines", request.log, request.first, request.count],
  queryFn: () => call("log.lines", request),
  placeholderData: keepPreviousData,
  // Lines out of sight are let go soon, as slices of the table are.
  gcTime: 3_000,
});

export const logFound = (search: LogSearch) =>
  queryOptions({
    queryKey: ["log.find", search.log, search.text],
    queryFn: () => call("log.find", search),
    placeholderData: keepPreviousData,
    gcTime: 3_000,
  });

/** Environments that were built, last used first. */
export const environments = () =>
  queryOptions({ queryKey: ["environments.list"], queryFn: () => call("environments.list") });

/** Which environments would go that no run used for so long; nothing is removed by asking. */
export const environmentsToPrune = (unusedDays: number) =>
  queryOptions({
    queryKey: ["environments.prune", unusedDays],
    queryFn: () => call("environments.prune", { unused_days: unusedDays, remove: false }),
    staleTime: 0,
    gcTime: 0,
  });
