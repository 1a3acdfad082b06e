/** `cairn serve --ui` as a person starts it: the built program, a store of its own, free ports. */
import { spawn } from "node:child_process";

/** The longest that a start or a stop may take, in milliseconds. */
const PATIENCE_MS = 20_000;

const running = new Set();
// Nothing outlives the tests, however they end.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/**
 * Starts the program and waits until it has printed its addresses.
 * @param {object} options
 * @param {string} options.store
 * @param {string} options.home holds the settings
 * @param {string[]} [options.args]
 * @param {Record<string, string>} [options.env] besides what this process has
 */
export async function startServer({ store, home, args = [], env = {} }) {
  const program = process.env.CAIRN_BIN;
  if (!program) throw new Error("CAIRN_BIN is not set: `cargo build -p cairn-cli` makes it");
  const child = spawn(program, ["serve", "--ui", "--store", store, "--port", "0", ...args], {
    env: { ...process.env, ...env, CAIRN_HOME: home },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const server = new Server(child);
  await server.ready();
  return server;
}

export class Server {
  output = "";
  /** How the program ended; `undefined` while it works. */
  exit;
  #ended;

  constructor(child) {
    this.child = child;
    this.#ended = new Promise((resolve) => {
      child.on("exit", (code, signal) => {
        running.delete(child);
        this.exit = { code, signal };
        resolve(this.exit);
      });
      child.on("error", (error) => {
        running.delete(child);
        this.output += error.message;
        this.exit = { code: -1, signal: null };
        resolve(this.exit);
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => (this.output += data));
    }
  }

  /** Resolves when both addresses are known. */
  async ready() {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const link = /Open (http:\S+) in a browser/.exec(this.output)?.[1];
      if (link !== undefined) {
        this.link = link;
        /** Where the interface is: scheme, name and port. */
        this.origin = new URL(link).origin;
        /** What `mlflow.set_tracking_uri` gets; `undefined` when no store could be opened. */
        this.trackingUri = /Serving .+ at (http:\S+)/.exec(this.output)?.[1];
        return;
      }
      if (this.exit !== undefined) throw new Error(`cairn ended at its start: ${this.output}`);
      if (performance.now() > end) throw new Error(`cairn printed no link: ${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
  }

  /** Asks it to stop, as a terminal or a service manager does, and tells how it ended. */
  async stop() {
    if (this.exit === undefined) {
      this.child.kill("SIGTERM");
      const timer = setTimeout(() => this.child.kill("SIGKILL"), PATIENCE_MS);
      await this.#ended;
      clearTimeout(timer);
    }
    return this.exit;
  }
}
