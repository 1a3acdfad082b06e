/** Chromium, and pages of it that keep a record of what the interface asked for and complained of. */
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.resolve(import.meta.dirname, "../../../ui/package.json"));
const { chromium } = require("playwright-core");

/** The longest that a page may take for anything that a test waits for, in milliseconds. */
export const PATIENCE_MS = 15_000;

/** Starts the browser that all tests share; each test gets windows of its own. */
export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CAIRN_CHROMIUM ?? "/usr/bin/chromium",
    // Scrollbars are dragged by tests.
    ignoreDefaultArgs: ["--hide-scrollbars"],
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A browser window with no history; tabs of it share cookies and storage. */
export class Window {
  static async open(browser) {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      locale: "en-US",
      timezoneId: "UTC",
      colorScheme: "light",
      reducedMotion: "reduce",
      permissions: ["clipboard-read", "clipboard-write"],
    });
    context.setDefaultTimeout(PATIENCE_MS);
    return new Window(context);
  }

  constructor(context) {
    this.context = context;
    /** What no page may cause, in words: errors in scripts, refused resources, dead requests. */
    this.complaints = [];
    /** Answers to commands, in order of arrival: `{ name, args, status, result }`. */
    this.calls = [];
    /** Answers that are still read. */
    this.reading = new Set();
    context.on("weberror", (error) => this.complaints.push(`exception: ${error.error().stack}`));
    context.on("console", (message) => {
      if (!["error", "warning"].includes(message.type())) return;
      // The browser itself notes refused commands; the interface shows them in words.
      if (
        /Failed to load resource/.test(message.text()) &&
        /\/call\//.test(message.location().url)
      ) {
        return;
      }
      this.complaints.push(`console: ${message.text()} (${message.location().url})`);
    });
    context.on("response", (response) => {
      const url = new URL(response.url());
      if (!url.pathname.startsWith("/call/")) return;
      const reading = this.#keep(response, url).finally(() => this.reading.delete(reading));
      this.reading.add(reading);
    });
  }

  async #keep(response, url) {
    const call = { name: url.pathname.slice("/call/".length), status: response.status() };
    try {
      call.args = response.request().postDataJSON();
      call.result = await response.json();
    } catch {
      // The page left before the answer was read.
      return;
    }
    this.calls.push(call);
  }

  /** The answers to one command so far. */
  async callsOf(name) {
    await Promise.all(this.reading);
    return this.calls.filter((call) => call.name === name);
  }

  /** Opens a tab by a link, such as the one with the token. */
  async goto(link) {
    const page = await this.context.newPage();
    await page.goto(link);
    return page;
  }
}
