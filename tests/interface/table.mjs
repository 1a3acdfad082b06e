/** The run table: live, ordered, filtered. */
import assert from "node:assert/strict";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { LONG_AGO } from "./lib/client.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

/** Three runs that look the same on every day. */
async function logThree(client) {
  await client.logRun("calm-otter-12", {
    metrics: { auc: 0.9107, loss: 0.219 },
    params: { lr: "0.01", optimizer: "adam" },
    tags: {
      "mlflow.source.name": "/home/ada/churn/train.py",
      "mlflow.source.type": "LOCAL",
    },
    startTime: LONG_AGO,
  });
  await client.logRun("brisk-fox-3", {
    metrics: { auc: 0.634 },
    params: { lr: "0.1", optimizer: "sgd" },
    startTime: LONG_AGO + 60_000,
    status: "FAILED",
  });
  await client.logRun("quiet-heron-7", {
    metrics: { auc: 0.9134, loss: 0.211 },
    params: { lr: "0.003" },
    startTime: LONG_AGO + 120_000,
    durationMs: 3_840_000,
  });
}

test("the table reads well aloud and is free of barriers", async (world) => {
  const server = await world.serve();
  await logThree(world.client(server));
  const { page } = await world.open(server);
  await new RunTable(page).shows("Run", [
    "quiet-heron-7",
    "brisk-fox-3",
    "calm-otter-12",
  ]);
  await scan(page, "run table");
  await matchTree(page.locator("body"), "run-table");
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("checkbox", { name: "User" }).waitFor();
  await scan(page, "choice of columns");
});

test("a run appears, counts, ends and gets its metrics without a reload", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  await logThree(client);
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(3);
  await page.evaluate(() => (globalThis.wasHere = true));

  const run = await client.logRun("live-one", {
    status: "RUNNING",
    startTime: Date.now() - 100_000,
  });
  const running = await table.row(
    "live-one",
    ({ cells }) => cells.Status === "Running",
  );
  assert.equal(running.index, 2, "the newest run stands at the top");
  assert.match(running.cells.Duration, /^1 m \d\d s$/);
  await table.row(
    "live-one",
    ({ cells }) => cells.Duration !== running.cells.Duration,
  );
  await page.getByRole("contentinfo").getByText("1 running").waitFor();

  await client.logMetric(run.run_id, "auc", 0.5, 0);
  await table.row("live-one", ({ cells }) => cells.auc === "0.5000");
  await client.logMetric(run.run_id, "auc", 0.75, 1);
  await table.row("live-one", ({ cells }) => cells.auc === "0.7500");
  // A metric that no run had before becomes a column.
  await client.logMetric(run.run_id, "new/metric", 3, 0);
  await table.row("live-one", ({ cells }) => cells["new/metric"] === "3");

  await client.end(run.run_id, Date.now(), "KILLED");
  const ended = await table.row(
    "live-one",
    ({ cells }) => cells.Status === "Killed",
  );
  assert.match(ended.cells.Duration, /^1 m \d\d s$/);
  await page.getByRole("contentinfo").getByText("Nothing running").waitFor();
  await client.post("runs/delete", { run_id: run.run_id });
  await table.shows("Run", ["quiet-heron-7", "brisk-fox-3", "calm-otter-12"]);
  assert.equal(await page.evaluate(() => globalThis.wasHere), true);
});

test("runs that arrive do not move the rows that are read", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  for (let number = 0; number < 80; number += 1) {
    await client.logRun(`run-${number}`, {
      startTime: LONG_AGO + number * 60_000,
    });
  }
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(80);
  await table.grid.hover();
  await page.mouse.wheel(0, 700);
  const before = await table.row("run-45");
  for (const name of ["newer", "newest"])
    await client.logRun(name, { startTime: Date.now() });
  await table.count(82);
  const after = await table.row(
    "run-45",
    ({ index }) => index === before.index + 2,
  );
  assert.equal(after.top, before.top);
});

test("a click on a metric orders by it: largest first, smallest first, newest first", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const values = [
    ["a", 9.5],
    ["b", 10],
    ["c", undefined],
    ["d", -1],
    ["e", 1e-7],
    ["f", 2e9],
  ];
  for (const [place, [name, auc]] of values.entries()) {
    const metrics = auc === undefined ? { other: 1 } : { auc, other: 1 };
    await client.logRun(name, { metrics, startTime: LONG_AGO + place * 1000 });
  }
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.shows("Run", ["f", "e", "d", "c", "b", "a"]);
  await table.order("auc", "descending");
  await table.shows("Run", ["f", "b", "a", "e", "d", "c"]);
  await table.order("auc", "ascending");
  await table.shows("Run", ["d", "e", "a", "b", "f", "c"]);
  assert.equal(new URL(page.url()).searchParams.get("order"), "metric:auc");
  await page.reload();
  await table.shows("Run", ["d", "e", "a", "b", "f", "c"]);
  await table.order("auc", "none");
  await table.shows("Run", ["f", "e", "d", "c", "b", "a"]);
});

test("parameters that are numbers are ordered as numbers", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  for (const [name, depth] of [
    ["a", "10"],
    ["b", "9"],
    ["c", "1e-3"],
    ["d", undefined],
    ["e", "2.5"],
  ]) {
    await client.logRun(name, { params: depth === undefined ? {} : { depth } });
  }
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(5);
  await table.order("depth", "ascending");
  await table.shows("Run", ["c", "e", "b", "a", "d"]);
  await table.order("depth", "descending");
  await table.shows("Run", ["a", "b", "e", "c", "d"]);
});

