/** Runs side by side. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { LONG_AGO } from "./lib/client.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

test("selected runs are compared by one key, live, and the baseline is changed", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const log = (name, place, params, auc) =>
    client.logRun(name, { startTime: LONG_AGO - place * 60_000, params, metrics: { auc } });
  await log("base", 0, { lr: "0.1", depth: "3", data: "train.csv" }, 0.5);
  await log("deeper", 1, { lr: "0.10", depth: "6", data: "train.csv" }, 0.75);
  await log("unrelated", 2, { lr: "1" }, 0.1);
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.shows("Run", ["base", "deeper", "unrelated"]);
  await table.grid.focus();
  await page.keyboard.press(" ");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press(" ");
  await page.keyboard.press("c");
  await page.getByRole("heading", { name: "Compare", level: 1 }).waitFor();
  const rows = async () => {
    const all = await page.getByRole("row").allInnerTexts();
    return all.map((text) => text.replaceAll(/\s+/g, " ").trim());
  };
  const shows = (expected) =>
    until(`the rows to be ${JSON.stringify(expected)}`, async () => {
      const shown = (await rows()).slice(1);
      if (JSON.stringify(shown) === JSON.stringify(expected)) return true;
      throw new Error(JSON.stringify(shown));
    });
  await shows(["Metrics", "auc 0.5000 0.7500 +0.250", "Parameters", "depth 3 6 +3"]);
  await scan(page, "a comparison");
  await matchTree(page.getByRole("main"), "compare");
  await page.getByRole("button", { name: "Compare the others with deeper" }).click();
  await shows(["Metrics", "auc 0.7500 0.5000 −0.250", "Parameters", "depth 6 3 −3"]);
  await page.keyboard.press("/");
  await page.keyboard.type("depth");
  await shows(["Parameters", "depth 6 3 −3"]);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  await page.keyboard.press("d");
  await page.getByRole("row", { name: /^data/ }).waitFor();
  // What is logged meanwhile comes by itself.
  const { runs } = await client.post("runs/search", {
    experiment_ids: ["0"],
    filter: "run_name = 'base'",
  });
  await client.post("runs/log-metric", {
    run_id: runs[0].info.run_id, key: "auc", value: 0.875, timestamp: LONG_AGO, step: 1,
  });
  await page.getByRole("row", { name: /^auc/ }).getByText("0.8750").waitFor();
  await page.goBack();
  await table.shows("Run", ["base", "deeper", "unrelated"]);
});

/** How far down the highest coloured point of a chart is: 0 for its upper edge, 1 for its lower one. */
function highestPoint(chart) {
  return chart.locator("canvas").evaluate((canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    for (let at = 0; at < data.length; at += 4) {
      const [red, green, blue, alpha] = data.slice(at, at + 4);
      // Axes and letters are grey; the palest hue of the palette differs by 50.
      const isColoured = Math.max(red, green, blue) - Math.min(red, green, blue) > 35;
      if (isColoured && alpha > 200) return at / 4 / width / height;
    }
    return 1;
  });
}

