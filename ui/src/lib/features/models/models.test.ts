import { describe, expect, it } from "vitest";

import type { RegisteredModelSummary } from "$lib/rpc/bindings/RegisteredModelSummary";

import { findModels, modelAddress, stageWord, troubleWord } from "./models";

function model(name: string, more: Partial<RegisteredModelSummary> = {}): RegisteredModelSummary {
  return {
    name,
    description: null,
    creation_time: null,
    last_updated_time: null,
    version_count: 1,
    latest_version: 1,
    aliases: [],
    tags: [],
    ...more,
  };
}

describe("models", () => {
  it("are found by every word in name, aliases and tags", () => {
    const models = [
      model("churn-forest", { aliases: [{ alias: "champion", version: 3 }] }),
      model("churn-linear", { tags: [{ key: "team", value: "Growth" }] }),
      model("prices"),
    ];
    const found = (search: string) => findModels(models, search).map((one) => one.name);
    expect(found("")).toEqual(["churn-forest", "churn-linear", "prices"]);
    expect(found("CHURN @champ")).toEqual(["churn-forest"]);
    expect(found("growth")).toEqual(["churn-linear"]);
    expect(found("churn prices")).toEqual([]);
  });

  it("have an address whatever they are called", () => {
    expect(modelAddress("a/b ?#%")).toBe("/models/a%2Fb%20%3F%23%25");
  });

  it("say a stage and a state only where there is something to say", () => {
    expect(stageWord("None")).toBeNull();
    expect(stageWord("Production")).toBe("Production");
    expect(troubleWord("READY")).toBeNull();
    expect(troubleWord("FAILED_REGISTRATION")).toBe("Registration failed");
  });
});
