/** What of a project's page stands in its address. */

export interface ProjectPlace {
  readonly uri: string;
  readonly version: string | null;
  /** The entry point; empty for the first. */
  readonly entry: string;
  /** Whether it is run for several values. */
  readonly isSweep: boolean;
}

export function projectAddress(uri: string, place: Partial<ProjectPlace> = {}): string {
  const query = new URLSearchParams({ uri });
  if (place.version) query.set("version", place.version);
  if (place.entry) query.set("entry", place.entry);
  if (place.isSweep) query.set("values", "several");
  return `/projects/one?${query.toString()}`;
}

export function readProjectPlace(query: URLSearchParams): ProjectPlace {
  return {
    uri: query.get("uri") ?? "",
    version: query.get("version"),
    entry: query.get("entry") ?? "",
    isSweep: query.get("values") === "several",
  };
}

/** How a run is run again; `once` starts at once where nothing has to be asked. */
export type Again = "once" | "changes" | "values";

export function againAddress(runId: string, how: Again): string {
  const query = how === "once" ? "" : `?how=${how}`;
  return `/runs/${encodeURIComponent(runId)}/again${query}`;
}

export function readAgain(query: URLSearchParams): Again {
  const how = query.get("how");
  return how === "changes" || how === "values" ? how : "once";
}

/** Where it is asked whether a pipeline or sweep goes on. */
export function resumeAddress(runId: string): string {
  return `/runs/${encodeURIComponent(runId)}/resume`;
}
