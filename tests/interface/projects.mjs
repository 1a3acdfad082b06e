/** Projects: added, run, followed, stopped, run again. What runs is real. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";

import { matchTree, scan } from "./lib/accessibility.mjs";
import { MENDED, writeProject, writeSteps } from "./lib/project.mjs";
import { test, until } from "./lib/tests.mjs";

/** A run begins with an environment that is made: on a busy machine that takes its time. */
const RUN_MS = 60_000;

const projectPlace = (folder, more = "") => `/projects/one?uri=${encodeURIComponent(folder)}${more}`;

/** Opens the page of the small project, in its own window. */
async function openProject(world, more = "") {
  const folder = writeProject(world.path("churn"));
  const server = await world.serve();
  const { page, window } = await world.open(server, projectPlace(folder, more));
  await page.getByRole("heading", { name: "churn", level: 1 }).waitFor();
  return { folder, server, page, window };
}

/** Opens the page of the project with steps, in its own window. */
async function openSteps(world, more) {
  const folder = writeSteps(world.path("steps"));
  const server = await world.serve();
  const opened = await world.open(server, projectPlace(folder, more));
  await opened.page.getByRole("heading", { name: "steps", level: 1 }).waitFor();
  return { folder, server, ...opened };
}

/** Presses what runs the form. */
async function press(page, name) {
  await page.getByRole("button", { name, exact: true }).click();
}

function status(page, word) {
  return page.locator("header").getByText(word, { exact: true }).waitFor({ timeout: RUN_MS });
}

test("a project is added by its folder, and one that cannot be read says where and why", async (world) => {
  const folder = writeProject(world.path("churn"));
  const broken = world.path("broken");
  mkdirSync(broken);
  writeFileSync(
    `${broken}/MLproject`,
    'name: broken\nentry_points:\n  main:\n    parameters: {alpha: float}\n    command: "python x.py {beta}"\n',
  );
  const server = await world.serve();
  const { page, window } = await world.open(server, "/projects");
  await page.getByRole("heading", { name: "No projects yet" }).waitFor();
  await scan(page, "no projects");
  for (const path of [broken, folder]) {
    await page.getByRole("link", { name: "Projects", exact: true }).first().click();
    await press(page, "Add a project…");
    await page.getByLabel(/A folder, a git address/).fill(path);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: path === folder ? "churn" : "broken" }).waitFor();
  }
  await page.getByRole("link", { name: "Projects", exact: true }).first().click();
  const list = page.getByRole("region", { name: "Projects" });
  await list.getByText("MLproject:5").waitFor();
  await scan(page, "list of projects");
  await matchTree(page.getByRole("main"), "projects");
  assert.equal((await window.callsOf("project.run")).length, 0);

  await list.getByRole("link", { name: "broken" }).click();
  await page.getByRole("alert").getByText("MLproject:5").waitFor();
  await scan(page, "a project that cannot be read");
});

test("the form of a project shows what would run, and says what is wrong while it is typed", async (world) => {
  const { page, window } = await openProject(world);
  const plan = page.getByRole("region", { name: "What would run" });
  await plan.getByText(/python train\.py 0\.5 7 /).waitFor();
  await plan.getByText("(will be built first)").waitFor();
  await scan(page, "form of a project");
  await matchTree(page.getByRole("main"), "project");

  await page.getByLabel(/^alpha/).fill("a half");
  await page.getByText("“a half” is not a number", { exact: true }).waitFor();
  const run = page.getByRole("button", { name: "Allow and run" });
  await until("nothing to run", () => run.isDisabled());
  await scan(page, "a wrong value");
  await page.getByLabel(/^alpha/).fill("0.25");
  await page.getByLabel(/^data/).fill("nowhere.csv");
  await page.getByText(/nowhere\.csv/).first().waitFor();
  await until("nothing to run", () => run.isDisabled());
  await page.getByLabel(/^data/).fill("data.csv");
  await plan.getByText(/python train\.py 0\.25 7 /).waitFor();
  await until("something to run", () => run.isEnabled());
  assert.equal((await window.callsOf("project.run")).length, 0);
});

test("a project runs by one press, is asked for once, and again when a file changed", async (world) => {
  const { folder, page } = await openProject(world);
  await press(page, "Allow and run");
  await status(page, "Finished");
  const log = page.getByRole("region", { name: "Lines of the log" });
  await log.getByText("<b>4</b>").waitFor();
  assert.equal(await log.locator("b").count(), 0);
  await page.keyboard.press("1");
  await page.getByRole("link", { name: "loss" }).waitFor();

  await page.goto(new URL(projectPlace(folder), page.url()).href);
  await page.getByText("(built)").waitFor();
  await page.getByRole("button", { name: "Run", exact: true }).waitFor();
  await page.getByRole("heading", { name: "Latest runs" }).waitFor();
  appendFileSync(`${folder}/train.py`, "print('changed')\n");
  await page.reload();
  await page.getByRole("button", { name: "Allow and run" }).waitFor();
});

