/** Registered models, for reading. */
import assert from "node:assert/strict";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

async function register(client, name, run, count) {
  await client.post("registered-models/create", { name, description: `The *${name}* model` });
  for (let version = 1; version <= count; version += 1) {
    await client.post("model-versions/create", {
      name,
      source: `${run.artifact_uri}/model`,
      run_id: run.run_id,
    });
  }
}

test("registered models are listed, searched and opened with versions and aliases", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const run = await client.logRun("trained-it");
  await register(client, "churn", run, 3);
  await register(client, "prices eu 100 %", run, 1);
  await client.post("registered-models/alias", { name: "churn", alias: "champion", version: "2" });
  await client.post("model-versions/transition-stage", {
    name: "churn",
    version: "1",
    stage: "Archived",
    archive_existing_versions: false,
  });
  const { page } = await world.open(server);
  await new RunTable(page).count(1);
  await page.getByRole("link", { name: "Models", exact: true }).click();
  const list = page.getByRole("region", { name: "Registered models" });
  await list.getByRole("link", { name: "churn" }).waitFor();
  const row = list.getByRole("row").filter({ hasText: "churn" });
  assert.match((await row.innerText()).replaceAll(/\s+/g, " "), /^churn @champion → 2 3 3 /);
  await scan(page, "list of models");
  await matchTree(page.getByRole("main"), "models");

  await page.keyboard.press("/");
  await page.keyboard.type("pric");
  await until("one model", async () => (await list.getByRole("row").count()) === 2);
  await page.keyboard.press("Escape");
  await list.getByRole("link", { name: "churn" }).click();

  await page.getByRole("heading", { name: "churn", level: 1 }).waitFor();
  const versions = page.getByRole("region", { name: "Versions of churn" }).getByRole("row");
  const texts = (await versions.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, " ").trim());
  assert.equal(texts.length, 4);
  assert.match(texts[1], /^3 /);
  assert.match(texts[2], /^2 @champion /);
  assert.match(texts[3], /^1 .*Archived/);
  await scan(page, "page of a model");
  await matchTree(page.getByRole("main"), "model");

  // An alias that moves, seen while one looks.
  await client.post("registered-models/alias", { name: "churn", alias: "champion", version: "3" });
  await until("the alias to move", async () => /@champion/.test(await versions.nth(1).innerText()));
  await page.getByRole("link", { name: "trained-it" }).first().click();
  await page.getByRole("heading", { name: "trained-it", level: 1 }).waitFor();
});

test("without registered models the page says how to register one", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("a-run");
  const { page } = await world.open(server, "/models");
  await page.getByRole("heading", { name: "No registered models" }).waitFor();
  await page.getByText("registered_model_name").waitFor();
  await scan(page, "no models");
});
