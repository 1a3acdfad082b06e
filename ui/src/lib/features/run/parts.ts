/** Runs that are made of others. */
import type { RunDetail } from "$lib/rpc/bindings/RunDetail";
import type { RunParts } from "$lib/rpc/bindings/RunParts";

/** The tags that only pipelines and sweeps have. */
const TAGS = new Set(["cairn.pipeline.state", "cairn.sweep.progress"]);

/** Whether it is worth asking for the parts of a run. */
export function mayHaveParts(run: Pick<RunDetail, "tags">): boolean {
  return run.tags.some((tag) => TAGS.has(tag.key));
}

/** The runs that a list of parts shows. */
export function runsOf(parts: RunParts | null | undefined): ReadonlySet<string> {
  if (!parts) return new Set();
  const runs =
    parts.kind === "sweep"
      ? parts.trials.map((trial) => trial.run)
      : parts.steps.flatMap((step) => step.last?.run ?? []);
  return new Set(runs.map((run) => run.run_id));
}
