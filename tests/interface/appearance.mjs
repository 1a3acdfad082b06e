/** Colours, and more than one window. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";

import { scan } from "./lib/accessibility.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

const theme = (page) => page.evaluate(() => document.documentElement.dataset.theme);

async function choose(page, colours) {
  await page.getByRole("button", { name: "Colours" }).click();
  await page.getByRole("menuitem", { name: colours }).click();
}

test("the chosen colours stay over a reload and a restart, from the first paint on", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("coloured");
  const { page, window } = await world.open(server);
  await new RunTable(page).count(1);
  assert.equal(await theme(page), "light");
  await page.getByRole("button", { name: "Colours" }).click();
  await scan(page, "menu of colours");
  await page.keyboard.press("Escape");
  await choose(page, "Dark");
  await until("dark colours", async () => (await theme(page)) === "dark");
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);

  // What the page looks like before any of its scripts but the first ran.
  await page.route("**/_app/**/*.js", (route) => route.abort());
  await page.reload({ waitUntil: "domcontentloaded" });
  assert.equal(await theme(page), "dark");
  await page.unroute("**/_app/**/*.js");
  await until("the scripts to be missed", () => window.complaints.length > 0);
  window.complaints = [];
  await page.reload();
  await new RunTable(page).count(1);
  assert.equal(await theme(page), "dark");
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), ground);

  await page.close();
  await server.stop();
  const again = await world.serve();
  const other = await world.open(again);
  await until("dark colours", async () => (await theme(other.page)) === "dark");
});

test("a change in one window shows in the other", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("seen-by-both");
  const one = await world.open(server);
  const other = await world.open(server);
  for (const { page } of [one, other]) await new RunTable(page).count(1);

  await choose(one.page, "Dark");
  await until("the other window to be dark", async () => (await theme(other.page)) === "dark");
  await choose(other.page, "As the system");
  await until("the one window to be light", async () => (await theme(one.page)) === "light");

  mkdirSync(world.path("second"));
  await one.page.keyboard.press("Control+o");
  const dialog = one.page.getByRole("dialog", { name: "Open a store" });
  await dialog.getByRole("textbox").fill(world.path("second"));
  await one.page.keyboard.press("Enter");
  for (const { page } of [one, other]) {
    await page.getByRole("heading", { name: "No runs yet" }).waitFor();
    await page.getByRole("contentinfo").getByText(world.path("second")).waitFor();
  }
});

test("at 1024 × 640 and at 200 % nothing that is needed is out of reach", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  await client.logRun("small-window", { metrics: { auc: 0.5 } });
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(1);
  for (const size of [
    { width: 1024, height: 640 },
    { width: 640, height: 400 },
  ]) {
    await page.setViewportSize(size);
    await scan(page, `${size.width} × ${size.height}`);
    const overflow = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - innerWidth,
      high: document.documentElement.scrollHeight - innerHeight,
    }));
    assert.deepEqual(overflow, { wide: 0, high: 0 }, `${size.width} × ${size.height}`);
    for (const control of [
      table.filter,
      page.getByRole("button", { name: "Columns" }),
      page.getByRole("button", { name: "Colours" }),
      page.getByRole("link", { name: "Models", exact: true }),
    ]) {
      const box = await control.boundingBox();
      assert.ok(box !== null && box.width > 12 && box.x + box.width <= size.width, `${control}`);
    }
    assert.ok((await table.rows()).length > 0);
  }
});
