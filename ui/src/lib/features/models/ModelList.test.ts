import { screen, within } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import type { RegisteredModelSummary } from "$lib/rpc/bindings/RegisteredModelSummary";
import { draw } from "$lib/testing";

import ModelList from "./ModelList.svelte";

const FOREST: RegisteredModelSummary = {
  name: "churn/forest",
  description: null,
  creation_time: 0,
  last_updated_time: Date.now(),
  version_count: 3,
  latest_version: 4,
  aliases: [{ alias: "champion", version: 4 }],
  tags: [],
};
const PRICES: RegisteredModelSummary = { ...FOREST, name: "prices", aliases: [] };

describe("list of models", () => {
  it("shows each model with its versions and aliases, and leads to its page", async () => {
    draw(ModelList, { search: "", onsearch: vi.fn() }, { "models.list": () => [FOREST, PRICES] });
    const row = (await screen.findByText("churn/forest")).closest("tr");
    expect(row).not.toBeNull();
    const cells = within(row as HTMLElement);
    expect(cells.getByRole("link").getAttribute("href")).toBe("/models/churn%2Fforest");
    expect(cells.getByText(/@champion/)).toBeTruthy();
    expect(cells.getByText("4")).toBeTruthy();
    expect(cells.getByText("3")).toBeTruthy();
  });

  it("hands on what is searched, and shows what was found", async () => {
    const onsearch = vi.fn();
    const page = draw(
      ModelList,
      { search: "", onsearch },
      { "models.list": () => [FOREST, PRICES] },
    );
    await userEvent.type(await screen.findByLabelText("Search models"), "pr");
    expect(onsearch).toHaveBeenLastCalledWith("pr");
    await page.rerender({ given: { search: "pr", onsearch } });
    expect(screen.queryByText("churn/forest")).toBeNull();
    expect(screen.getByText("1 of 2")).toBeTruthy();
    await page.rerender({ given: { search: "zzz", onsearch } });
    expect(screen.getByText(/No models match/)).toBeTruthy();
  });

  it("says how to register one while there is none", async () => {
    draw(ModelList, { search: "", onsearch: vi.fn() }, { "models.list": () => [] });
    expect(await screen.findByText(/registered_model_name=/)).toBeTruthy();
  });

  it("says why it failed, and tries again", async () => {
    let isBroken = true;
    draw(
      ModelList,
      { search: "", onsearch: vi.fn() },
      {
        "models.list": () => {
          if (isBroken) {
            throw Object.assign(new Error("The database is busy"), {
              code: "busy",
              hint: "Try again in a moment.",
            });
          }
          return [PRICES];
        },
      },
    );
    expect((await screen.findByRole("alert")).textContent).toContain("The database is busy");
    isBroken = false;
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByText("prices")).toBeTruthy();
  });

  it("is asked for again when models changed", async () => {
    let models = [PRICES];
    const { host } = draw(
      ModelList,
      { search: "", onsearch: vi.fn() },
      { "models.list": () => models },
    );
    await screen.findByText("prices");
    models = [FOREST, PRICES];
    host.emit({
      type: "changed",
      experiments: false,
      runs_in: [],
      runs: [],
      models: true,
      everything: false,
    });
    expect(await screen.findByText("churn/forest")).toBeTruthy();
  });
});
