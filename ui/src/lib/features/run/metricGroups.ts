/** The metrics of a run as they stand on its page: searched, and grouped by what precedes the `/`. */

/** Metrics whose keys begin alike. */
export interface MetricGroup {
  /** What precedes the first `/` of their keys; empty for keys without one. */
  readonly prefix: string;
  readonly keys: readonly string[];
}

/** What MLflow's own measurements of the machine begin with. */
const SYSTEM = "system";

/**
 * Whether a key holds every word of a search, in any order and any case. An empty search holds for all.
 */
export function matchesSearch(text: string, search: string): boolean {
  const low = text.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => low.includes(word));
}

/**
 * Groups keys: those without a prefix first, then by prefix, the machine's (`system/`) last. `keys` is
 * sorted, and stays so within a group.
 */
export function groupMetrics(keys: readonly string[], search: string): MetricGroup[] {
  const groups = new Map<string, string[]>();
  for (const key of keys) {
    if (!matchesSearch(key, search)) continue;
    const slash = key.indexOf("/");
    const prefix = slash > 0 ? key.slice(0, slash) : "";
    const group = groups.get(prefix);
    if (group) group.push(key);
    else groups.set(prefix, [key]);
  }
  const rank = (prefix: string) => (prefix === "" ? 0 : prefix === SYSTEM ? 2 : 1);
  return [...groups]
    .map(([prefix, members]) => ({ prefix, keys: members }))
    .sort((a, b) => rank(a.prefix) - rank(b.prefix) || (a.prefix < b.prefix ? -1 : 1));
}
