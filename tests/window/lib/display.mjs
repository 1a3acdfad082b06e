/** A display without a screen, with a window manager, and hands on its keyboard. */
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { end, read, start } from "./processes.mjs";
import { sleep, until } from "./tests.mjs";

/** Starts an X server on a number that it chooses itself, and openbox on it. */
export async function openDisplay() {
  // Without -noreset it begins anew when its last client leaves, and throws out whoever just came.
  const server = start("Xvfb", ["-displayfd", "3", "-screen", "0", "1440x900x24", "-nolisten", "tcp", "-noreset"], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  let number = "";
  server.child.stdio[3].on("data", (data) => (number += data));
  await until("Xvfb to choose a display", () => number.includes("\n"));
  const name = `:${number.trim()}`;
  const manager = start("openbox", [], { env: { DISPLAY: name } });
  await until("openbox", () =>
    read("xprop", ["-display", name, "-root", "_NET_SUPPORTING_WM_CHECK"]).includes("window id"),
  );
  return new Display(name, [manager, server]);
}

export class Display {
  constructor(name, processes) {
    this.name = name;
    this.processes = processes;
  }

  /** The environment of programs that shall appear here. */
  get env() {
    return {
      DISPLAY: this.name,
      WAYLAND_DISPLAY: undefined,
      // No desktop is running: without these GTK starts a message bus that nobody ends.
      DBUS_SESSION_BUS_ADDRESS: "disabled:",
      NO_AT_BRIDGE: "1",
      // As on a server or in a container; the program itself makes the best of it.
      LANG: "C",
      LANGUAGE: undefined,
      LC_ALL: undefined,
    };
  }

  async close() {
    for (const started of this.processes) await end(started);
  }

  xdotool(...args) {
    return read("xdotool", args, { DISPLAY: this.name }).trim();
  }

  /**
   * Drags files from a window of another program over the one with this id. `drop` lets them go
   * there; until then they are held.
   */
  async drag(files, id) {
    const title = "files to drag";
    const program = compileDrag();
    const addresses = files.map((file) => pathToFileURL(file).href);
    const source = start(program, [title, ...addresses], { env: this.env });
    const from = this.sizeOf(await this.windowTitled(title));
    const to = this.sizeOf(id);
    const move = (x, y) => this.xdotool("mousemove", String(Math.round(x)), String(Math.round(y)));
    const [x, y] = [from.x + from.width / 2, from.y + from.height / 2];
    const [endX, endY] = [to.x + to.width / 2, to.y + to.height / 2];
    move(x, y);
    await sleep(200);
    this.xdotool("mousedown", "1");
    for (let step = 1; step <= 12; step += 1) {
      await sleep(60);
      move(x + ((endX - x) * step) / 12, y + ((endY - y) * step) / 12);
    }
    return {
      drop: () => this.xdotool("mouseup", "1"),
      leave: async () => {
        move(x, y);
        await sleep(300);
        this.xdotool("mouseup", "1");
      },
      close: () => end(source),
    };
  }

  /** The id of the visible window with exactly this title. */
  async windowTitled(title) {
    const pattern = `^${title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
    const found = await until(`a window titled “${title}”`, () =>
      this.xdotool("search", "--onlyvisible", "--name", pattern),
    );
    return found.split("\n")[0];
  }

  /** Asks a window to close, as its button does. */
  closeWindow(id) {
    this.xdotool("windowactivate", "--sync", id);
    this.xdotool("key", "alt+F4");
  }

  /** Whether a window with this title can be seen. */
  hasWindow(title) {
    try {
      return this.xdotool("search", "--onlyvisible", "--name", `^${title}$`) !== "";
    } catch {
      return false;
    }
  }

  /** Size of a window's content, as the X server knows it. */
  sizeOf(id) {
    const text = read("xwininfo", ["-display", this.name, "-id", id]);
    const number = (label) => Number(new RegExp(`${label}:\\s+(-?\\d+)`).exec(text)?.[1]);
    return {
      width: number("Width"),
      height: number("Height"),
      x: number("Absolute upper-left X"),
      y: number("Absolute upper-left Y"),
    };
  }

  /** Types an ASCII path into GTK's file dialog and accepts it. */
  async choosePath(title, chosen) {
    const id = await this.windowTitled(title);
    this.xdotool("windowactivate", "--sync", id);
    await sleep(300);
    // Without Ctrl-L the dialog loses the second character.
    this.xdotool("key", "ctrl+l");
    await sleep(700);
    this.xdotool("key", "ctrl+a");
    this.xdotool("type", "--delay", "30", chosen);
    await sleep(1000);
    this.screenshot(`dialog ${title}`);
    // The first Return may only take over what was completed.
    await until(`the dialog “${title}” to close`, async () => {
      this.xdotool("key", "Return");
      await sleep(700);
      return !this.hasWindow(title);
    });
  }

  /**
   * Keeps a picture of the whole screen, with title bars and dialogs, or of one window's content.
   *
   * The X server is asked, not WebDriver: its pictures wait for a next frame, which never comes on a
   * page where nothing moves.
   */
  screenshot(name, id = "root") {
    const folder = process.env.CAIRN_SCREENSHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    const kind = id === "root" ? ".screen.png" : ".png";
    const file = path.join(folder, name.replaceAll(/[^a-z0-9]+/gi, "-") + kind);
    read("import", ["-display", this.name, "-window", id, file]);
  }
}

let dragProgram;

/** The program that files are dragged out of, made once. */
function compileDrag() {
  if (dragProgram === undefined) {
    const folder = mkdtempSync(path.join(tmpdir(), "cairn-window-"));
    const flags = read("pkg-config", ["--cflags", "--libs", "gtk+-3.0"]).trim().split(/\s+/);
    const built = path.join(folder, "drag");
    read("cc", ["-o", built, path.join(import.meta.dirname, "drag.c"), ...flags]);
    dragProgram = built;
  }
  return dragProgram;
}
