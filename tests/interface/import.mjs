/** An mlruns folder comes into the store: seen first, imported, reported, followed. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { RunTable } from "./lib/table.mjs";
import { test } from "./lib/tests.mjs";

const EXPERIMENT = "912345678901234567";

function runId(number) {
  return String(number).padStart(32, "a");
}

/** Writes a folder as MLflow's file store does; one of its runs cannot be read. */
function writeFolder(world, runs = 3) {
  const root = world.path("mlruns");
  for (const [id, name] of [
    ["0", "Default"],
    [EXPERIMENT, "churn"],
  ]) {
    mkdirSync(`${root}/${id}`, { recursive: true });
    writeFileSync(
      `${root}/${id}/meta.yaml`,
      `artifact_location: file:///gone/${id}\nexperiment_id: '${id}'\nlifecycle_stage: active\nname: ${name}\n`,
    );
  }
  for (let number = 0; number < runs; number += 1) writeRun(root, number);
  mkdirSync(`${root}/${EXPERIMENT}/broken`);
  writeFileSync(`${root}/${EXPERIMENT}/broken/meta.yaml`, "run_id: [1\n");
  return root;
}

function writeRun(root, number) {
  const id = runId(number);
  const run = `${root}/${EXPERIMENT}/${id}`;
  for (const folder of ["metrics", "params", "tags", "artifacts"]) {
    mkdirSync(`${run}/${folder}`, { recursive: true });
  }
  writeFileSync(`${run}/metrics/loss`, "1700000000000 0.5 0\n1700000001000 0.25 1\n");
  writeFileSync(`${run}/params/lr`, "0.01");
  writeFileSync(`${run}/artifacts/notes.txt`, "a file");
  writeFileSync(
    `${run}/meta.yaml`,
    `artifact_uri: file:///gone/${id}/artifacts\nend_time: 1700000009000\nexperiment_id: '${EXPERIMENT}'\n` +
      `lifecycle_stage: active\nrun_id: ${id}\nrun_name: imported-${number}\nsource_type: 4\n` +
      `start_time: ${1_700_000_000_000 + number}\nstatus: 3\nuser_id: ada\n`,
  );
  return run;
}

async function askFor(page, path) {
  await page.getByRole("button", { name: "Import an mlruns folder…" }).click();
  const dialog = page.getByRole("dialog", { name: "Import an mlruns folder" });
  await dialog.getByRole("textbox").fill(path);
  await page.keyboard.press("Enter");
  return dialog;
}

test("an mlruns folder is looked into, imported and reported", async (world) => {
  const root = writeFolder(world);
  const server = await world.serve();
  const { page } = await world.open(server);
  const dialog = await askFor(page, root);
  await dialog.getByText("2 experiments, 3 runs").waitFor();
  await dialog.getByText("meta.yaml that cannot be read").waitFor();
  await scan(page, "what was found in a folder");
  await matchTree(dialog, "import-found");
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  // The first runs give way to their table, as logged ones do.
  await new RunTable(page).shows("Run", ["imported-2", "imported-1", "imported-0"]);
  await page.getByRole("button", { name: "Show report" }).click();
  const report = page.getByRole("dialog", { name: "Import report" });
  await report.getByText("meta.yaml that cannot be read").click();
  await report.getByText(`${EXPERIMENT}/broken/meta.yaml`).waitFor();
  await scan(page, "report of an import");
  await matchTree(report, "import-report");
  await page.keyboard.press("Escape");
  await report.waitFor({ state: "detached" });

  await page.goto(new URL(`/runs/${runId(1)}`, page.url()).href);
  await page.getByRole("heading", { name: "imported-1" }).waitFor();
});

test("a folder is imported and followed by keyboard alone", async (world) => {
  const root = writeFolder(world, 1);
  const server = await world.serve();
  const { page } = await world.open(server);
  await page.getByRole("heading", { name: "No runs yet" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("import an mlruns");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Import an mlruns folder" });
  await dialog.waitFor();
  await page.keyboard.type(root);
  await page.keyboard.press("Enter");
  await dialog.getByRole("switch", { name: /Keep following/ }).focus();
  await page.keyboard.press("Space");
  await dialog.getByRole("button", { name: "Import", exact: true }).focus();
  await page.keyboard.press("Enter");
  const table = new RunTable(page);
  await table.row("imported-0");
  await page.getByRole("button", { name: /^Import .*mlruns/ }).waitFor();
  const run = writeRun(root, 1);
  await table.row("imported-1");
  await page.goto(new URL(`/runs/${runId(1)}`, page.url()).href);
  await page.getByRole("heading", { name: "imported-1" }).waitFor();
  appendFileSync(`${run}/metrics/loss`, "1700000002000 0.125 2\n");
  await page.getByText("0.125").first().waitFor();
  await page.getByRole("button", { name: /^Import .*mlruns/ }).click();
  const tasks = page.getByRole("dialog", { name: "Tasks" });
  await scan(page, "a folder being followed");
  await tasks.getByRole("button", { name: "Stop" }).click();
  await tasks.getByRole("heading", { name: /done$/ }).waitFor();
  await tasks.getByRole("button", { name: "Show report" }).click();
  const report = page.getByRole("dialog", { name: "Import report" });
  await report.getByText("Since then, by following").waitFor();
});

test("a path that is no mlruns folder is refused in words", async (world) => {
  mkdirSync(world.path("other"));
  writeFileSync(world.path("other", "notes.txt"), "x");
  const server = await world.serve();
  const { page } = await world.open(server);
  const dialog = await askFor(page, world.path("other"));
  const alert = dialog.getByRole("alert");
  await alert.waitFor();
  const words = await alert.innerText();
  assert.match(words, /no mlruns folder/);
  assert.match(words, /Choose the folder named mlruns/);
  await scan(page, "refused import");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
});
