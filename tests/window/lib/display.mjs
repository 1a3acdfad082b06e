/** A display without a screen, with a window manager, and hands on its keyboard. */
import { mkdirSync } from "node:fs";
import path from "node:path";

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
