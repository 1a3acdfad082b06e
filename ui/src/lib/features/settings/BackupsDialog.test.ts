import { fireEvent, screen } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";

import { draw } from "$lib/testing";

import BackupsDialog from "./BackupsDialog.svelte";

const backup = {
  name: "2026-11-21T18-27-49.990Z",
  taken_at: Date.now() - 60_000,
  size_bytes: 258_048,
};

function dialog(backups: (typeof backup)[], failure: string | null = null) {
  return draw(
    BackupsDialog,
    {},
    {
      "store.status": () => ({
        path: "/home/ada/churn",
        display_path: "~/churn",
        revision: "6953534de441",
        mlflow_release: "3.0",
        read_only: null,
        server: { state: "off", reason: "" },
        running_runs: 0,
        has_runs: true,
        disk_free_bytes: null,
      }),
      "backups.list": () => ({ folder: "~/.local/share/cairn/backups/churn", backups, failure }),
      "backup.start": () => ({
        job_id: "1",
        title: "Back up",
        step: "",
        progress: null,
        state: { state: "running" },
        log: [],
      }),
      "backup.restore": () => ({ replaced: "~/churn/mlflow.db.replaced-x", lost_minutes: 3 }),
    },
  );
}

describe("the backups of a store", () => {
  it("are asked for only when the dialog opens, and one is taken by a press", async () => {
    const { host, actions } = dialog([]);
    expect(host.callsOf("backups.list")).toEqual([]);
    actions.find("store.backups")?.run();
    await screen.findByText("There is no backup yet.");
    const take = await screen.findByRole<HTMLButtonElement>("button", { name: "Back up now" });
    await expect.poll(() => take.disabled).toBe(false);
    await fireEvent.click(take);
    await expect.poll(() => host.callsOf("backup.start")).toEqual([{}]);
  });

  it("are put back only after a question", async () => {
    const { host, actions } = dialog([backup]);
    actions.find("store.backups")?.run();
    await fireEvent.click(await screen.findByRole("button", { name: "Restore…" }));
    await screen.findByText(/is kept beside it/);
    expect(host.callsOf("backup.restore")).toEqual([]);
    await fireEvent.click(await screen.findByRole("button", { name: "Restore" }));
    await expect.poll(() => host.callsOf("backup.restore")).toEqual([{ name: backup.name }]);
    await expect.poll(() => screen.queryByRole("dialog")).toBeNull();
  });

  it("say when the last one could not be taken", async () => {
    const { actions } = dialog([], "The disk is full.");
    actions.find("store.backups")?.run();
    expect((await screen.findByRole("alert")).textContent).toBe("The disk is full.");
  });
});
