import { goto } from "$app/navigation";
import { isOfParts } from "$lib/features/launches";
import { resume, runAgain } from "$lib/features/projects";
import { runAddress } from "$lib/features/run";
import { toast } from "$lib/parts";
import type { LaunchView } from "$lib/rpc/bindings/LaunchView";

/** Where a launch is looked at: at its run, or by itself while it has none. */
export function launchAddress(launch: LaunchView): string {
  if (launch.run === null) return `/launches/${encodeURIComponent(launch.launch_id)}`;
  // Of steps and trials one sees more than of the few lines that are printed about them.
  return runAddress(launch.run.run_id, isOfParts(launch) ? {} : { tab: "log" });
}

/** Shows what was just submitted. */
export function showLaunch(launch: LaunchView): void {
  void goto(launchAddress(launch));
}

/** Runs a run again from wherever it is in focus; says so, and leads there. */
export function runAgainFromHere(runId: string): void {
  void runAgain(runId, {
    goTo: (address) => void goto(address),
    onstarted: (launch) =>
      toast.success(`${launch.title}: ${launch.stage.state === "queued" ? "waiting" : "started"}`, {
        action: { label: "Show", onClick: () => showLaunch(launch) },
      }),
  });
}

/** Shows a run that goes on: its parts are what to look at. */
export function showResumed(runId: string): void {
  void goto(runAddress(runId));
}

/** Goes on with a pipeline or sweep from wherever it is in focus. */
export function resumeFromHere(runId: string): void {
  void resume(runId, {
    goTo: (address) => void goto(address),
    onstarted: () => showResumed(runId),
  });
}
