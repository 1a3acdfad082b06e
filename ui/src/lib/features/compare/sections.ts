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
