/** Processes that are started here and ended here, each by its own id. */
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";

const running = new Set();

/**
 * Starts a program; what it writes is kept for failure texts.
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: Record<string, string | undefined>, stdio?: any[] }} [options]
 */
export function start(program, args, { env = {}, stdio = ["ignore", "pipe", "pipe"] } = {}) {
  const variables = { ...process.env, ...env };
  for (const [name, value] of Object.entries(env)) if (value === undefined) delete variables[name];
  const child = spawn(program, args, { env: variables, stdio });
  const started = { child, output: "", exit: undefined };
  started.ended = new Promise((resolve) => {
    child.on("exit", (code, signal) => {
      running.delete(started);
      started.exit = { code, signal };
      resolve(started.exit);
    });
    child.on("error", (error) => {
      running.delete(started);
      started.output += `${program} cannot be started: ${error.message}\n`;
      started.exit = { code: -1, signal: null };
      resolve(started.exit);
    });
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (data) => {
      started.output = (started.output + data).slice(-20_000);
    });
  }
  running.add(started);
  return started;
}

/** Ends a process: SIGTERM, and SIGKILL after a while. */
export async function end(started, patienceMs = 8000) {
  if (started.exit !== undefined) return started.exit;
  started.child.kill("SIGTERM");
  const timer = setTimeout(() => started.child.kill("SIGKILL"), patienceMs);
  const exit = await started.ended;
  clearTimeout(timer);
  return exit;
}

/** Runs a program to its end and gives what it printed. */
export function read(program, args, env = {}) {
  const done = spawnSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, ...env },
    timeout: 20_000,
  });
  if (done.status !== 0) {
    throw new Error(`${program} ${args.join(" ")}: ${done.error?.message ?? done.stderr}`);
  }
  return done.stdout;
}

/** A port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Nothing outlives the tests, however they end.
process.on("exit", () => {
  for (const started of running) started.child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
