/** The page of a run. */
import assert from "node:assert/strict";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { LONG_AGO } from "./lib/client.mjs";
import { png } from "./lib/png.mjs";
import { test, until } from "./lib/tests.mjs";

/** The text of a table's cell, by the header of its row. */
function valueOf(page, section, name) {
  return page
    .getByRole("region", { name: section, exact: true })
    .getByRole("row")
    .filter({ has: page.getByRole("rowheader", { name, exact: true }) })
    .getByRole("cell")
    .first()
    .innerText();
}

test("the overview shows parameters, latest metrics, datasets, models and where it all came from", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const parent = await client.logRun("the-parent");
  const run = await client.logRun("full-of-facts", {
    params: { lr: "0.003", note: "two\nlines" },
    tags: {
      "mlflow.note.content": "Trained on **all** rows.",
      "mlflow.source.name": "/home/ada/churn/train.py",
      "mlflow.source.git.commit": "0123456789abcdef0123456789abcdef01234567",
      "mlflow.parentRunId": parent.run_id,
      team: "blue",
    },
  });
  await client.logSeries(run.run_id, "auc", [0.5, 0.75, 0.9134]);
  await client.post("runs/log-inputs", {
    run_id: run.run_id,
    datasets: [
      {
        tags: [{ key: "mlflow.data.context", value: "training" }],
        dataset: {
          name: "wine",
          digest: "a1b2c3d4",
          source_type: "local",
          source: JSON.stringify({ uri: "/data/wine.csv" }),
          schema: JSON.stringify({
            mlflow_colspec: [
              { type: "double", name: "alcohol", required: true },
              { type: "long", name: "class", required: false },
            ],
          }),
          profile: JSON.stringify({ num_rows: 178, num_elements: 2314 }),
        },
      },
    ],
  });
  const { page } = await world.open(server, `/runs/${run.run_id}`);
  await page.getByRole("heading", { name: "full-of-facts", level: 1 }).waitFor();
  await until("the title", async () => (await page.title()) === "full-of-facts · Cairn");
  assert.equal(await valueOf(page, "Parameters", "lr"), "0.003");
  assert.equal(await valueOf(page, "Parameters", "note"), "two\nlines");
  assert.equal(await valueOf(page, "Metrics", "auc"), "0.9134");
  const datasets = page.getByRole("region", { name: "Datasets" });
  await datasets.getByRole("heading", { name: "wine" }).waitFor();
  const text = await datasets.innerText();
  for (const words of ["training", "178", "a1b2c3d4", "/data/wine.csv", "2 columns"]) {
    assert.ok(text.includes(words), `${words} is missing in ${text}`);
  }
  await datasets.getByText("2 columns").click();
  await datasets.getByRole("cell", { name: "alcohol" }).waitFor();
  await page.getByText("0123456789abcdef0123456789abcdef01234567").waitFor();
  await scan(page, "overview of a run");
  await matchTree(page.getByRole("main"), "run-overview");

  await page.keyboard.press("3");
  assert.equal(await valueOf(page, "Tags", "team"), "blue");
  await scan(page, "tags of a run");
  await matchTree(page.getByRole("main"), "run-tags");

  await page.getByRole("link", { name: "the-parent" }).click();
  await page.getByRole("heading", { name: "the-parent", level: 1 }).waitFor();
  await page.getByRole("region", { name: "Nested runs" }).getByRole("link").click();
  await page.getByRole("heading", { name: "full-of-facts", level: 1 }).waitFor();
});

test("a chart is drawn, grows while the run logs, and says its values to who cannot see it", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const run = await client.logRun("live-chart", {
    status: "RUNNING",
    startTime: Date.now() - 5000,
  });
  const values = Array.from({ length: 200 }, (_, step) => 2 / (1 + step / 20));
  await client.logSeries(run.run_id, "train/loss", values);
  const { page } = await world.open(server, `/runs/${run.run_id}?tab=metrics`);
  const chart = page.getByRole("figure", { name: "train/loss" });
  const slider = chart.getByRole("slider", { name: "train/loss by step" });
  await slider.waitFor();
  const said = () => slider.getAttribute("aria-valuetext");
  assert.equal(await said(), `step 199: ${values[199]}`);

  /** How many different colours the chart has; a line has many by its smoothing. */
  const colours = () =>
    slider
      .locator("canvas")
      .first()
      .evaluate((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const found = new Set();
        for (let place = 0; place < data.length; place += 4) {
          if (data[place + 3] > 0)
            found.add((data[place] << 16) | (data[place + 1] << 8) | data[place + 2]);
        }
        return found.size;
      });
  await until("a line in the chart", async () => (await colours()) > 8);

  await client.logMetric(run.run_id, "train/loss", 0.0625, 200);
  await until("the new point", async () => (await said()) === "step 200: 0.0625");
  await client.logMetric(run.run_id, "val/loss", 0.5, 0);
  await page.getByRole("figure", { name: "val/loss" }).waitFor();

  // The crosshair by keys; points that come leave it where it is.
  await slider.focus();
  await page.keyboard.press("Home");
  assert.equal(await said(), "step 0: 2");
  await client.logMetric(run.run_id, "train/loss", 0.03125, 201);
  await chart.getByText("step 0").waitFor();
  await page.keyboard.press("ArrowRight");
  assert.equal(await said(), `step 1: ${values[1]}`);
  await page.keyboard.press("End");
  await until("the last point", async () => (await said()) === "step 201: 0.03125");
  await scan(page, "charts of a run");

  await chart.getByRole("button", { name: "Show train/loss as a table" }).click();
  const first = chart.getByRole("row").nth(1);
  assert.match((await first.innerText()).replaceAll(/\s+/g, " "), /^201 0\.03125 /);
  await scan(page, "points as a table");

  const header = page.getByRole("main").locator("header").first();
  assert.match(await header.innerText(), /Running/);
  await client.end(run.run_id);
  await until("the end of the run", async () => /Finished/.test(await header.innerText()));
});

