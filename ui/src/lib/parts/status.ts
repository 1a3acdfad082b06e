import type { RunStatus } from "$lib/rpc/bindings/RunStatus";

const WORDS: Record<RunStatus, string> = {
  RUNNING: "Running",
  SCHEDULED: "Scheduled",
  FINISHED: "Finished",
  FAILED: "Failed",
  KILLED: "Killed",
};

/** A run's status as a word on the screen. */
export function statusWord(status: RunStatus): string {
  return WORDS[status];
}
