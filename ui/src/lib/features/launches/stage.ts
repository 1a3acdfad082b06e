/** Where a launch stands, in words and in the shape of a run's status. */
import type { LaunchStage } from "$lib/rpc/bindings/LaunchStage";
import type { LaunchView } from "$lib/rpc/bindings/LaunchView";
import type { RunStatus } from "$lib/rpc/bindings/RunStatus";

/** The status whose shape and colour fit. */
export function statusOf(stage: LaunchStage): RunStatus {
  switch (stage.state) {
    case "queued":
      return "SCHEDULED";
    case "ended":
      return stage.status;
    default:
      return "RUNNING";
  }
}

/** One or two words. */
export function stageWord(stage: LaunchStage): string {
  switch (stage.state) {
    case "queued":
      return "Waiting";
    case "preparing":
      return "Preparing";
    case "running":
      return "Running";
    case "stopping":
      return "Stopping";
    case "finishing":
      return "Finishing";
    case "ended":
      switch (stage.status) {
        case "FINISHED":
          return "Finished";
        case "KILLED":
          return "Stopped";
        default:
          return "Failed";
      }
  }
}

export function isOver(launch: LaunchView): boolean {
  return launch.stage.state === "ended";
}

/** Whether stopping it does anything. */
export function canStop(launch: LaunchView): boolean {
  return launch.stage.state === "preparing" || launch.stage.state === "running";
}

/** Whether it starts others: the steps of a pipeline, the trials of a sweep. */
export function isOfParts({ kind }: Pick<LaunchView, "kind">): boolean {
  return kind === "pipeline" || kind === "sweep";
}

/** Whether it ended before its parts did, so that these can be gone on with. */
export function canResume(launch: LaunchView): boolean {
  // Its run is at work again once another launch went on with it.
  const status = launch.run?.status;
  return isOfParts(launch) && isOver(launch) && (status === "FAILED" || status === "KILLED");
}

/** What a launch is called while it has no run: a run has a name of its own. */
export function kindWord(launch: LaunchView): string {
  switch (launch.kind) {
    case "project":
      return "Run";
    case "rerun":
      return "Rerun";
    case "sweep":
      return "Sweep";
    case "pipeline":
      return "Pipeline";
  }
}

/** What a launch's title says beside the name of its run. */
export function titleBeside(launch: LaunchView): string {
  const name = launch.run?.name ?? "";
  return launch.title.startsWith(name) ? launch.title.slice(name.length).trim() : launch.title;
}

/** The waiting launch that `launchId` goes before when it moves by `step` places; `null` for last. */
export function movedBefore(
  waiting: readonly LaunchView[],
  launchId: string,
  step: number,
): { before: string | null } | undefined {
  const from = waiting.findIndex((launch) => launch.launch_id === launchId);
  const to = from + step;
  if (from === -1 || to < 0 || to >= waiting.length) return undefined;
  const others = waiting.filter((launch) => launch.launch_id !== launchId);
  return { before: others[to]?.launch_id ?? null };
}
