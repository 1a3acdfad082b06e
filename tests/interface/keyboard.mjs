/** Everything without a pointer. */
import assert from "node:assert/strict";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { LONG_AGO } from "./lib/client.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

/** Sixty runs; the odd ones match `params.kind = 'odd'`. */
async function logSixty(client) {
  for (let number = 0; number < 60; number += 1) {
    await client.logRun(`run-${number}`, {
      params: { kind: number % 2 ? "odd" : "even" },
      startTime: LONG_AGO + number * 60_000,
    });
  }
}

/** The name of what has the focus. */
function focused(page) {
  return page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
}

test("a run is found, opened and left by keys alone, back to its row", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  await logSixty(client);
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(60);
  await page.keyboard.press("/");
  assert.equal(await focused(page), "Filter runs");
  await page.keyboard.type("params.kind = 'odd'");
  await page.keyboard.press("Enter");
  await table.count(30);
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), "Runs");
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowUp");
  await until("the cursor to stand on run-3", async () => (await table.current()) === "run-3");
  const before = await table.row("run-3");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "run-3", level: 1 }).waitFor();
  // Runs that come meanwhile stand above it.
  for (const name of ["late-1", "late-2"])
    await client.logRun(name, { params: { kind: "odd" }, startTime: Date.now() });
  await page.keyboard.press("[");
  await until("the cursor to be on run-3 again", async () => (await table.current()) === "run-3");
  assert.equal(await table.filter.inputValue(), "params.kind = 'odd'");
  await table.count(32);
  await table.row("run-3", ({ top, index }) => top === before.top && index === before.index + 2);
  assert.equal(await table.current(), "run-3");
  await until("the table to have the focus", async () => (await focused(page)) === "Runs");
  await page.keyboard.press("ArrowDown");
  assert.equal(await table.current(), "run-1");
});

test("the keyboard orders by a column and selects runs", async (world) => {
  const server = await world.serve();
  await logSixty(world.client(server));
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(60);
  await table.grid.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Space");
  await page.keyboard.press("Shift+ArrowDown");
  await page.keyboard.press("Shift+ArrowDown");
  await page.getByText("3 selected").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("3 selected").waitFor({ state: "detached" });
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await until("an order by name", async () => {
    return (await table.header("Run").getAttribute("aria-sort")) === "ascending";
  });
  await table.row("run-0", ({ index }) => index === 2);
});

test("the command place offers what the page can do, and the list of keys names its keys", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const run = await client.logRun("only-one", { metrics: { auc: 1 } });
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.count(1);

  await page.keyboard.press("Control+k");
  const commands = page.getByRole("dialog", { name: "Commands" });
  await commands.getByText("Filter runs").waitFor();
  await scan(page, "command place");
  await matchTree(commands, "command-place");
  await page.keyboard.type("filter runs");
  await page.keyboard.press("Enter");
  await commands.waitFor({ state: "detached" });
  await until("the filter to have the focus", async () => (await focused(page)) === "Filter runs");

  await page.keyboard.press("Escape");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "only-one", level: 1 }).waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("show artifacts");
  await page.keyboard.press("Enter");
  await until("the files", () => new URL(page.url()).searchParams.get("tab") === "artifacts");
  await commands.waitFor({ state: "detached" });
  await page.keyboard.press("Control+k");
  await page.keyboard.type("models");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Models", level: 1 }).waitFor();

  await page.goto(`${server.origin}/runs/${run.run_id}`);
  await page.getByRole("heading", { name: "only-one", level: 1 }).waitFor();
  await page.keyboard.press("?");
  const keys = page.getByRole("dialog", { name: "Keys" });
  for (const words of ["Show metrics", "Show all commands", "Back", "Open the run"]) {
    await keys.getByText(words, { exact: true }).waitFor();
  }
  await scan(page, "list of keys");
  await matchTree(keys, "keys-of-a-run");
  await page.keyboard.press("Escape");
  await keys.waitFor({ state: "detached" });
  for (const [key, tab] of [
    ["2", "Metrics"],
    ["3", "Tags"],
    ["4", "Artifacts"],
    ["1", "Overview"],
  ]) {
    await page.keyboard.press(key);
    await page.getByRole("tab", { name: tab, selected: true }).waitFor();
  }
});

