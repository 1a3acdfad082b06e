/** What of a comparison lives in the address: it can be returned to and shared. */

export interface CompareView {
  /** The runs, the one that the others are compared with first. */
  runIds: string[];
  search: string;
  /** Whether rows that are the same in all runs are shown too. */
  isAll: boolean;
}

export function readCompare(params: URLSearchParams): CompareView {
  return {
    runIds: [...new Set(params.getAll("run"))].filter((id) => id !== ""),
    search: params.get("search") ?? "",
    isAll: params.has("all"),
  };
}

/** The address of a comparison. */
export function writeCompare({ runIds, search, isAll }: CompareView): string {
  const params = new URLSearchParams();
  for (const id of runIds) params.append("run", id);
  if (search !== "") params.set("search", search);
  if (isAll) params.set("all", "");
  const text = params.toString();
  return text === "" ? "/compare" : `/compare?${text}`;
}

/** Where some runs stand side by side, what tells them apart first. */
export function compareAddress(runIds: string[]): string {
  return writeCompare({ runIds, search: "", isAll: false });
}
