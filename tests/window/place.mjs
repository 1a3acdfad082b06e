/** The window opens where it was left; the program takes turns with others. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";

import { Client } from "./lib/client.mjs";
import { end, read } from "./lib/processes.mjs";
import { sleep, until } from "./lib/tests.mjs";
import { openDesk } from "./lib/window.mjs";

/** Starts the program and waits until its window has settled. */
async function startAndFind(desk) {
  const program = desk.startProgram();
  const id = await until("the window", () => {
    if (program.exit) throw new Error(`the program ended: ${program.output}`);
    return desk.display.xdotool("search", "--onlyvisible", "--name", "^Cairn$").split("\n")[0];
  });
  await sleep(1000);
  return { program, id };
}

const settings = (desk) =>
  JSON.parse(readFileSync(desk.path("cairn", "config", "settings.json"), "utf8"));

/** The process that holds the page of a program, as long as there is exactly one. */
function pageProcess(program) {
  const children = readdirSync("/proc").filter((id) => {
    if (!/^\d+$/.test(id)) return false;
    let stat;
    try {
      stat = readFileSync(`/proc/${id}/stat`, "utf8");
    } catch {
      // It ended meanwhile.
      return false;
    }
    const [, name, state, parent] = /\((.*)\) (\S) (\d+)/.exec(stat);
    // The kernel keeps 15 characters of a name.
    return name === "WebKitWebProces" && state !== "Z" && Number(parent) === program.child.pid;
  });
  return children.length === 1 ? Number(children[0]) : undefined;
}

/** What a window shows, as bytes that are the same for the same content. */
function picture(desk, id) {
  const file = desk.path("picture.ppm");
  read("import", ["-display", desk.display.name, "-window", id, file]);
  return readFileSync(file);
}

/** How many colours a window shows; a blank one shows one. */
function colours(desk, id) {
  picture(desk, id);
  return Number(read("identify", ["-format", "%k", desk.path("picture.ppm")]));
}

export default [
  {
    name: "Where the window was left",
    async open() {
      return { desk: await openDesk() };
    },
    close: ({ desk }) => desk.close(),
    steps: [
      [
        "the first window has the size that was designed",
        async (shared) => {
          const { desk } = shared;
          const { program, id } = await startAndFind(desk);
          shared.program = program;
          shared.id = id;
          const { width, height } = desk.display.sizeOf(id);
          assert.deepEqual({ width, height }, { width: 1280, height: 800 });
        },
      ],
      [
        "it is not made smaller than its content allows",
        async ({ desk, id }) => {
          desk.display.xdotool("windowsize", id, "500", "300");
          await sleep(700);
          const { width, height } = desk.display.sizeOf(id);
          assert.deepEqual({ width, height }, { width: 1024, height: 640 });
        },
      ],
      [
        "closing it ends the program in order and soon",
        async (shared) => {
          const { desk, id, program } = shared;
          desk.display.xdotool("windowsize", id, "1100", "700");
          desk.display.xdotool("windowmove", id, "120", "80");
          await sleep(700);
          shared.left = desk.display.sizeOf(id);
          assert.deepEqual([shared.left.width, shared.left.height], [1100, 700]);
          const started = performance.now();
          desk.display.closeWindow(id);
          const exit = await Promise.race([program.ended, sleep(10_000)]);
          assert.deepEqual(exit, { code: 0, signal: null }, program.output);
          assert.ok(performance.now() - started < 5000, "it took more than 5 s");
        },
      ],
      [
        "the next window has that size and place",
        async (shared) => {
          const { desk, left } = shared;
          const { program, id } = await startAndFind(desk);
          shared.program = program;
          assert.deepEqual(desk.display.sizeOf(id), left);
          desk.display.screenshot("where it was left");
        },
      ],
      [
        "what it keeps lies in its own folder, for this user alone",
        async ({ desk }) => {
          assert.ok(statSync(desk.path("cairn", "config", "window.json")).isFile());
          for (const folder of ["config", "data", "data/store", "data/webview"]) {
            assert.equal(statSync(desk.path("cairn", folder)).mode & 0o777, 0o700, folder);
          }
        },
      ],
      [
        "the page comes back when its process dies",
        async ({ desk, program }) => {
          const id = await desk.display.windowTitled("Cairn");
          await until("a drawn page", () => colours(desk, id) > 20);
          const before = await until("the process of the page", () => pageProcess(program));
          process.kill(before, "SIGKILL");
          await until("another process", () => {
            const now = pageProcess(program);
            return now !== undefined && now !== before;
          });
          await until("a drawn page again", () => colours(desk, id) > 20);
          // What is drawn might be what was left: only a page that lives changes.
          await sleep(1000);
          const still = picture(desk, id);
          await new Client(`http://127.0.0.1:${settings(desk).port}`).createRun("after-the-fall");
          await until("the run to be drawn", () => !picture(desk, id).equals(still));
          desk.display.screenshot("the page came back");
          assert.equal(program.exit, undefined, "the program ended with the page");
        },
      ],
      [
        "SIGTERM ends it in order, and the port is the same at the next start",
        async (shared) => {
          const { port } = settings(shared.desk);
          assert.ok(port > 0);
          const exit = await end(shared.program);
          assert.deepEqual(exit, { code: 0, signal: null }, shared.program.output);
          await assert.rejects(fetch(`http://127.0.0.1:${port}/health`), "the port is still taken");
          const { program } = await startAndFind(shared.desk);
          shared.program = program;
          assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200);
          assert.equal(settings(shared.desk).port, port);
          await end(program);
        },
      ],
      [
        "without a display it says so",
        async ({ desk }) => {
          const nowhere = { DISPLAY: undefined, WAYLAND_DISPLAY: undefined };
          const program = desk.startProgram([], nowhere);
          const exit = await program.ended;
          assert.equal(exit.code, 1);
          assert.match(program.output, /no display/);
        },
      ],
      [
        "while another program has the port, the window says which one it uses instead",
        async ({ desk }) => {
          const { port } = settings(desk);
          const other = createServer();
          await new Promise((resolve) => other.listen(port, "127.0.0.1", resolve));
          const window = await desk.openWindow();
          try {
            await window.see(`instead of port ${port}`);
            const address = /http:\/\/127\.0\.0\.1:(\d+)/.exec(await window.text());
            assert.notEqual(Number(address[1]), port);
            assert.equal((await fetch(`${address[0]}/health`)).status, 200);
            await window.screenshot("instead of the usual port");
          } finally {
            await window.close();
            other.close();
          }
        },
      ],
    ],
  },
];