test("Tab reaches every control of the run table, and focus can be seen", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("only-one", { metrics: { auc: 1 } });
  const { page } = await world.open(server);
  await new RunTable(page).count(1);
  const names = [];
  for (let step = 0; step < 20; step += 1) {
    await page.keyboard.press("Tab");
    const here = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return undefined;
      // A ring may be drawn by the element, by what surrounds it, or by the cell that is active.
      const active = document.getElementById(element.getAttribute("aria-activedescendant") ?? "");
      const hasRing = [element, element.parentElement, element.parentElement?.parentElement, active]
        .filter(Boolean)
        .some((one) => {
          const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
          return (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none";
        });
      return { name: element.getAttribute("aria-label") ?? element.innerText.trim(), hasRing };
    });
    if (here === undefined) break;
    assert.ok(here.hasRing, `the focus on “${here.name}” cannot be seen`);
    names.push(here.name.replaceAll(/\s+/g, " "));
  }
  for (const name of ["Colours", "Models", "Filter runs", "Columns", "Runs"]) {
    assert.ok(names.includes(name), `Tab does not reach ${name}: ${names.join(", ")}`);
  }
});

test("runs are starred, tagged, renamed, deleted and brought back by keys, and MLflow sees it", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  for (const [place, name] of ["c", "b", "a"].entries()) {
    await client.logRun(name, { startTime: LONG_AGO + place * 60_000 });
  }
  const { page } = await world.open(server);
  const table = new RunTable(page);
  await table.shows("Run", ["a", "b", "c"]);
  await table.grid.focus();
  const found = async (filter) => {
    const { runs = [] } = await client.post("runs/search", { experiment_ids: ["0"], filter });
    return runs.map((run) => run.info.run_name).join("");
  };
  // The first two get a star and a tag.
  await page.keyboard.press(" ");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press(" ");
  await page.keyboard.press("s");
  await until("two stars", async () => (await found("tags.`cairn.star` = '1'")) === "ab");
  await page.keyboard.press("t");
  await page.getByRole("dialog", { name: "Tag 2 runs" }).waitFor();
  await scan(page, "a tag for two runs");
  await page.keyboard.type("stage");
  await page.keyboard.press("Tab");
  await page.keyboard.type("paper");
  await page.keyboard.press("Enter");
  await until("two tags", async () => (await found("tags.stage = 'paper'")) === "ab");
  await page.getByRole("dialog", { name: "Tag 2 runs" }).waitFor({ state: "hidden" });
  await page.keyboard.press("Escape");
  await until("nothing selected", async () => (await page.getByText("2 selected").count()) === 0);
  // One is renamed; what is typed into the field is no shortcut.
  await page.keyboard.press("F2");
  await page.keyboard.type("best");
  await page.keyboard.press("Enter");
  await table.shows("Run", ["a", "best", "c"]);
  await until("the name to be MLflow's", async () => (await found("run_name = 'best'")) === "best");
  // Deleted, seen in the trash, and back.
  await page.keyboard.press("Delete");
  await table.shows("Run", ["a", "c"]);
  await page.keyboard.press("Control+z");
  await table.shows("Run", ["a", "best", "c"]);
  await page.keyboard.press("Control+Shift+Z");
  await table.shows("Run", ["a", "c"]);
  await page.goto(`${page.url()}?trash=`);
  await table.shows("Run", ["best"]);
  await scan(page, "the trash");
  await table.grid.focus();
  await page.keyboard.press("Shift+Delete");
  await page.getByText("The trash is empty").waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("Leave the trash");
  await page.keyboard.press("Enter");
  await table.shows("Run", ["a", "best", "c"]);
});

test("the runs in sight are copied for a spreadsheet, the selected ones for a paper", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  for (const [place, name] of ["b|c", "a"].entries()) {
    await client.logRun(name, {
      startTime: LONG_AGO + place * 60_000,
      params: { lr: `0.${String(place + 1)}` },
      metrics: { auc: 0.5 + place },
    });
  }
  const { page } = await world.open(server, "/experiments/0?hide=start&hide=duration&hide=source&hide=status");
  const table = new RunTable(page);
  await table.shows("Run", ["a", "b|c"]);
  const copied = (expected) =>
    until(`the clipboard to hold ${JSON.stringify(expected)}`, async () => {
      const text = await page.evaluate(() => navigator.clipboard.readText());
      if (text === expected) return true;
      throw new Error(JSON.stringify(text));
    });
  await table.grid.focus();
  await page.keyboard.press("Control+c");
  await copied("run\tauc\tlr\na\t1.5\t0.2\nb|c\t0.5\t0.1\n");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press(" ");
  await page.getByRole("button", { name: "Copy", exact: true }).click();
  await page.getByText("Copy 1 selected as").waitFor();
  await scan(page, "a menu of formats");
  await page.getByRole("menuitem", { name: "Markdown" }).click();
  await copied("| run | auc | lr |\n| --- | ---: | ---: |\n| b\\|c | 0.5 | 0.1 |\n");
});
