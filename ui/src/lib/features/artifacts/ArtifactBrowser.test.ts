import { screen } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import type { ArtifactEntry } from "$lib/rpc/bindings/ArtifactEntry";
import type { ArtifactPreview } from "$lib/rpc/bindings/ArtifactPreview";
import { draw } from "$lib/testing";

import ArtifactBrowser from "./ArtifactBrowser.svelte";

function entry(path: string, is_dir = false): ArtifactEntry {
  const name = path.split("/").at(-1) ?? path;
  return { path, name, is_dir, size_bytes: is_dir ? null : 1_500, modified: null };
}

const FOLDERS: Record<string, ArtifactEntry[]> = {
  "": [entry("model", true), entry("notes.txt")],
  model: [entry("model/MLmodel")],
};

function open(
  path: string,
  preview: (path: string) => ArtifactPreview = () => ({
    kind: "text",
    text: "first\nsecond\n",
    is_truncated: false,
    size_bytes: 13,
  }),
  folders = FOLDERS,
) {
  const onpath = vi.fn();
  const page = draw(
    ArtifactBrowser,
    { runId: "r", path, onpath },
    {
      "artifacts.list": (args) => folders[args.path] ?? [],
      "artifact.preview": (args) => preview(args.path),
    },
  );
  return { ...page, onpath };
}

describe("files of a run", () => {
  it("are read folder by folder, as folders are opened", async () => {
    const { host } = open("");
    await userEvent.click(await screen.findByText("model"));
    expect(await screen.findByText("MLmodel")).toBeTruthy();
    expect(host.callsOf("artifacts.list").map((args) => args.path)).toEqual(["", "model"]);
  });

  it("are shown where the address names one", async () => {
    open("model/MLmodel");
    const row = await screen.findByRole("treeitem", { name: /MLmodel/ });
    expect(row.getAttribute("aria-selected")).toBe("true");
    expect(row.getAttribute("aria-level")).toBe("2");
    expect(await screen.findByText("second")).toBeTruthy();
  });

  it("are listed where the address names a folder", async () => {
    const { host } = open("model");
    expect(await screen.findByText("MLmodel")).toBeTruthy();
    expect(await screen.findByText("Choose a file to see it here")).toBeTruthy();
    expect(screen.queryByRole("alert")).toBeNull();
    expect(host.callsOf("artifacts.list").map((args) => args.path)).toEqual(["", "model"]);
  });

  it("are walked and chosen by keys", async () => {
    const { onpath } = open("");
    const tree = await screen.findByRole("tree");
    await screen.findByText("model");
    tree.focus();
    await userEvent.keyboard("{ArrowDown}{ArrowRight}");
    await screen.findByText("MLmodel");
    await userEvent.keyboard("{ArrowRight}{Enter}");
    expect(onpath).toHaveBeenCalledWith("model/MLmodel");
    await userEvent.keyboard("{ArrowLeft}{ArrowLeft}");
    expect(screen.queryByText("MLmodel")).toBeNull();
    await userEvent.keyboard("n ");
    expect(onpath).toHaveBeenLastCalledWith("notes.txt");
  });

  it("say how much of a long text is shown", async () => {
    open("notes.txt", () => ({
      kind: "text",
      text: "a".repeat(1_000),
      is_truncated: true,
      size_bytes: 2_000_000,
    }));
    expect(await screen.findByText("The first 1 kB of 2 MB are shown")).toBeTruthy();
  });

  it("lay out JSON unless that is not wanted", async () => {
    open("a.json", () => ({
      kind: "text",
      text: '{"auc":0.9}',
      is_truncated: false,
      size_bytes: 11,
    }));
    expect(await screen.findByText("3 lines")).toBeTruthy();
    await userEvent.click(screen.getByLabelText("Lay out JSON"));
    expect(screen.getByText("1 line")).toBeTruthy();
  });

  it("show an image by its handle, and say when it cannot be drawn", async () => {
    open("a.png", () => ({ kind: "image", handle: "h1", mime: "image/png", size_bytes: 9 }));
    const image = await screen.findByRole("img", { name: "a.png" });
    expect(image.getAttribute("src")).toBe("memory:h1");
    image.dispatchEvent(new Event("error"));
    expect((await screen.findByRole("alert")).textContent).toContain("a.png could not be drawn");
  });

  it("say what a file is that has no preview", async () => {
    open("w.bin", () => ({ kind: "none", mime: "application/x-hdf5", size_bytes: 84_000_000 }));
    expect(await screen.findByText("application/x-hdf5")).toBeTruthy();
  });

  it("say why one could not be read", async () => {
    open("notes.txt", () => {
      throw Object.assign(new Error("notes.txt is gone"), { code: "not_found", hint: "Reload" });
    });
    expect((await screen.findByRole("alert")).textContent).toContain("notes.txt is gone");
  });

  it("say how to log one while there is none", async () => {
    open("", undefined, {});
    expect(await screen.findByText(/mlflow\.log_artifact/)).toBeTruthy();
  });

  it("are read again when the run logged more", async () => {
    const folders = { ...FOLDERS };
    const { host } = open("", undefined, folders);
    await screen.findByText("notes.txt");
    folders[""] = [...(FOLDERS[""] ?? []), entry("late.txt")];
    host.emit({
      type: "changed",
      experiments: false,
      runs_in: [],
      runs: [{ run_id: "r", facts: false, metrics: false, artifacts: true }],
      models: false,
      everything: false,
    });
    expect(await screen.findByText("late.txt")).toBeTruthy();
  });
});
