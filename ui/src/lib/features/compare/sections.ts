/** The rows of a comparison that are shown, under their headings. */
import { groupBy } from "$lib/parts/group";
import type { CompareRow } from "$lib/rpc/bindings/CompareRow";
import type { CompareSection } from "$lib/rpc/bindings/CompareSection";

const NAMES: Record<CompareSection, string> = {
  run: "Run",
  metrics: "Metrics",
  params: "Parameters",
  tags: "Tags",
};

export interface Section {
  name: string;
  rows: CompareRow[];
  /** How many rows are left out because they are the same in all runs. */
  same: number;
}

/** Rows whose key or one of whose texts holds every word of the search. */
export function sections(rows: CompareRow[], search: string, isAll: boolean): Section[] {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const holds = (row: CompareRow) => {
    const texts = [row.key, ...row.cells.filter((cell) => typeof cell === "string")];
    const text = texts.join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  return [...groupBy(rows.filter(holds), (row) => row.section)].map(([section, found]) => {
    const shown = isAll ? found : found.filter((row) => row.differs);
    return { name: NAMES[section], rows: shown, same: found.length - shown.length };
  });
}

/** What a legend lists. */
export interface LegendEntry {
  /** The run's id, or the values of the group. */
  id: string;
  name: string;
}

/** The groups that runs make by a parameter, in the order of their first runs. */
export function groupsOf(rows: CompareRow[], param: string): LegendEntry[] {
  const row = rows.find(({ section, key }) => section === "params" && key === param);
  const values = new Set((row?.cells ?? []).map((cell) => (cell === null ? null : String(cell))));
  return [...values].map((value) => ({ id: JSON.stringify([value]), name: value ?? "none" }));
}
