import { refused, useActions, type Step } from "$lib/actions";
import { formatCount, locale } from "$lib/format";
import { toast } from "$lib/parts";
import { call } from "$lib/rpc";
import type { RunEdit } from "$lib/rpc/bindings/RunEdit";
import type { RunsEdit } from "$lib/rpc/bindings/RunsEdit";

/** The tag of a run that was marked with a star. */
export const STAR = { key: "cairn.star", value: "1" };

/** Changes runs, says so, and notes the way back. To be made in a component. */
export function useRunEdits() {
  const { history } = useActions();

  /** Makes the same change of some runs; whether it was made. */
  async function edit(runIds: string[], change: RunEdit): Promise<boolean> {
    if (runIds.length === 0) return false;
    const step = await make(
      [{ run_ids: runIds, edit: change }],
      phrase(change, runIds.length),
    ).catch(refused);
    if (step === undefined) return false;
    history.add(step);
    const said = `${step.name.charAt(0).toUpperCase()}${step.name.slice(1)}`;
    toast.success(said, {
      action: { label: "Undo", onClick: () => void history.undo().catch(refused) },
    });
    return true;
  }

  return { edit };
}

async function make(edits: RunsEdit[], name: string): Promise<Step> {
  const { undo } = await call("runs.edit", { edits });
  return { name, back: () => make(undo, name) };
}

/** What was done: `3 runs deleted`. */
function phrase(change: RunEdit, count: number): string {
  const runs = count === 1 ? "run" : `${formatCount(count, locale)} runs`;
  switch (change.kind) {
    case "rename":
      return `${runs} renamed to ${change.name.trim()}`;
    case "set_tag":
      return change.key === STAR.key ? `${runs} starred` : `${runs} tagged ${change.key}`;
    case "remove_tag":
      return change.key === STAR.key
        ? `star taken from ${runs}`
        : `tag ${change.key} taken from ${runs}`;
    case "delete":
      return `${runs} moved to the trash`;
    case "restore":
      return `${runs} restored`;
  }
}
