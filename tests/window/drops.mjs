/** Folders and files that are dragged from another program over the window, and dropped on it. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { until } from "./lib/tests.mjs";
import { openDesk } from "./lib/window.mjs";

/** A project whose only command would leave a trace. */
function writeProject(folder) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    path.join(folder, "MLproject"),
    'name: dropped\nentry_points:\n  main:\n    command: "touch trace"\n',
  );
}

export default [
  {
    name: "What is dropped on the window",
    async open() {
      const desk = await openDesk();
      const folder = desk.path("ein Projekt mit ü");
      writeProject(folder);
      const window = await desk.openWindow().catch(async (error) => {
        await desk.close();
        throw error;
      });
      await window.see("No runs yet");
      const id = await desk.display.windowTitled("Cairn");
      return { desk, window, folder, display: desk.display, id };
    },
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
        "a folder held over it is told what a drop would do, and nothing when it leaves",
        async ({ window, display, folder, id }) => {
          const held = await display.drag([folder], id);
          await window.see("to the projects");
          display.screenshot("a folder over the window");
          await held.leave();
          await until("the words to go", async () => !(await window.text()).includes("to the projects"));
          await held.close();
        },
      ],
      [
        "a folder that is dropped is a project, and nothing of it is run",
        async ({ window, display, folder, id }) => {
          const held = await display.drag([folder], id);
          await window.see("to the projects");
          held.drop();
          await window.see("What would run");
          await window.see("touch trace");
          await held.close();
          assert.equal(existsSync(path.join(folder, "trace")), false);
        },
      ],
      [
        "a file that is no project is refused with a reason",
        async ({ window, display, folder, id }) => {
          const held = await display.drag([path.join(folder, "MLproject")], id);
          held.drop();
          await window.see("Only the folder or the zip file of a project can be dropped here");
          await held.close();
        },
      ],
    ],
  },
];
