import { screen } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import type { ProjectSummary } from "$lib/rpc/bindings/ProjectSummary";
import { draw } from "$lib/testing";

import ProjectList from "./ProjectList.svelte";

const CHURN: ProjectSummary = {
  uri: "/home/ada/churn",
  name: "churn",
  place: "~/churn",
  kind: "folder",
  entry_point_count: 1,
  last_run: { run_id: "r1", experiment_id: "0", name: "calm-otter-1", status: "FINISHED" },
  last_run_time: null,
  run_count: 1,
  problem: null,
  is_added: true,
};
const PRICES = { ...CHURN, uri: "/home/ada/prices", name: "prices", place: "~/prices" };

/** The addresses of the links that were pressed, instead of going there. */
function open() {
  const pressed: string[] = [];
  draw(
    ProjectList,
    { search: "", onsearch: vi.fn(), onopen: vi.fn() },
    { "projects.list": () => [CHURN, PRICES] },
  );
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (link === null) return;
    event.preventDefault();
    pressed.push(link.getAttribute("href") ?? "");
  });
  return pressed;
}

describe("list of projects", () => {
  it("opens a project by a press anywhere on its row, and what else stands there by itself", async () => {
    const pressed = open();
    await userEvent.click(await screen.findByText("~/prices"));
    const [run] = screen.getAllByRole("link", { name: "calm-otter-1" });
    await userEvent.click(run as HTMLElement);
    expect(pressed).toEqual(["/projects/one?uri=%2Fhome%2Fada%2Fprices", "/runs/r1"]);
  });

  it("is gone through by arrows, and Enter opens", async () => {
    const pressed = open();
    (await screen.findByRole("region", { name: "Projects" })).focus();
    await userEvent.keyboard("{ArrowDown}{ArrowDown}{ArrowDown}");
    expect(document.activeElement?.textContent).toBe("prices");
    await userEvent.keyboard("{Home}{Enter}{End}");
    expect(document.activeElement?.textContent).toBe("prices");
    expect(pressed).toEqual(["/projects/one?uri=%2Fhome%2Fada%2Fchurn"]);
  });
});