test("files are shown as a tree, texts and pictures beside it", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const run = await client.logRun("with-files");
  await client.upload(run, "report.json", '{"auc":0.9,"rows":[1,2]}');
  await client.upload(run, "plots/roc.png", png(64, 48, [40, 120, 90]));
  await client.upload(run, "plots/deep/notes ü.txt", "first line\nsecond line\n");
  await client.upload(run, "model.bin", Buffer.from([0, 1, 2, 255, 254]));
  const { page } = await world.open(server, `/runs/${run.run_id}`);
  await page.getByRole("heading", { name: "with-files", level: 1 }).waitFor();
  await page.keyboard.press("4");
  const tree = page.getByRole("tree", { name: "Files of the run" });
  const names = () =>
    tree.getByRole("treeitem").evaluateAll((rows) => rows.map((row) => row.title));
  await tree.waitFor();
  assert.deepEqual(await names(), ["plots", "model.bin", "report.json"]);

  // By keys: open the folder, walk to the picture.
  await tree.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  await until("the folder's content", async () => (await names()).length === 5);
  assert.deepEqual(await names(), ["plots", "deep", "roc.png", "model.bin", "report.json"]);
  await tree.getByRole("treeitem", { name: "roc.png" }).click();
  const image = page.getByRole("img", { name: "roc.png" });
  await image.waitFor();
  await until("the picture", () =>
    image.evaluate((img) => img.complete && img.naturalWidth === 64),
  );
  await page.getByText("64 × 48 px").waitFor();
  await scan(page, "picture among files");
  await matchTree(page.getByRole("main"), "run-artifacts");

  await tree.getByRole("treeitem", { name: "report.json" }).click();
  const lines = page.getByRole("region", { name: "Text of report.json" });
  await lines.waitFor();
  assert.match(await lines.innerText(), /"auc": 0\.9/);
  await scan(page, "text among files");

  await tree.getByRole("treeitem", { name: "model.bin" }).click();
  await page.getByText("Files of this kind have no preview").waitFor();
  await scan(page, "file without a preview");

  // The address leads to the file again, folders opened.
  await page.goto(
    `${server.origin}/runs/${run.run_id}?tab=artifacts&path=${encodeURIComponent("plots/deep/notes ü.txt")}`,
  );
  await page.getByRole("region", { name: "Text of plots/deep/notes ü.txt" }).waitFor();
  await page.getByText("second line").waitFor();
  await until("the file in the tree", async () => (await names()).includes("notes ü.txt"));

  // Files that come while one looks.
  await client.upload(run, "late.txt", "later");
  await until("the late file", async () => (await names()).includes("late.txt"));
});

test("a run that is not there says so and leads back", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("another");
  const { page } = await world.open(server, `/runs/${"0".repeat(32)}`);
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /0{32}/);
  await scan(page, "run that is not there");
});

test("thousands of points keep their peak in the chart", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const run = await client.logRun("spiky");
  for (let part = 0; part < 10; part += 1) {
    await client.post("runs/log-batch", {
      run_id: run.run_id,
      metrics: Array.from({ length: 1000 }, (_, place) => {
        const step = part * 1000 + place;
        return { key: "loss", value: step === 7777 ? 99 : 1, step, timestamp: LONG_AGO + step };
      }),
    });
  }
  const { page, window } = await world.open(server, `/runs/${run.run_id}?tab=metrics`);
  await page.getByRole("slider", { name: "loss by step" }).waitFor();
  const [series] = await window.callsOf("series.get");
  assert.equal(series.result.total_points, 10_000);
  assert.ok(series.result.steps.length < 5000, `${series.result.steps.length} points came`);
  assert.ok(series.result.values.includes(99), "the peak came");
});
