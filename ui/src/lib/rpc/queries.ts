/**
 * Every question that a screen keeps an answer to. The key of each starts with the command's name;
 * `lib/live` tells from the keys which answers a live event made old.
 */
import { keepPreviousData, queryOptions, type QueryObserverOptions } from "@tanstack/svelte-query";

import type { CommandFailure } from "$lib/host";

import type { Job } from "./bindings/Job";
import type { RunsPage } from "./bindings/RunsPage";
import type { RunsPageRequest } from "./bindings/RunsPageRequest";
import type { SeriesRequest } from "./bindings/SeriesRequest";
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
