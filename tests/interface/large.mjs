/** Far more runs than a page could hold. */
import assert from "node:assert/strict";

import { atOnce, LONG_AGO } from "./lib/client.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

const RUNS = 20_000;

/** Rows that one look at the table may bring: what is in sight and a margin, in slices of 100. */
const MOST_AT_ONE_PLACE = 300;

test("of 20,000 runs the page gets those in sight and a margin", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  await atOnce(RUNS, 32, (number) =>
    client.post("runs/create", {
      experiment_id: "0",
      run_name: `run-${number}`,
      start_time: LONG_AGO + number * 1000,
    }),
  );
  const { page, window } = await world.open(server);
  const table = new RunTable(page);
  await table.count(RUNS);
  await table.row(`run-${RUNS - 1}`, ({ index }) => index === 2);
  await page.getByText("20,000 runs").waitFor();

  /** Rows that came since the last time this was asked. */
  let known = 0;
  const arrived = async () => {
    const pages = await window.callsOf("runs.page");
    const fresh = pages.slice(known);
    known = pages.length;
    return fresh.reduce((sum, { result }) => sum + result.rows.length, 0);
  };
  const settled = () =>
    until("the rows in sight", async () => (await table.rows()).every(({ isBusy }) => !isBusy));

  await settled();
  assert.ok((await arrived()) <= MOST_AT_ONE_PLACE, "rows at the start");
  const drawn = await table.rows();
  assert.ok(drawn.length < 60, `${drawn.length} rows are drawn`);
  assert.deepEqual(
    drawn.map(({ index }) => index),
    drawn.map((_, place) => place + 2),
    "rows are numbered without a gap, after the head",
  );

  // The end, by the keyboard.
  await table.grid.focus();
  await page.keyboard.press("End");
  const last = await table.row("run-0", ({ isBusy }) => !isBusy);
  assert.equal(last.index, RUNS + 1);
  await until("the cursor at the last run", async () => (await table.current()) === "run-0");
  assert.ok((await arrived()) <= MOST_AT_ONE_PLACE, "rows at the end");

  // Half of the way back, by the scrollbar.
  const box = await table.grid.boundingBox();
  const x = box.x + box.width - 7;
  // The thumb is at the end, above the arrow.
  await page.mouse.move(x, box.y + box.height - 22);
  await page.mouse.down();
  await page.mouse.move(x, box.y + box.height / 2, { steps: 8 });
  await page.mouse.up();
  await settled();
  const middle = await table.rows();
  const { index } = middle[Math.floor(middle.length / 2)];
  assert.ok(index > RUNS * 0.25 && index < RUNS * 0.75, `row ${index} is in the middle`);
  assert.equal(middle[0].cells.Run, `run-${RUNS + 1 - middle[0].index}`);
  assert.ok((await arrived()) <= MOST_AT_ONE_PLACE * 9, "rows on the way");

  // A new order starts at the top again.
  await table.order("Run", "ascending");
  await table.row("run-0", ({ index, isBusy }) => index === 2 && !isBusy);
  for (const { args } of await window.callsOf("runs.page")) assert.ok(args.limit <= 100);
});

test("of hundreds of columns the table draws those in sight", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const metrics = Object.fromEntries(
    Array.from({ length: 400 }, (_, number) => [`m/${String(number).padStart(3, "0")}`, number]),
  );
  const params = Object.fromEntries(Array.from({ length: 19 }, (_, number) => [`p${number}`, "1"]));
  await client.logRun("wide", { metrics, params });
  const { page } = await world.open(server);
  const table = new RunTable(page);
  // The rest is hidden until it is asked for.
  await until("the columns", async () => (await table.grid.getAttribute("aria-colcount")) === "44");
  const row = await table.row("wide");
  assert.ok(
    Object.keys(row.cells).length < 20,
    `${Object.keys(row.cells).length} columns are drawn`,
  );
  await table.grid.focus();
  await page.keyboard.press("Control+End");
  await table.row("wide", ({ cells }) => cells.p9 === "1");
  assert.equal(await table.grid.locator("[aria-colindex='44']").count(), 2);
});
