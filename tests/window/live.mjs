/** A first start, then a client logs while the window is open. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";

import { Key } from "selenium-webdriver";

import { Client } from "./lib/client.mjs";
import { sleep, until } from "./lib/tests.mjs";
import { openDesk } from "./lib/window.mjs";

const PICTURE = path.resolve(import.meta.dirname, "../../icons/32x32.png");

async function open() {
  const desk = await openDesk();
  const window = await desk.openWindow().catch(async (error) => {
    await desk.close();
    throw error;
  });
  return { desk, window, display: desk.display };
}

async function close({ desk, window }) {
  await window.close();
  await desk.close();
}

async function onFailure({ window, display }, step) {
  display.screenshot(`failed ${step}`);
  await window.screenshot(`failed ${step}`);
}

export default [
  {
    name: "A first start and a live run",
    open,
    close,
    onFailure,
    steps: [
      [
        "the window is called Cairn",
        async ({ display, window }) => {
          await display.windowTitled("Cairn");
          assert.match(await window.driver.getTitle(), /Cairn/);
        },
      ],
      [
        "numbers and dates have a language although the system has none",
        async ({ window }) => {
          const language = await window.run(() => navigator.language);
          assert.equal(language, "en-US");
        },
      ],
      [
        "the exact line to paste names the port that answers",
        async (shared) => {
          const { window } = shared;
          await window.see("No runs yet");
          const found = /mlflow\.set_tracking_uri\("(http:\/\/127\.0\.0\.1:(\d+))"\)/.exec(
            await window.text(),
          );
          assert.ok(found, "no such line on the first page");
          shared.address = found[1];
          const health = await fetch(`${shared.address}/health`);
          assert.equal(health.status, 200);
          assert.equal(await health.text(), "OK");
          await window.screenshot("first start");
          shared.display.screenshot("first start");
        },
      ],
      [
        "its copy button copies it",
        async ({ window, display, address }) => {
          await window.click("button", "Copy the line");
          // The search field of the commands shows what is pasted.
          display.xdotool("windowactivate", "--sync", await display.windowTitled("Cairn"));
          display.xdotool("key", "ctrl+k");
          const field = () => window.run(() => document.querySelector("[role=dialog] input")?.value);
          await until("the field of the commands", async () => (await field()) === "");
          display.xdotool("key", "ctrl+v");
          const line = `mlflow.set_tracking_uri("${address}")`;
          await until("the line to be pasted", async () => (await field()) === line);
          await window.press(Key.ESCAPE);
        },
      ],
      [
        "a run appears while it runs",
        async (shared) => {
          const { window } = shared;
          shared.loads = await window.run(() => performance.timeOrigin);
          shared.client = new Client(shared.address);
          const tags = { "mlflow.source.name": "train.py", "mlflow.user": "ada" };
          shared.run = await shared.client.createRun("steady-lynx-4", tags);
          await shared.client.logParam(shared.run.run_id, "learning_rate", "0.003");
          await shared.client.logMetric(shared.run.run_id, "loss", 0.9, 0);
          await window.row("steady-lynx-4", "Running");
          await window.row("steady-lynx-4", "0.003", "0.9");
          await window.screenshot("a run appears");
        },
      ],
      [
        "a new value arrives in its row",
        async ({ window, client, run }) => {
          await client.logMetric(run.run_id, "loss", 0.8125, 1);
          await window.row("steady-lynx-4", "0.8125");
        },
      ],
      [
        "Enter opens the run with its parameters",
        async ({ window }) => {
          await window.run(() => document.querySelector('[role="grid"]').focus());
          await window.press(Key.HOME, Key.ENTER);
          await window.see("steady-lynx-4");
          await until("the page of the run", async () => {
            return (await window.run(() => location.pathname)).startsWith("/runs/");
          });
          await window.see("learning_rate");
          await window.see("0.003");
          await window.screenshot("the run");
        },
      ],
      [
        "its chart grows while the run logs",
        async ({ window, client, run }) => {
          await window.press("2");
          const drawn = () =>
            window.run(() => {
              const canvas = document.querySelector("figure canvas, [role=img] canvas, canvas");
              return canvas === null || canvas.width === 0 ? null : canvas.toDataURL();
            });
          const before = await until("a chart", drawn);
          for (let step = 2; step < 40; step += 1) {
            const value = 0.8 * Math.exp(-step / 15) + 0.02 * Math.sin(step);
            await client.logMetric(run.run_id, "loss", value, step);
          }
          await until("the chart to change", async () => {
            const now = await drawn();
            return now !== null && now !== before;
          });
          await window.see("step 39");
          // The picture shall show the end of the line.
          await sleep(500);
          await window.screenshot("its chart grows");
        },
      ],
      [
        "a reload shows the same page, and it is live again",
        async (shared) => {
          const { window, client, run } = shared;
          await window.driver.navigate().refresh();
          await window.see("steady-lynx-4");
          await window.see("step 39");
          await client.logMetric(run.run_id, "loss", 0.0625, 40);
          await window.see("step 40");
          shared.loads = await window.run(() => performance.timeOrigin);
        },
      ],
      [
        "an image it logged is shown",
        async ({ window, client, run }) => {
          await client.upload(run, "icon.png", readFileSync(PICTURE));
          await window.press("4");
          await window.see("icon.png");
          await window.run(() => {
            const entry = [...document.querySelectorAll('[role="treeitem"], button, a')].find(
              (element) => element.innerText.trim().startsWith("icon.png"),
            );
            entry.click();
          });
          const size = await until("the image", () =>
            window.run(() => {
              const image = document.querySelector('img[src^="cairn-file:"]');
              return image?.complete && image.naturalWidth > 0 ? image.naturalWidth : null;
            }),
          );
          assert.equal(size, 32);
          await window.screenshot("an image it logged");
        },
      ],
      [
        "the run ends, seen on its page and in the table, without any reload",
        async ({ window, client, run, loads }) => {
          await client.finish(run.run_id);
          await window.see("Finished");
          await window.run(() => history.go(-1));
          await until("the table again", async () => {
            const place = await window.run(() => location.pathname);
            if (place.startsWith("/runs/")) await window.run(() => history.go(-1));
            return place.startsWith("/experiments/");
          });
          await window.row("steady-lynx-4", "Finished");
          assert.equal(await window.run(() => performance.timeOrigin), loads);
        },
      ],
      [
        "a full table, in light and in dark",
        async ({ window, client, display }) => {
          for (let index = 0; index < 60; index += 1) {
            const run = await client.createRun(`batch-${String(index).padStart(2, "0")}`, {
              "mlflow.source.name": index % 3 === 0 ? "tune.ipynb" : "train.py",
            });
            await client.post("runs/log-batch", {
              run_id: run.run_id,
              params: [
                { key: "learning_rate", value: String(0.001 * (index + 1)) },
                { key: "depth", value: String((index % 7) + 2) },
              ],
              metrics: ["auc", "loss", "accuracy"].map((key, place) => ({
                key,
                value: 1 / (place + 1) + index / 1000,
                step: 0,
                timestamp: Date.now(),
              })),
            });
            if (index % 5 !== 0) await client.finish(run.run_id);
          }
          await window.row("batch-59");
          await sleep(500);
          await window.screenshot("full light");
          await window.click("button", "Colours");
          await window.click("item", "Dark");
          await until("the dark theme", () =>
            window.run(() => document.documentElement.dataset.theme === "dark"),
          );
          await sleep(300);
          await window.screenshot("full dark");
          display.screenshot("full dark");
        },
      ],
    ],
  },
];