test("what runs is seen from everywhere, followed and stopped", async (world) => {
  const { page } = await openProject(world, "&entry=wait");
  await press(page, "Allow and run");
  const log = page.getByRole("region", { name: "Lines of the log" });
  await log.getByText("tick 3", { exact: true }).waitFor({ timeout: RUN_MS });
  await page.getByRole("link", { name: "Models", exact: true }).click();
  await page.getByRole("button", { name: /1 running/ }).click();
  const list = page.getByRole("dialog", { name: "Running and waiting" });
  await scan(page, "what runs");
  await list.getByRole("link", { name: "Queue" }).click();
  await page.getByRole("heading", { name: "Queue", level: 1 }).waitFor();
  await page.getByRole("heading", { name: /^Running/ }).waitFor();
  await scan(page, "a queue at work");
  await page.getByRole("button", { name: /^Stop / }).click();
  await page.getByRole("row", { name: /Stopped/ }).waitFor({ timeout: RUN_MS });
  await until("nothing running", async () => {
    return (await page.getByRole("button", { name: /1 running/ }).count()) === 0;
  });
});

test("a run that fails says why, shows the first error, and is run again", async (world) => {
  const { page } = await openProject(world, "&entry=fail");
  await press(page, "Allow and run");
  await status(page, "Failed");
  await page.getByText(/This run failed: ended with exit code 1/).waitFor();
  await press(page, "First error");
  await page.locator(".line.here").getByText(/Traceback|ValueError/).waitFor();
  await scan(page, "log of a failed run");
  await page.getByRole("link", { name: "Queue" }).first().click();
  await page.getByText(/Ended with exit code 1/).first().waitFor();
  await scan(page, "a queue with what failed");
});

test("waiting runs are put in another order by keys, and taken out", async (world) => {
  const { page, server, folder } = await openProject(world, "&entry=wait");
  await page.request.post(`${server.origin}/call/queue.set_paused`, { data: { paused: true } });
  const plan = await (
    await page.request.post(`${server.origin}/call/project.plan`, { data: draft(folder, "first") })
  ).json();
  for (const name of ["first", "second", "third"]) {
    const answer = await page.request.post(`${server.origin}/call/project.run`, {
      data: { draft: draft(folder, name), allow: plan.content_hash },
    });
    assert.equal(answer.status(), 200, await answer.text());
  }
  await page.goto(`${server.origin}/queue`);
  const rows = page.getByRole("region", { name: "Launches" }).getByRole("row");
  const order = async () => (await rows.allInnerTexts()).map((text) => /first|second|third/.exec(text)?.[0]);
  await until("three that wait in their order", async () => (await order()).join() === "first,second,third");
  await page.getByText(/Paused:/).waitFor();
  await page.getByRole("button", { name: /^Move third/ }).focus();
  await page.keyboard.press("ArrowUp");
  await until("the third before the second", async () => (await order()).join() === "first,third,second");
  await scan(page, "a queue that is paused");
  for (const name of ["first", "second", "third"]) {
    await page.getByRole("button", { name: new RegExp(`^Take out ${name}`) }).click();
  }
  await until("none that waits", async () => (await page.getByRole("button", { name: /^Move / }).count()) === 0);
});

function draft(uri, runName) {
  return { uri, entry_point: "wait", params: [], run_name: runName };
}

test("a run is run again by one key, and the report says that it reproduced", async (world) => {
  const { page } = await openProject(world);
  await press(page, "Allow and run");
  await status(page, "Finished");
  const first = await page.getByRole("heading", { level: 1 }).innerText();
  await page.getByRole("tab", { name: "Code and environment" }).click();
  await page.getByRole("heading", { name: "Code", exact: true }).waitFor();
  await scan(page, "code and environment of a run");
  await page.keyboard.press("r");
  await page.getByRole("link", { name: `${first} again` }).click({ timeout: RUN_MS });
  await page.getByRole("heading", { level: 1, name: `${first} again` }).waitFor();
  await status(page, "Finished");
  await page.getByRole("tab", { name: "Reproduction" }).click();
  const verdict = page.getByRole("region", { name: "Verdict" });
  await verdict.getByText(/Reproduced/).waitFor({ timeout: RUN_MS });
  await verdict.getByRole("link", { name: first }).waitFor();
  await scan(page, "reproduction report");
});

test("a run again with another seed differs, and the seed is named first", async (world) => {
  const { page } = await openProject(world);
  await page.getByLabel(/^alpha/).fill("0.25");
  await page.getByText(/train\.py 0\.25 7 /).waitFor();
  await press(page, "Allow and run");
  await status(page, "Finished");
  await page.keyboard.press("Shift+R");
  await page.getByRole("heading", { name: "Run again with changes" }).waitFor();
  await page.getByLabel(/^seed/).fill("8");
  await page.getByText(/train\.py 0\.25 8 /).waitFor();
  await scan(page, "run again with changes");
  await press(page, "Run with changes");
  await status(page, "Finished");
  await page.getByRole("tab", { name: "Reproduction" }).click({ timeout: RUN_MS });
  await page.getByRole("region", { name: "Verdict" }).getByText(/Differs/).waitFor({ timeout: RUN_MS });
  const causes = page.getByRole("region", { name: /Likely causes/ });
  assert.match(await causes.getByRole("listitem").first().innerText(), /seed/i);
  await scan(page, "a report that differs");
});

