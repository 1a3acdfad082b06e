/** A project that is run from the window: it goes on when the window is closed, and is found again. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { until } from "./lib/tests.mjs";
import { openDesk } from "./lib/window.mjs";

/** A run begins with an environment that is made: on a busy machine that takes its time. */
const RUN_MS = 90_000;

/** Counts until a file says that it is enough, so that no step has to be quick. */
const TICKS = `import os, time

for tick in range(3000):
    if os.path.exists("enough"):
        break
    with open("ticks.txt", "w") as file:
        file.write(str(tick))
    print("tick", tick, flush=True)
    time.sleep(0.2)
print("it is enough", flush=True)
`;

function writeProject(folder) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    path.join(folder, "MLproject"),
    'name: ticks\npython_env: python_env.yaml\nentry_points:\n  main:\n    command: "python ticks.py"\n',
  );
  writeFileSync(
    path.join(folder, "python_env.yaml"),
    'python: "3"\nbuild_dependencies: []\ndependencies: []\n',
  );
  writeFileSync(path.join(folder, "ticks.py"), TICKS);
}

export default [
  {
    name: "A run that outlives the window",
    async open() {
      const desk = await openDesk();
      const folder = desk.path("ticks");
      writeProject(folder);
      const window = await desk.openWindow().catch(async (error) => {
        await desk.close();
        throw error;
      });
      return { desk, window, folder, display: desk.display, ticks: () => ticksOf(folder) };
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
        "a project is added by its path",
        async ({ window, folder }) => {
          await window.see("No runs yet");
          await window.run(() => [...document.querySelectorAll("a")].find((a) => a.innerText.trim() === "Projects").click());
          await window.click("button", "Add by address…");
          await until("the field", () => window.run(() => document.activeElement?.id === "project-address"));
          await window.press(folder);
          await window.press("\uE007");
          await window.see("What would run");
          await window.see("python ticks.py");
          await window.screenshot("a project");
        },
      ],
      [
        "it is allowed and started by one press, and its log is live",
        async ({ window }) => {
          await window.click("button", "Allow and run");
          await window.see("tick 5", RUN_MS);
          await window.screenshot("its log is live");
        },
      ],
      [
        "the window is closed, and the run goes on",
        async (shared) => {
          await shared.window.close();
          const before = shared.ticks();
          await until("the run to go on", () => shared.ticks() > before + 3);
        },
      ],
      [
        "the next window finds it, and sees it end",
        async (shared) => {
          shared.window = await shared.desk.openWindow();
          await shared.window.see("1 running");
          await shared.window.screenshot("what runs");
          writeFileSync(path.join(shared.folder, "enough"), "");
          await shared.window.see("finished", RUN_MS);
          await shared.window.screenshot("a run that outlived the window");
          assert.ok(!(await shared.window.text()).includes("1 running"));
        },
      ],
    ],
  },
];

function ticksOf(folder) {
  const file = path.join(folder, "ticks.txt");
  return existsSync(file) ? Number(readFileSync(file, "utf8")) : -1;
}