test("runs are charted together: spikes, gaps, zoom, smoothing, search, live", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const create = async (name, place) => {
    const { run } = await client.post("runs/create", {
      experiment_id: "0", run_name: name, start_time: LONG_AGO - place * 60_000,
    });
    return run.info.run_id;
  };
  const log = (run_id, metrics) => client.post("runs/log-batch", { run_id, metrics });
  const at = (key, step, value) => ({ key, step, value, timestamp: LONG_AGO + step });
  const spiky = await create("spiky", 0);
  const short = await create("short", 1);
  const LAST = 3999;
  const SPIKE = 2222;
  for (let from = 0; from <= LAST; from += 1000) {
    const steps = Array.from({ length: 1000 }, (_, offset) => from + offset);
    await log(spiky, steps.map((step) => at("loss", step, step === SPIKE ? 100 : 1)));
  }
  await log(spiky, [at("val/loss", 0, 2), at("val/loss", LAST, 1), at("val/acc", 0, 0.5)]);
  await client.post("runs/log-parameter", { run_id: short, key: "team", value: "red" });
  await log(short, [at("loss", 0, 3), at("loss", 50, 2), at("loss", 4100, "NaN")]);
  const { page } = await world.open(server, `/compare?run=${spiky}&run=${short}`);
  await page.getByRole("tab", { name: "Values" }).waitFor();
  await page.keyboard.press("2");
  const loss = page.getByRole("slider", { name: "loss of 2 runs" });
  const valLoss = page.getByRole("slider", { name: "val/loss of 1 run" });
  const stretch = async (chart) => [
    Number(await chart.getAttribute("aria-valuemin")),
    Number(await chart.getAttribute("aria-valuemax")),
  ];
  const says = (chart, expected) =>
    until(`the chart to say ${String(expected)}`, async () => {
      const said = await chart.getAttribute("aria-valuetext");
      if (expected.test(said)) return true;
      throw new Error(said);
    });

  // A spike of one step among thousands is drawn; its neighbours lie at the lower edge.
  await until("the spike to be drawn", async () => (await highestPoint(loss)) < 0.2);
  await scan(page, "the charts of a comparison");
  await matchTree(page.getByRole("main"), "compare-charts");
  // What is not a number is said, too, and so is what comes after it.
  await loss.focus();
  await page.keyboard.press("End");
  await says(loss, /^step 4100: .*short NaN/);
  await log(short, [at("loss", 4200, 0.25)]);
  await page.keyboard.press("End");
  await until("the live point", async () => (await stretch(loss))[1] === 4200);
  await page.keyboard.press("End");
  await says(loss, /^step 4200: short 0.25$/);

  // A drag shows a stretch on every chart, with every point of it.
  const box = await loss.boundingBox();
  const left = box.x + 60;
  await page.mouse.move(left + 0.5 * (box.width - 80), box.y + 60);
  await page.mouse.down();
  await page.mouse.move(left + 0.56 * (box.width - 80), box.y + 60, { steps: 4 });
  await page.mouse.up();
  await until("both charts to be zoomed", async () => {
    const [from, to] = await stretch(loss);
    return from > 1000 && to < 3500 && String(await stretch(valLoss)) === String([from, to]);
  });
  assert.match(page.url(), /[?&]from=\d/);
  await until("a point for each step", async () => {
    await loss.focus();
    await page.keyboard.press("Home");
    const step = async () => Number(/step ([\d.]+)/.exec(await loss.getAttribute("aria-valuetext"))[1]);
    const first = await step();
    await page.keyboard.press("ArrowRight");
    return (await step()) === first + 1;
  });
  await loss.dblclick({ position: { x: box.width / 2, y: 60 } });
  await until("the whole again", async () => String(await stretch(loss)) === "0,4200");

  // Values under the pointer; a hidden run is not among them.
  await page.mouse.move(left + 2, box.y + 60);
  await page.locator(".tip").getByText("spiky").waitFor();
  await page.getByRole("button", { name: "spiky" }).click();
  await page.getByRole("slider", { name: "loss of 1 run", exact: true }).waitFor();
  await page.getByRole("button", { name: "Show all" }).click();
  await loss.waitFor();

  // What is seen is saved, by the browser where there is no window of the system.
  const saved = async (item) => {
    await page.getByRole("button", { name: "Save loss…", exact: true }).click();
    const coming = page.waitForEvent("download");
    await page.getByRole("menuitem", { name: item }).click();
    const download = await coming;
    return [download.suggestedFilename(), readFileSync(await download.path(), "utf8")];
  };
  const [svgName, svg] = await saved("Save as SVG");
  assert.equal(svgName, "loss.svg");
  assert.match(svg, /^<svg[^]*spiky[^]*<\/svg>/);
  const [, csv] = await saved("Save the points as CSV");
  assert.match(csv, new RegExp(`^.*spiky.*\\b${String(SPIKE)}\\b.*\\b100\\b`, "m"));

  // Runs with the same parameter become one line, and the legend lists groups.
  await page.getByLabel("Group by").selectOption("team");
  await page.getByRole("slider", { name: "loss of 2 groups" }).waitFor();
  await page.getByRole("button", { name: "none", exact: true }).click();
  await page.getByRole("slider", { name: "loss of 1 group", exact: true }).waitFor();
  await page.getByLabel("Group by").selectOption("Nothing");
  await loss.waitFor();

  await page.getByLabel("Smoothing").selectOption("EMA");
  await until("the address to say it", () => page.url().includes("smooth=ema%3A0.6"));
  await page.getByLabel("Ignore outliers").check();
  await page.keyboard.press("/");
  await page.keyboard.type("/^VAL.(acc|x)$/");
  await loss.waitFor({ state: "detached" });
  await page.getByRole("figure", { name: "val/acc" }).waitFor();
  await page.reload();
  await page.getByRole("figure", { name: "val/acc" }).waitFor();
  assert.equal(await page.getByRole("figure").count(), 1);
  assert.equal(await page.getByLabel("Ignore outliers").isChecked(), true);
});
