/** Runs side by side. */
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
