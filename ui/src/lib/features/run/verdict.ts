import type { RunStatus } from "$lib/rpc/bindings/RunStatus";
import type { Verdict } from "$lib/rpc/bindings/Verdict";

/** A verdict as it stands on the screen. */
export function verdictWord(verdict: Verdict): string {
  switch (verdict) {
    case "reproduced":
      return "Reproduced";
    case "within_tolerance":
      return "Within tolerance";
    case "differs":
      return "Differs";
  }
}

/** The status whose shape and colour fit a verdict. */
export function verdictShape(verdict: Verdict): RunStatus {
  switch (verdict) {
    case "reproduced":
    case "within_tolerance":
      return "FINISHED";
    case "differs":
      return "FAILED";
  }
}
