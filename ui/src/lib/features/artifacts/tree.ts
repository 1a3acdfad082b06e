/** The tree of a run's files as rows: which are shown, and where a key leads. */
import type { ArtifactEntry } from "$lib/rpc/bindings/ArtifactEntry";

/** What is known of a folder. */
export type Folder =
  | { readonly state: "waiting" }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "ready"; readonly entries: readonly ArtifactEntry[] };

/** A file or folder that is shown. */
export interface EntryRow {
  readonly kind: "entry";
  readonly entry: ArtifactEntry;
  /** 1 for what lies in the run's folder itself. */
  readonly level: number;
  readonly isExpanded: boolean;
  /** Place among its siblings, from 1. */
  readonly position: number;
  readonly siblings: number;
}

/** A line about an expanded folder whose content cannot be shown (yet). */
export interface NoteRow {
  readonly kind: "waiting" | "failed" | "empty";
  /** The folder. */
  readonly path: string;
  readonly level: number;
  /** Why, for `failed`. */
  readonly error?: unknown;
}

/** A row of the tree. */
export type TreeRow = EntryRow | NoteRow;

/** The rows that are shown, from the top: folders before files, each by name as people count. */
export function treeRows(
  folder: (path: string) => Folder,
  expanded: ReadonlySet<string>,
): TreeRow[] {
  const rows: TreeRow[] = [];
  const visit = (path: string, level: number) => {
    const content = folder(path);
    if (content.state === "waiting") return rows.push({ kind: "waiting", path, level });
    if (content.state === "failed") {
      return rows.push({ kind: "failed", path, level, error: content.error });
    }
    if (content.entries.length === 0) return rows.push({ kind: "empty", path, level });
    const entries = [...content.entries].sort(byFolderThenName);
    entries.forEach((entry, index) => {
      const isExpanded = entry.is_dir && expanded.has(entry.path);
      rows.push({
        kind: "entry",
        entry,
        level,
        isExpanded,
        position: index + 1,
        siblings: entries.length,
      });
      if (isExpanded) visit(entry.path, level + 1);
    });
    return;
  };
  visit("", 1);
  return rows;
}

/** Compares `step 9` before `step 10`. In English order, so that a list is the same everywhere. */
const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;

function byFolderThenName(a: ArtifactEntry, b: ArtifactEntry): number {
  if (a.is_dir !== b.is_dir) return a.is_dir ? -1 : 1;
  return byName(a.name, b.name) || (a.name < b.name ? -1 : 1);
}

/** The folders above a path, outermost first: `a/b/c` lies in `a` and `a/b`. */
export function foldersAbove(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** What a key does in the tree. */
export type TreeMove =
  | { readonly do: "focus"; readonly path: string }
  | { readonly do: "expand" | "collapse"; readonly path: string };

/**
 * What a key does while the row of `focused` has the focus: the keys of the ARIA tree pattern, and a
 * letter goes to the next name that begins with it. `null` when it does nothing.
 */
export function moveInTree(
  rows: readonly TreeRow[],
  focused: string | null,
  key: string,
): TreeMove | null {
  const entries = rows.filter((row): row is EntryRow => row.kind === "entry");
  const index = entries.findIndex((row) => row.entry.path === focused);
  const here = entries[index];
  const focus = (row: EntryRow | undefined): TreeMove | null =>
    row === undefined || row === here ? null : { do: "focus", path: row.entry.path };
  switch (key) {
    case "ArrowDown":
      return focus(entries[index + 1]);
    case "ArrowUp":
      return focus(entries[Math.max(0, index - 1)]);
    case "Home":
      return focus(entries[0]);
    case "End":
      return focus(entries.at(-1));
    case "ArrowRight": {
      if (!here?.entry.is_dir) return null;
      if (!here.isExpanded) return { do: "expand", path: here.entry.path };
      const child = entries[index + 1];
      return child !== undefined && child.level > here.level ? focus(child) : null;
    }
    case "ArrowLeft": {
      if (here === undefined) return null;
      if (here.isExpanded) return { do: "collapse", path: here.entry.path };
      const parent = foldersAbove(here.entry.path).at(-1);
      return focus(entries.find((row) => row.entry.path === parent));
    }
    default: {
      if (key.length !== 1 || key === " ") return null;
      const letter = key.toLocaleLowerCase("en");
      const after = [...entries.slice(index + 1), ...entries.slice(0, Math.max(0, index))];
      return focus(after.find((row) => row.entry.name.toLocaleLowerCase("en").startsWith(letter)));
    }
  }
}
