/** A small runner: independent tests, each with its own folders, servers and windows. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { PATIENCE_MS, startBrowser, Window } from "./browser.mjs";
import { Client } from "./client.mjs";
import { startServer } from "./server.mjs";

/** The longest that one test may take, in milliseconds. */
const LIMIT_MS = 90_000;

const tests = [];

/**
 * Adds a test.
 * @param {string} fact what is true when it passes
 * @param {(world: World) => Promise<void>} run
 */
export function test(fact, run) {
  tests.push({ fact, run });
}

/** What one test uses; all of it is gone afterwards. */
export class World {
  #browser;
  #folder = mkdtempSync(path.join(tmpdir(), "cairn-interface-"));
  #windows = [];
  #servers = [];
  #clients = [];

  constructor(browser) {
    this.#browser = browser;
  }

  /** A path in the folder of this test. */
  path(...parts) {
    return path.join(this.#folder, ...parts);
  }

  /** Starts the program on a store of this test, `store` unless another is named. */
  async serve({ store = this.path("store"), args = [], env = {} } = {}) {
    const server = await startServer({ store, home: this.path("home"), args, env });
    this.#servers.push(server);
    return server;
  }

  /** A client of a server. */
  client(server) {
    const client = new Client(server.trackingUri);
    this.#clients.push(client);
    return client;
  }

  /** Opens the interface in a window of its own. */
  async open(server, place = "/") {
    const window = await Window.open(this.#browser);
    this.#windows.push(window);
    const page = await window.goto(server.link);
    if (place !== "/") await page.goto(`${server.origin}${place}`);
    return { window, page };
  }

  /** What the interface complained of in any window. */
  get complaints() {
    return this.#windows.flatMap((window) => window.complaints);
  }

  /** Keeps a picture of every tab. */
  async picture(folder, name) {
    mkdirSync(folder, { recursive: true });
    const kept = [];
    for (const window of this.#windows) {
      for (const page of window.context.pages()) {
        const number = kept.length === 0 ? "" : `-${String(kept.length + 1)}`;
        const file = path.join(folder, `${name.replaceAll(/[^a-z0-9]+/gi, "-")}${number}.png`);
        await page.screenshot({ path: file, timeout: 10_000 });
        kept.push(file);
      }
    }
    return kept;
  }

  /** What the servers wrote. */
  get outputs() {
    return this.#servers.map((server) => server.output).join("");
  }

  async close() {
    await Promise.all(this.#windows.map((window) => window.context.close()));
    for (const client of this.#clients) client.close();
    const ends = await Promise.all(this.#servers.map((server) => server.stop()));
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    for (const { code, signal } of ends) {
      if (code !== 0) throw new Error(`cairn did not stop cleanly: ${code ?? signal}`);
    }
  }
}

/**
 * Runs the tests whose name holds one of the given words, or all.
 * @returns {Promise<number>} the exit code
 */
export async function runAll(words) {
  const chosen = tests.filter(
    ({ fact }) => words.length === 0 || words.some((word) => fact.includes(word)),
  );
  const pictures = process.env.CAIRN_SCREENSHOTS ?? path.join(tmpdir(), "cairn-interface-failures");
  const began = performance.now();
  const browser = await startBrowser();
  let failed = 0;
  for (const { fact, run } of chosen) {
    const started = performance.now();
    const world = new World(browser);
    const problems = [];
    try {
      await limited(run(world));
    } catch (error) {
      problems.push(describe(error));
    }
    problems.push(...world.complaints.map((text) => `the page complained: ${text}`));
    if (problems.length > 0) {
      const kept = await world.picture(pictures, fact).catch((error) => [describe(error)]);
      problems.push(...kept.map((file) => `picture: ${file}`));
      if (world.outputs !== "") problems.push(`the program wrote:\n${world.outputs}`);
    }
    await world.close().catch((error) => problems.push(describe(error)));
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${problems.length === 0 ? "ok     " : "FAILED "} ${fact} (${seconds} s)`);
    for (const problem of problems) console.log(problem.replace(/^/gm, "        "));
    if (problems.length > 0) failed += 1;
  }
  await browser.close();
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`\n${chosen.length - failed} passed, ${failed} failed, in ${seconds} s`);
  return failed === 0 && chosen.length > 0 ? 0 : 1;
}

function describe(error) {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function limited(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * Asks again until the answer is true in JavaScript's sense, and gives it.
 * @param {string} what the sentence after “waited for”
 * @param {() => any} ask an exception counts as no
 */
export async function until(what, ask, limitMs = PATIENCE_MS) {
  const end = performance.now() + limitMs;
  for (;;) {
    let answer;
    try {
      answer = await ask();
      if (answer) return answer;
    } catch (error) {
      answer = error;
    }
    if (performance.now() > end) {
      const last = answer instanceof Error ? answer.message : JSON.stringify(answer);
      throw new Error(`waited ${limitMs / 1000} s for ${what}; the last answer was ${last}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
