import { goto } from "$app/navigation";
import { runAgain } from "$lib/features/projects";
import { runAddress } from "$lib/features/run";
import { toast } from "$lib/parts";
import type { LaunchView } from "$lib/rpc/bindings/LaunchView";

/** Where a launch is looked at: at its run, or by itself while it has none. */
export function launchAddress(launch: LaunchView): string {
  const isHere = launch.run !== null;
  return isHere
    ? runAddress(launch.run?.run_id ?? "", { tab: "log" })
    : `/launches/${encodeURIComponent(launch.launch_id)}`;
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
