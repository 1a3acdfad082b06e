/** From nothing to the first run. */
import assert from "node:assert/strict";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { RunTable } from "./lib/table.mjs";
import { test } from "./lib/tests.mjs";

test("the first start shows the line to paste and gives way to the first run by itself", async (world) => {
  const server = await world.serve();
  const { page } = await world.open(server);
  await page.getByRole("heading", { name: "No runs yet" }).waitFor();
  const line = `mlflow.set_tracking_uri("${server.trackingUri}")`;
  await page.getByText(line, { exact: true }).waitFor();
  await scan(page, "first start");
  await matchTree(page.locator("body"), "first-start");

  await page.getByRole("button", { name: "Copy the line" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), line);

  // A reload would lose this.
  await page.evaluate(() => (globalThis.wasHere = true));
  const client = world.client(server);
  const experimentId = await client.createExperiment("churn");
  await client.logRun("first-of-all", { experimentId, metrics: { auc: 0.9 } });
  const table = new RunTable(page);
  await table.row("first-of-all");
  assert.equal(new URL(page.url()).pathname, `/experiments/${experimentId}`);
  assert.equal(await page.getByRole("heading", { name: "No runs yet" }).count(), 0);
  assert.equal(await page.evaluate(() => globalThis.wasHere), true);
});

test("an experiment without runs says how to log to it", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  await client.logRun("elsewhere");
  const experimentId = await client.createExperiment('it\'s "quoted"');
  const { page } = await world.open(server, `/experiments/${experimentId}`);
  await page.getByRole("heading", { name: "No runs in this experiment" }).waitFor();
  await page.getByText('mlflow.set_experiment("it\'s \\"quoted\\"")').waitFor();
  await scan(page, "experiment without runs");
  await matchTree(page.getByRole("main"), "experiment-without-runs");
  await client.logRun("now-here", { experimentId });
  await new RunTable(page).row("now-here");
});

test("samples that cannot start say why, and can be tried again", async (world) => {
  // Without uv there is no environment to train in.
  const server = await world.serve({ env: { PATH: world.path(), CAIRN_UV: "" } });
  const { page } = await world.open(server);
  await page.getByRole("button", { name: "Log sample runs" }).click();
  const alert = page.getByRole("main").getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /uv/);
  await alert.getByRole("button", { name: "Try again" }).waitFor();
  await scan(page, "samples that failed");
  // From everywhere else the task tells that it failed.
  await page.getByRole("link", { name: "Models", exact: true }).click();
  await page.getByRole("button", { name: "Log sample runs: failed" }).click();
  await page.getByRole("dialog", { name: "Tasks" }).getByRole("alert").waitFor();
  await scan(page, "list of tasks");
});
