import { screen, within } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it } from "vitest";

import type { EnvironmentView } from "$lib/rpc/bindings/EnvironmentView";
import { draw } from "$lib/testing";

import EnvironmentsPage from "./EnvironmentsPage.svelte";

const CHURN: EnvironmentView = {
  name: "churn-1a2b",
  folder: "~/data/environments/churn-1a2b",
  kind: "python",
  summary: "Python 3.11 with 5 requirements, by uv",
  python: "3.11.2",
  packages: 48,
  made_ms: 0,
  size_bytes: 324_000_000,
  own_bytes: 3_000_000,
  last_used_ms: Date.now(),
  used_by: [{ run_id: "0123456789abcdef", store: null, is_here: true, at_ms: 0 }],
  uses: 7,
  is_in_use: false,
  is_broken: false,
  has_lock: true,
};

function open(environments: EnvironmentView[]) {
  return draw(
    EnvironmentsPage,
    {},
    {
      "environments.list": () => ({
        folder: "~/data/environments",
        environments,
        total_bytes: 324_000_000,
      }),
      "environments.prune": () => ({
        removed: ["churn-1a2b"],
        kept: [{ name: "prices", because: "a run used it 2 days ago" }],
        freed_bytes: 3_000_000,
      }),
      "environments.remove": () => ({ folder: "", environments: [], total_bytes: 0 }),
      "environments.rebuild": ({ name }) => ({
        job_id: "1",
        title: `Rebuild ${name}`,
        step: "",
        progress: null,
        state: { state: "running" },
        log: [],
      }),
    },
  );
}

describe("environments", () => {
  it("says what each takes, and who needs it", async () => {
    open([CHURN]);
    const row = (await screen.findByText(CHURN.summary)).closest("tr") as HTMLElement;
    expect(within(row).getByText("324 MB")).toBeTruthy();
    expect(within(row).getByText("3 MB its own")).toBeTruthy();
    expect(within(row).getByRole("link").getAttribute("href")).toBe("/runs/0123456789abcdef");
    expect(within(row).getByText(/and\s+6\s+more/)).toBeTruthy();
  });

  it("shows what would go, and what that frees, before anything goes", async () => {
    const { host } = open([CHURN]);
    await userEvent.click(await screen.findByRole("button", { name: "Remove unused…" }));
    const dialog = await screen.findByRole("dialog");
    expect(await within(dialog).findByText("3 MB")).toBeTruthy();
    expect(within(dialog).getByText("a run used it 2 days ago")).toBeTruthy();
    expect(host.callsOf("environments.prune").every(({ remove }) => !remove)).toBe(true);
    await userEvent.click(within(dialog).getByRole("button", { name: "Remove 1" }));
    expect(host.callsOf("environments.prune").at(-1)).toEqual({ unused_days: 30, remove: true });
  });

  it("does not offer to remove one that is in use", async () => {
    open([{ ...CHURN, is_in_use: true }]);
    const remove = await screen.findByRole<HTMLButtonElement>("button", {
      name: "Remove churn-1a2b…",
    });
    expect(remove.disabled).toBe(true);
  });

  it("removes one after a question, and rebuilds another from its lock", async () => {
    const { host } = open([CHURN]);
    await userEvent.click(await screen.findByRole("button", { name: /Rebuild churn-1a2b/ }));
    expect(host.callsOf("environments.rebuild")).toEqual([{ name: "churn-1a2b" }]);
    await userEvent.click(screen.getByRole("button", { name: "Remove churn-1a2b…" }));
    const dialog = await screen.findByRole("dialog");
    await userEvent.click(within(dialog).getByRole("button", { name: "Remove" }));
    expect(host.callsOf("environments.remove")).toEqual([{ name: "churn-1a2b" }]);
    expect(await screen.findByText("No environments yet")).toBeTruthy();
  });
});
