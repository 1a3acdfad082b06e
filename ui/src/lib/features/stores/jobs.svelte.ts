import { createMutation, createQuery, useQueryClient } from "@tanstack/svelte-query";

import type { Live } from "$lib/live";
import { toast } from "$lib/parts";
import { call, queries } from "$lib/rpc";
import type { Job } from "$lib/rpc/bindings/Job";

/** The title of the sample training; only it can be started again as it was. */
export const isSamples = (job: Job) => job.title === "Log sample runs";

/** Whether a task imports a folder, and so has a report. */
export const isImport = (job: Job) => job.title.startsWith("Import ");

/** Long work as screens see it: what runs, and starting and stopping it. To be made in a component. */
export function useJobs(live: Live) {
  const client = useQueryClient();
  const jobs = createQuery(() => queries.jobs());
  /** The answer to a start or stop may come after events that know more: it only fills a gap. */
  const keep = (job: Job) => {
    const known = client
      .getQueryData<Job[]>(["jobs.list"])
      ?.find((one) => one.job_id === job.job_id);
    const isNews = known === undefined || job.state.state !== "running";
    if (isNews) live.apply({ type: "job", job });
  };

  const start = createMutation(() => ({
    mutationFn: () => call("samples.start"),
    onSuccess: keep,
  }));
  const cancel = createMutation(() => ({
    mutationFn: (job: Job) => call("job.cancel", { job_id: job.job_id }),
    onSuccess: keep,
    onError: (error) => {
      toast.error(error.message, { description: error.hint ?? "" });
      void client.invalidateQueries({ queryKey: ["jobs.list"] });
    },
  }));

  return {
    /** All jobs since the program started, oldest first. */
    get all(): Job[] {
      return jobs.data ?? [];
    },
    get running(): Job[] {
      return (jobs.data ?? []).filter((job) => job.state.state === "running");
    },
    /** The job that was started last, running or ended. */
    get latest(): Job | undefined {
      return jobs.data?.at(-1);
    },
    startSamples: start,
    cancel,
  };
}
