/** One press means one: a run that needs no question is run again at once. */
import { CommandFailure } from "$lib/host";
import { toast } from "$lib/parts";
import { call } from "$lib/rpc";
import type { LaunchView } from "$lib/rpc/bindings/LaunchView";

import { againAddress, resumeAddress } from "./address";

interface Ways {
  /** Opens an address of the interface. */
  goTo: (address: string) => void;
  onstarted: (launch: LaunchView) => void;
}

/**
 * Runs a run again. Where something has to be asked first (the content was never allowed, or not all is known)
 * the page that asks is opened instead.
 */
export async function runAgain(runId: string, { goTo, onstarted }: Ways): Promise<void> {
  try {
    const { exactness, plan, draft } = await call("rerun.plan", { run_id: runId });
    const isKnown = exactness === "exact" || exactness === "from_tags";
    if (!isKnown || draft === null || !plan?.is_allowed || plan.problems.length > 0) {
      goTo(againAddress(runId, "once"));
      return;
    }
    onstarted(await call("rerun.start", { run_id: runId, allow: null }));
  } catch (error) {
    // What cannot be planned or started is explained there.
    goTo(againAddress(runId, "once"));
    if (error instanceof Error) toast.error(error.message);
  }
}

/** Goes on with a pipeline or sweep at once, or where that has to be asked first, opens the page that asks. */
export async function resume(runId: string, { goTo, onstarted }: Ways): Promise<void> {
  try {
    onstarted(await call("resume.start", { run_id: runId, allow: null }));
  } catch (error) {
    if (error instanceof CommandFailure && error.code === "needs_consent") {
      goTo(resumeAddress(runId));
    } else if (error instanceof Error) {
      const description = error instanceof CommandFailure ? (error.hint ?? "") : "";
      toast.error(error.message, { description, duration: 12_000 });
    }
  }
}
