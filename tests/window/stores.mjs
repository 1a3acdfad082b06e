/** Opening another store through the system's own dialog. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";

import { Client } from "./lib/client.mjs";
import { end } from "./lib/processes.mjs";
import { until } from "./lib/tests.mjs";
import { openDesk } from "./lib/window.mjs";

/** Fills a store by a first program of its own, which is ended in order. */
async function fill(desk, folder, names) {
  const home = { CAIRN_HOME: desk.path("another-home") };
  const program = desk.startProgram(["--store", folder], { ...home, CAIRN_LOG: "cairn=info,warn" });
  const settings = desk.path("another-home", "config", "settings.json");
  const client = await until("the first program to answer", async () => {
    if (program.exit) throw new Error(`it ended: ${program.output}`);
    const { port } = JSON.parse(readFileSync(settings, "utf8"));
    const client = new Client(`http://127.0.0.1:${port}`);
    await client.post("experiments/search", { max_results: 1 });
    return client;
  });
  for (const name of names) {
    const run = await client.createRun(name);
    await client.finish(run.run_id);
  }
  const exit = await end(program);
  assert.deepEqual(exit, { code: 0, signal: null }, `SIGTERM: ${program.output}`);
}

async function open() {
  const desk = await openDesk();
  try {
    const here = desk.path("here");
    const other = desk.path("other");
    await fill(desk, here, ["first-run-here"]);
    await fill(desk, other, ["amber-otter-1", "amber-otter-2"]);
    const window = await desk.openWindow([here]);
    return { desk, window, display: desk.display, here, other };
  } catch (error) {
    await desk.close();
    throw error;
  }
}

export default [
  {
    name: "Another store",
    open,
    async close({ desk, window }) {
      await window.close();
      await desk.close();
    },
    async onFailure({ window, display }, step) {
      display.screenshot(`failed ${step}`);
      await window.screenshot(`failed ${step}`);
    },
    steps: [
      [
        "the store named on the command line is open",
        async ({ window }) => {
          await window.row("first-run-here");
        },
      ],
      [
        "the dialog opens another one, and its runs are shown",
        async ({ window, display, other }) => {
          await window.click("button", "here");
          await window.click("item", "Open a store folder");
          await display.choosePath("Open a store folder", other);
          await window.row("amber-otter-2");
          await window.row("amber-otter-1");
          const rows = await window.rows();
          assert.ok(!JSON.stringify(rows).includes("first-run-here"), "rows of the old store remain");
          await window.screenshot("another store");
        },
      ],
      [
        "clients now log to that one",
        async ({ window }) => {
          const address = /http:\/\/127\.0\.0\.1:\d+/.exec(await window.text())?.[0];
          const run = await new Client(address).createRun("amber-otter-3");
          await window.row("amber-otter-3", "Running");
          await new Client(address).finish(run.run_id);
        },
      ],
      [
        "a file that is no database is refused with a reason, and the store stays",
        async ({ desk, window, display, other }) => {
          const file = desk.path("notes.db");
          const content = "shopping: milk, bread\n".repeat(400);
          writeFileSync(file, content);
          await window.click("button", "other");
          await window.click("item", "Open an mlflow.db");
          await display.choosePath("Open an mlflow.db", file);
          await until("a text that names the file", async () =>
            /notes\.db/.test(await window.text()),
          );
          await window.screenshot("no database");
          display.screenshot("no database");
          assert.match(await window.text(), /not (an|a) (MLflow|SQLite|database)|no (MLflow|SQLite)/i);
          await window.row("amber-otter-2");
          assert.ok((await window.text()).includes(other), "the status line names another store");
          assert.equal(readFileSync(file, "utf8"), content, "the file was changed");
        },
      ],
      [
        "the dialog can be left without choosing",
        async ({ window, display }) => {
          await window.click("button", "other");
          await window.click("item", "Open a store folder");
          const title = "Open a store folder";
          const id = await display.windowTitled(title);
          display.xdotool("windowactivate", "--sync", id);
          display.xdotool("key", "Escape");
          await until("the dialog to close", () => !display.hasWindow(title));
          await window.row("amber-otter-2");
        },
      ],
    ],
  },
];
