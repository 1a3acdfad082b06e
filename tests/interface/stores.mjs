/** Which store is open, and what happens when it cannot be, or is read only, or is gone. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

/** Makes a closed store that holds one run. */
async function storeWith(world, name, runName) {
  const server = await world.serve({ store: world.path(name) });
  const client = world.client(server);
  await client.logRun(runName);
  client.close();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  return world.path(name);
}

/** Asks for another store by the dialog, and gives the dialog. */
async function openByDialog(page, path) {
  await page.keyboard.press("Control+o");
  const dialog = page.getByRole("dialog", { name: "Open a store" });
  await dialog.getByRole("textbox").fill(path);
  await dialog.getByRole("button", { name: "Open", exact: true }).click();
  return dialog;
}

test("another store is opened by its path and shows its own runs", async (world) => {
  const other = await storeWith(world, "other", "in-the-other");
  const server = await world.serve();
  const client = world.client(server);
  await client.logRun("in-the-first");
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.shows("Run", ["in-the-first"]);
  await page.keyboard.press("Control+o");
  const dialog = page.getByRole("dialog", { name: "Open a store" });
  await dialog.waitFor();
  await until("the field to have the focus", () =>
    page.evaluate(() => document.activeElement?.id === "store-path"),
  );
  await scan(page, "dialog that opens a store");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await openByDialog(page, other);
  await table.shows("Run", ["in-the-other"]);
  await page.getByRole("contentinfo").getByText(other).waitFor();
  // The port stays; clients now log to the store that is shown.
  await client.logRun("logged-after");
  await table.row("logged-after");

  await page.getByRole("button", { name: "other", exact: true }).click();
  const menu = page.getByRole("menu", { name: "Store" });
  await menu.getByRole("menuitem", { name: world.path("store") }).waitFor();
  await scan(page, "menu of stores");
  await menu.getByRole("menuitem", { name: world.path("store") }).click();
  await table.shows("Run", ["in-the-first"]);
});

test("an empty folder becomes a store with the first steps", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("in-the-first");
  mkdirSync(world.path("fresh"));
  const { page } = await world.open(server);
  await new RunTable(page).count(1);
  await openByDialog(page, world.path("fresh"));
  await page.getByRole("heading", { name: "No runs yet" }).waitFor();
});

test("a file that is no store is refused in words, and the open store stays", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  await client.logRun("still-here");
  mkdirSync(world.path("bad"));
  const file = world.path("bad", "mlflow.db");
  const content = "These are notes, not a database.\n".repeat(40);
  writeFileSync(file, content);
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(1);
  const dialog = await openByDialog(page, world.path("bad"));
  const alert = dialog.getByRole("alert");
  await alert.waitFor();
  const words = await alert.innerText();
  assert.ok(words.includes(file), `where: ${words}`);
  assert.match(words, /not (a|an) .*database/i, "what");
  assert.ok(words.split("\n").length > 1, `what to do: ${words}`);
  await scan(page, "refusal in the dialog");
  await matchTree(dialog, "refused-store");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  await client.logRun("and-works");
  await table.row("and-works");
  assert.equal(readFileSync(file, "utf8"), content);
});

test("a program that starts without a store says why and offers ways on", async (world) => {
  mkdirSync(world.path("store"));
  writeFileSync(world.path("store", "mlflow.db"), "no database\n".repeat(100));
  const good = await storeWith(world, "good", "found-it");
  const server = await world.serve();
  const { page } = await world.open(server);
  await page.getByRole("heading", { name: "No store is open" }).waitFor();
  assert.match(await page.getByRole("alert").innerText(), /database/);
  await scan(page, "no store");
  await matchTree(page.locator("body"), "no-store");
  await page.getByRole("button", { name: "Open a store folder…" }).click();
  const dialog = page.getByRole("dialog", { name: "Open a store" });
  await dialog.getByRole("textbox").fill(good);
  await page.keyboard.press("Enter");
  await new RunTable(page).shows("Run", ["found-it"]);
});

test("a store of an unknown shape opens for reading and says so", async (world) => {
  const store = await storeWith(world, "newer", "can-be-read");
  const file = `${store}/mlflow.db`;
  // The revision of the schema stands in the file as text, in a row and in its index.
  const bytes = readFileSync(file, "latin1");
  const [revision] = /(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])/.exec(bytes);
  writeFileSync(file, bytes.replaceAll(revision, "ffff00001111"), "latin1");
  const server = await world.serve({ store });
  const { page } = await world.open(server);
  await new RunTable(page).shows("Run", ["can-be-read"]);
  const notice = page.getByRole("status").filter({ hasText: "Read only." });
  await notice.waitFor();
  assert.match(await notice.innerText(), /ffff00001111/);
  await page.getByRole("contentinfo").getByText("Read only").waitFor();
  await scan(page, "read-only store");
  await matchTree(page.locator("body"), "read-only");
  const refused = await world
    .client(server)
    .logRun("must-not")
    .then(
      () => "it was logged",
      (error) => error.message,
    );
  assert.match(refused, /read.only|reading only/i);
});

test("a window says when the program is gone", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("last-seen");
  const { page, window } = await world.open(server);
  const table = new RunTable(page);
  await table.count(1);
  const began = performance.now();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.ok(performance.now() - began < 5000, "it stops at once although a window is open");
  await page.getByRole("alert").filter({ hasText: "Cairn does not answer." }).waitFor();
  await table.row("last-seen");
  await scan(page, "program that is gone");
  // The browser notes each attempt to reach it again.
  const isAttempt = (text) => /ERR_CONNECTION_(REFUSED|RESET)|ERR_INCOMPLETE_CHUNKED/.test(text);
  window.complaints = window.complaints.filter((text) => !isAttempt(text));
});
