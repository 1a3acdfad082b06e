/** Registered models as their screens show them. */
import { matchesSearch } from "$lib/parts/search";
import type { RegisteredModelSummary } from "$lib/rpc/bindings/RegisteredModelSummary";

/** The address of a model's page. */
export function modelAddress(name: string): string {
  return `/models/${encodeURIComponent(name)}`;
}

/**
 * The models whose name, aliases or tags hold every word of a search, in any case; in the given order.
 */
export function findModels(
  models: readonly RegisteredModelSummary[],
  search: string,
): RegisteredModelSummary[] {
  return models.filter((model) => {
    const text = [
      model.name,
      ...model.aliases.map((alias) => `@${alias.alias}`),
      ...model.tags.map((tag) => `${tag.key} ${tag.value}`),
    ].join(" ");
    return matchesSearch(text, search);
  });
}

/** MLflow's stage, where there is one. */
export function stageWord(stage: string): string | null {
  return stage === "None" || stage === "" ? null : stage;
}

/** MLflow's state of a version, where it is not the usual one. */
export function troubleWord(status: string): string | null {
  switch (status) {
    case "READY":
      return null;
    case "PENDING_REGISTRATION":
      return "Being registered";
    case "FAILED_REGISTRATION":
      return "Registration failed";
    default:
      return status;
  }
}
