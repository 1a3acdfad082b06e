import { screen, within } from "@testing-library/svelte";
import { describe, expect, it } from "vitest";

import type { ModelVersion } from "$lib/rpc/bindings/ModelVersion";
import type { RegisteredModelDetail } from "$lib/rpc/bindings/RegisteredModelDetail";
import { draw } from "$lib/testing";

import ModelPage from "./ModelPage.svelte";

function version(number: number, more: Partial<ModelVersion> = {}): ModelVersion {
  return {
    version: number,
    creation_time: Date.now(),
    last_updated_time: null,
    stage: "None",
    status: "READY",
    description: null,
    source: `runs:/abc/model-${number}`,
    run: { run_id: "abc", experiment_id: "1", name: "quiet-heron-7", status: "FINISHED" },
    aliases: [],
    tags: [],
    ...more,
  };
}

function detail(versions: ModelVersion[]): RegisteredModelDetail {
  return {
    summary: {
      name: "churn",
      description: "A **forest**",
      creation_time: 0,
      last_updated_time: 0,
      version_count: versions.length,
      latest_version: versions[0]?.version ?? null,
      aliases: [],
      tags: [],
    },
    versions,
  };
}

function open(model: RegisteredModelDetail) {
  draw(ModelPage, { name: "churn" }, { "model.get": () => model });
}

describe("page of a model", () => {
  it("lists versions with aliases, run and source", async () => {
    open(detail([version(2, { aliases: ["champion"] }), version(1, { run: null })]));
    const row = (await screen.findByText("@champion")).closest("tr");
    const cells = within(row as HTMLElement);
    expect(cells.getByRole("link", { name: "quiet-heron-7" }).getAttribute("href")).toBe(
      "/runs/abc",
    );
    expect(cells.getByText("runs:/abc/model-2")).toBeTruthy();
    expect(screen.getByText("not in this store")).toBeTruthy();
  });

  it("has columns only for what some version has", async () => {
    open(detail([version(1)]));
    await screen.findByText("runs:/abc/model-1");
    expect(screen.queryByRole("columnheader", { name: "Stage" })).toBeNull();
    expect(screen.queryByRole("columnheader", { name: "Tags" })).toBeNull();
  });

  it("shows stages, trouble and tags where there are some", async () => {
    open(
      detail([
        version(2, { stage: "Production", tags: [{ key: "validated", value: "yes" }] }),
        version(1, { status: "FAILED_REGISTRATION" }),
      ]),
    );
    expect(await screen.findByText("Production")).toBeTruthy();
    expect(screen.getByText("Registration failed")).toBeTruthy();
    expect(screen.getByText("validated")).toBeTruthy();
  });

  it("says when every version was deleted", async () => {
    open(detail([]));
    expect(await screen.findByText("All versions of this model were deleted")).toBeTruthy();
  });

  it("says that there is no such model, and leads to the others", async () => {
    draw(
      ModelPage,
      { name: "gone" },
      {
        "model.get": () => {
          throw Object.assign(new Error("There is no model gone"), { code: "not_found" });
        },
      },
    );
    expect((await screen.findByRole("alert")).textContent).toContain("There is no model gone");
    expect(screen.getByRole("link", { name: "All models" })).toBeTruthy();
  });
});
