import { describe, expect, it } from "vitest";
import type { ArtifactEntry } from "$lib/rpc/bindings/ArtifactEntry";
import { foldersAbove, moveInTree, treeRows, type Folder, type TreeRow } from "./tree";

function entry(path: string, is_dir = false): ArtifactEntry {
  const name = path.split("/").at(-1) ?? path;
  return { path, name, is_dir, size_bytes: is_dir ? null : 10, modified: 0 };
}

const FOLDERS: Record<string, ArtifactEntry[]> = {
  "": [entry("b.txt"), entry("step 10.png"), entry("step 9.png"), entry("model", true)],
  model: [entry("model/MLmodel"), entry("model/empty", true)],
  "model/empty": [],
};

function folder(path: string): Folder {
  const entries = FOLDERS[path];
  return entries ? { state: "ready", entries } : { state: "waiting" };
}

function show(rows: TreeRow[]): string[] {
  return rows.map((row) =>
    row.kind === "entry"
      ? `${"  ".repeat(row.level - 1)}${row.entry.name}`
      : `${"  ".repeat(row.level - 1)}(${row.kind})`,
  );
}

describe("artifact tree", () => {
  it("puts folders first and counts as people do", () => {
    expect(show(treeRows(folder, new Set()))).toEqual([
      "model",
      "b.txt",
      "step 9.png",
      "step 10.png",
    ]);
  });

  it("shows what expanded folders hold, and says when that is nothing", () => {
    expect(show(treeRows(folder, new Set(["model", "model/empty"])))).toEqual([
      "model",
      "  empty",
      "    (empty)",
      "  MLmodel",
      "b.txt",
      "step 9.png",
      "step 10.png",
    ]);
  });

  it("says which folder is read or could not be read", () => {
    const broken = new Error("gone");
    const rows = treeRows(
      (path) =>
        path === ""
          ? { state: "ready", entries: [entry("a", true), entry("c", true)] }
          : path === "a"
            ? { state: "failed", error: broken }
            : { state: "waiting" },
      new Set(["a", "c"]),
    );
    expect(show(rows)).toEqual(["a", "  (failed)", "c", "  (waiting)"]);
    expect(rows[1]).toMatchObject({ path: "a", error: broken });
  });

  it("counts each row among its siblings", () => {
    const rows = treeRows(folder, new Set(["model"]));
    expect(rows[2]).toMatchObject({ level: 2, position: 2, siblings: 2 });
    expect(rows[3]).toMatchObject({ level: 1, position: 2, siblings: 4 });
  });

  it("knows the folders above a path", () => {
    expect(foldersAbove("a/b/c.txt")).toEqual(["a", "a/b"]);
    expect(foldersAbove("c.txt")).toEqual([]);
  });
});

describe("keys in the artifact tree", () => {
  const open = treeRows(folder, new Set(["model"]));
  const check = (focused: string | null, key: string, expected: string | null) => {
    const move = moveInTree(open, focused, key);
    expect(move === null ? null : `${move.do} ${move.path}`).toBe(expected);
  };

  it("moves over what is shown", () => {
    check("model", "ArrowDown", "focus model/empty");
    check("model/MLmodel", "ArrowDown", "focus b.txt");
    check("b.txt", "ArrowUp", "focus model/MLmodel");
    check("model", "ArrowUp", null);
    check("step 10.png", "ArrowDown", null);
    check("b.txt", "Home", "focus model");
    check("b.txt", "End", "focus step 10.png");
    check(null, "ArrowDown", "focus model");
  });

  it("expands, enters, leaves and collapses", () => {
    check("model/empty", "ArrowRight", "expand model/empty");
    check("model", "ArrowRight", "focus model/empty");
    check("model/MLmodel", "ArrowLeft", "focus model");
    check("model", "ArrowLeft", "collapse model");
    check("b.txt", "ArrowLeft", null);
    check("b.txt", "ArrowRight", null);
  });

  it("goes to the next name that begins with a letter, round the end", () => {
    check("model", "s", "focus step 9.png");
    check("step 9.png", "S", "focus step 10.png");
    check("step 10.png", "b", "focus b.txt");
    check("b.txt", "z", null);
    check("b.txt", "Tab", null);
    check("b.txt", " ", null);
  });
});
