/** What of a run's page stands in its address, so that it can be returned to. */

/** The parts of a run's page. */
export type RunTab =
  "overview" | "metrics" | "tags" | "artifacts" | "log" | "code" | "reproduction";

const TABS: readonly RunTab[] = [
  "overview",
  "metrics",
  "tags",
  "artifacts",
  "log",
  "code",
  "reproduction",
];

/** Where on a run's page a person is. */
export interface RunPlace {
  readonly tab: RunTab;
  /** The search among metrics. */
  readonly metricSearch: string;
  /** The file that is shown; empty for none. */
  readonly artifactPath: string;
}

/** Reads the query of an address; what it does not know is the overview. */
export function readPlace(query: URLSearchParams): RunPlace {
  const tab = TABS.find((known) => known === query.get("tab")) ?? "overview";
  return {
    tab,
    metricSearch: query.get("metric") ?? "",
    artifactPath: query.get("path") ?? "",
  };
}

/** The address of a place on a run's page; what is usual is left out. */
export function runAddress(runId: string, place: Partial<RunPlace> = {}): string {
  const query = new URLSearchParams();
  if (place.tab !== undefined && place.tab !== "overview") query.set("tab", place.tab);
  if (place.metricSearch) query.set("metric", place.metricSearch);
  if (place.artifactPath) query.set("path", place.artifactPath);
  const text = query.toString();
  return `/runs/${encodeURIComponent(runId)}${text === "" ? "" : `?${text}`}`;
}