test("environments say what they take, and are removed after a question", async (world) => {
  const { page } = await openProject(world);
  await press(page, "Allow and run");
  await status(page, "Finished");
  await page.getByRole("link", { name: "Environments", exact: true }).click();
  const list = page.getByRole("region", { name: "Environments" });
  await list.getByRole("row").nth(1).waitFor();
  await scan(page, "environments");
  await list.getByRole("button", { name: /^Remove / }).click();
  await scan(page, "an environment to be removed");
  await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("heading", { name: "No environments yet" }).waitFor();
});

test("a project is opened by a press on its row, or by arrows and Enter", async (world) => {
  const { folder, server, page } = await openProject(world);
  await page.request.post(`${server.origin}/call/project.add`, { data: { uri: folder } });
  const list = page.getByRole("region", { name: "Projects" });
  const toList = () => page.getByRole("link", { name: "Projects", exact: true }).first().click();
  await toList();
  await list.locator("td.place").click({ position: { x: 2, y: 2 } });
  await page.getByRole("heading", { level: 1, name: "churn" }).waitFor();
  await toList();
  await list.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "churn" }).waitFor();
});

test("a pipeline takes values, says which step failed, and goes on once it is mended", async (world) => {
  const { folder, page } = await openSteps(world, "");
  await page.getByLabel(/^rows/).fill("4");
  await scan(page, "form of a pipeline");
  await press(page, "Allow and run the pipeline");
  const steps = page.getByRole("region", { name: "Steps of the pipeline" });
  const step = (name) => steps.getByRole("listitem").filter({ hasText: new RegExp(`^\\s*${name}`) }).last();
  await step("train").getByText("Failed").waitFor({ timeout: RUN_MS });
  await step("clean").getByText("Finished").waitFor();
  await step("train").getByText(/exit code 1/).waitFor();
  await status(page, "Failed");
  await page.getByRole("row", { name: /^rows/ }).getByText("4").waitFor();
  await scan(page, "a pipeline that failed");
  const address = page.url();

  // What changed since it was allowed is asked for.
  writeFileSync(`${folder}/train.py`, MENDED);
  await page.getByRole("link", { name: "Queue" }).first().click();
  await page.getByRole("button", { name: /^Resume / }).click();
  await page.getByRole("heading", { level: 1, name: "Resume" }).waitFor();
  await page.getByText(/python train\.py/).waitFor();
  await scan(page, "a pipeline that goes on");
  await press(page, "Allow and resume");
  await until("the run's page", () => page.url() === address);
  await step("train").getByText("Finished").waitFor({ timeout: RUN_MS });
  await status(page, "Finished");
  assert.equal(await page.getByRole("button", { name: "Resume" }).count(), 0);
  await step("train").getByRole("link", { name: "train" }).click();
  // Twice the 4 rows that were given.
  await page.getByRole("row", { name: /^seen/ }).getByText(/^8/).waitFor();

  await page.goto(new URL(projectPlace(folder), address).href);
  await page.getByLabel(/^rows/).fill("4");
  await press(page, "Run the pipeline");
  await step("train").getByText("Unchanged, taken from before").waitFor({ timeout: RUN_MS });
});

test("a sweep shows its trials, the best one first, and goes on after a stop", async (world) => {
  const { folder, page } = await openSteps(world, "&entry=tune&values=several");
  await page.getByLabel("How x varies").selectOption("list");
  await page.getByLabel(/^x/).fill("2, 1, 3");
  await page.getByLabel("Goal").fill("loss");
  await page.getByLabel("Runs at a time").fill("1");
  await press(page, "Allow and run 3 times");
  const trials = page.getByRole("region", { name: "Trials" });
  const rows = async () =>
    (await trials.getByRole("row").allInnerTexts()).slice(1).map((text) => text.replaceAll(/\s+/g, " ").trim());
  const areRows = async (...expected) => {
    await until(`the trials ${expected.join("; ")}`, async () => {
      const now = await rows();
      return now.length === expected.length && expected.every((row, index) => row.test(now[index]));
    }, RUN_MS);
  };
  await areRows(/^trial 1 Best 1(\.0+)? 2(\.0)? Finished/, /^trial 2 0(\.0+)? 1(\.0)? Running/);
  await scan(page, "a sweep at work");
  await page.getByRole("tab", { name: "Log" }).click();
  await press(page, "Stop");
  await status(page, "Killed");
  await page.getByRole("tab", { name: "Overview" }).click();
  await areRows(/^trial 1 Best/, /^trial 2 .*Killed/);
  writeFileSync(`${folder}/go`, "");
  await page.getByRole("button", { name: "Resume" }).click();
  await areRows(/^trial 2 Best 0(\.0+)? 1/, /^trial 1 1/, /^trial 3 4/);
  await status(page, "Finished");
  await page.getByText("3 of 3 done").waitFor();
  await scan(page, "a sweep that is done");
  await trials.getByRole("link", { name: "trial 2" }).click();
  await page.getByRole("heading", { level: 1, name: "trial 2" }).waitFor();
});
