/** The program under test, with and without WebDriver. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { Builder, Capabilities } from "selenium-webdriver";

import { openDisplay } from "./display.mjs";
import { end, freePort, start } from "./processes.mjs";
import { until } from "./tests.mjs";

/** What an environment variable names, or a text that says how to get it. */
function needed(name, hint) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: ${hint}`);
  return value;
}

const program = () =>
  needed("CAIRN_DESKTOP_BIN", "build with `cargo build -p cairn-desktop --features custom-protocol`");

/** A display and a fresh home for the program. */
export async function openDesk() {
  const home = mkdtempSync(path.join(tmpdir(), "cairn-window-"));
  const display = await openDisplay();
  return new Desk(home, display);
}

export class Desk {
  constructor(home, display) {
    this.home = home;
    this.display = display;
  }

  get env() {
    return { ...this.display.env, CAIRN_HOME: path.join(this.home, "cairn") };
  }

  /** A path below the home of this journey. */
  path(...parts) {
    return path.join(this.home, ...parts);
  }

  /** Starts the program as a person does, without WebDriver. */
  startProgram(args = [], env = {}) {
    return start(program(), args, { env: { ...this.env, ...env } });
  }

  /** Starts the program under WebDriver. */
  async openWindow(args = []) {
    const [port, nativePort] = [await freePort(), await freePort()];
    const bridge = start(
      needed("CAIRN_TAURI_DRIVER", "the path of tauri-driver 2"),
      ["--port", String(port), "--native-port", String(nativePort)],
      { env: this.env },
    );
    const capabilities = new Capabilities({
      browserName: "wry",
      "tauri:options": { application: program(), args },
    });
    const driver = await until(
      "tauri-driver to open the window",
      async () => {
        if (bridge.exit) throw new Error(`tauri-driver ended: ${bridge.output}`);
        return new Builder().usingServer(`http://127.0.0.1:${port}/`).withCapabilities(capabilities).build();
      },
      60_000,
    ).catch(async (error) => {
      await end(bridge);
      throw new Error(`${error.message}\n${bridge.output}`);
    });
    await driver.manage().setTimeouts({ script: 20_000 });
    return new Window(driver, bridge, this.display);
  }

  async close() {
    await this.display.close();
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

export class Window {
  constructor(driver, bridge, display) {
    this.driver = driver;
    this.bridge = bridge;
    this.display = display;
  }

  async close() {
    // A window that is gone already needs no quitting.
    await this.driver.quit().catch(() => {});
    await end(this.bridge);
  }

  /** Runs a function in the page. */
  run(script, ...args) {
    return this.driver.executeScript(script, ...args);
  }

  /** All text that can be seen. */
  text() {
    return this.run(() => document.body.innerText);
  }

  /** Waits until the page shows a text. */
  see(text, limitMs) {
    return until(`the page to show “${text}”`, async () => (await this.text()).includes(text), limitMs);
  }

  /** Waits for a button, tab or menu item by its words, and clicks it. */
  async click(role, words) {
    const roles = {
      button: "button",
      item: "[role=menuitem], [role=menuitemcheckbox], [role=menuitemradio]",
      tab: "[role=tab]",
    };
    const element = await until(`${role} “${words}”`, () =>
      this.run(
        (selector, words) =>
          [...document.querySelectorAll(selector)].find(
            (element) =>
              element.getClientRects().length > 0 &&
              [element.innerText.trim(), element.getAttribute("aria-label")].some((text) =>
                text?.startsWith(words),
              ),
          ) ?? null,
        roles[role],
        words,
      ),
    );
    await element.click();
  }

  /** Presses keys as a person at the keyboard does. */
  press(...keys) {
    return this.driver.actions().sendKeys(...keys).perform();
  }

  /** The rows of the run table that are drawn, in order, cells as texts. */
  rows() {
    return this.run(() =>
      [...document.querySelectorAll('[role="grid"] [role="row"]')]
        .filter((row) => Number(row.getAttribute("aria-rowindex")) > 1)
        .sort((a, b) => a.getAttribute("aria-rowindex") - b.getAttribute("aria-rowindex"))
        .map((row) => [...row.querySelectorAll('[role="gridcell"]')].map((cell) => cell.innerText.trim())),
    );
  }

  /** Waits for a row that holds all these texts. */
  row(...texts) {
    return until(`a row with ${texts.join(", ")}`, async () =>
      (await this.rows()).find((row) => texts.every((text) => row.join("\n").includes(text))),
    );
  }

  /** Keeps a picture of the page. */
  async screenshot(name) {
    // What the page shows now is drawn within two frames.
    await this.driver.executeAsyncScript((done) => {
      setTimeout(done, 200);
      requestAnimationFrame(() => requestAnimationFrame(done));
    });
    this.display.screenshot(name, await this.display.windowTitled("Cairn"));
  }
}