test("a filter counts what matches and survives a reload with the order", async (world) => {
  const server = await world.serve();
  await logThree(world.client(server));
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(3);
  await table.find("metrics.auc > 0.9 and params.lr = '0.01'");
  await table.shows("Run", ["calm-otter-12"]);
  await page.getByText("1 of 3", { exact: true }).waitFor();
  await table.find(
    "start_time < -1h and (params.lr >= 1 or metrics.auc > 0.9 and params.lr < 0.005)",
  );
  await table.shows("Run", ["quiet-heron-7"]);
  await table.find("metrics.auc > 0.9");
  await table.shows("Run", ["quiet-heron-7", "calm-otter-12"]);
  await page.getByText("2 of 3", { exact: true }).waitFor();
  await table.order("loss", "descending");
  await table.shows("Run", ["calm-otter-12", "quiet-heron-7"]);

  await page.reload();
  await table.shows("Run", ["calm-otter-12", "quiet-heron-7"]);
  assert.equal(await table.filter.inputValue(), "metrics.auc > 0.9");
  assert.equal(
    await table.header("loss").getAttribute("aria-sort"),
    "descending",
  );

  await table.find("metrics.auc > 2");
  await page
    .getByRole("heading", { name: "No run matches the filter" })
    .waitFor();
  await scan(page, "no run matches");
  await page
    .getByRole("main")
    .getByRole("button", { name: "Clear the filter" })
    .last()
    .click();
  await table.count(3);
});

test("a broken filter marks its place, keeps the rows, and works again once it is mended", async (world) => {
  const server = await world.serve();
  await logThree(world.client(server));
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.find("metrics.auc > 0.9");
  await table.shows("Run", ["quiet-heron-7", "calm-otter-12"]);

  const broken = "metrics.auc > 0.9 and parms.lr = '0.01'";
  await table.find(broken);
  const message = page.getByRole("alert");
  await message.waitFor();
  assert.match(await message.innerText(), /parms/);
  assert.equal(await table.filter.getAttribute("aria-invalid"), "true");
  await table.shows("Run", ["quiet-heron-7", "calm-otter-12"]);
  const marked = await page.locator("mark").evaluate((mark) => {
    const all = mark.parentElement.textContent;
    const before = mark.previousSibling?.textContent ?? "";
    return { start: before.length, text: mark.textContent, all };
  });
  assert.deepEqual(marked, {
    start: broken.indexOf("parms"),
    text: "parms.lr",
    all: broken,
  });
  await scan(page, "broken filter");
  await matchTree(page.getByRole("main"), "broken-filter");

  // The message leads to the place.
  await message.getByRole("button").click();
  const chosen = await table.filter.evaluate((field) => [
    field.selectionStart,
    field.selectionEnd,
  ]);
  assert.deepEqual(chosen, [marked.start, marked.start + marked.text.length]);
  await page.keyboard.type("params.lr");
  await page.keyboard.press("Enter");
  await table.shows("Run", ["calm-otter-12"]);
  assert.equal(await message.count(), 0);
  assert.equal(await table.filter.getAttribute("aria-invalid"), null);
});

test("columns that are chosen stay chosen after a reload and at the next visit", async (world) => {
  const server = await world.serve();
  await logThree(world.client(server));
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(3);
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("checkbox", { name: "optimizer" }).click();
  await page.getByRole("checkbox", { name: "User" }).click();
  await page.keyboard.press("Escape");
  await until(
    "the columns to change",
    async () => (await table.header("optimizer").count()) === 0,
  );
  await page.reload();
  await table.header("User").waitFor();
  assert.equal(await table.header("optimizer").count(), 0);
  await page.getByRole("link", { name: "Models", exact: true }).click();
  await page.getByRole("heading", { name: "Models", level: 1 }).waitFor();
  await page.getByRole("link", { name: /^Default/ }).click();
  await table.header("User").waitFor();
  assert.equal(await table.header("optimizer").count(), 0);
});

test("runs of all experiments stand in one table, which says whose they are", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const second = await client.createExperiment("second");
  const log = (name, place, experimentId) =>
    client.logRun(name, { experimentId, startTime: LONG_AGO + place * 60_000, metrics: { auc: place } });
  await log("a", 1, "0");
  await log("b", 2, second);
  await log("c", 3, "0");
  const { page } = await world.open(server);
  await page.getByRole("link", { name: "All experiments" }).click();
  const table = new RunTable(page);
  await table.shows("Run", ["c", "b", "a"]);
  await table.shows("Experiment", ["Default", "second", "Default"]);
  await scan(page, "all experiments");
  await page.getByRole("columnheader", { name: "Experiment" }).getByRole("button").click();
  await table.shows("Run", ["c", "a", "b"]);
  await table.filter.fill("metrics.auc > 1");
  await page.keyboard.press("Enter");
  await table.shows("Run", ["c", "b"]);
  // What is logged to any of them comes by itself.
  await log("d", 4, second);
  await table.shows("Run", ["c", "d", "b"]);
  await page.getByRole("gridcell").getByRole("link", { name: "second" }).first().click();
  await page.getByRole("heading", { name: "second", level: 1 }).waitFor();
});
