/** Who gets in, and what data can do to a page. */
import assert from "node:assert/strict";
import http from "node:http";

import { matchTree } from "./lib/accessibility.mjs";
import { RunTable } from "./lib/table.mjs";
import { test, until } from "./lib/tests.mjs";

/** Sends one request as it stands, and gives the head of the answer and its text. */
function ask(origin, path, { method = "GET", headers = {}, body } = {}) {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const request = http.request({ hostname, port, path, method, headers }, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += part));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
      // A stream has no end to wait for.
      if (answer.headers["content-type"] === "text/event-stream") {
        resolve({ status: answer.statusCode, headers: answer.headers, text });
        answer.destroy();
      }
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** The cookie that the first link gives. */
async function cookieOf(server) {
  const link = new URL(server.link);
  const answer = await ask(server.origin, `${link.pathname}${link.search}`);
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.location, "/");
  const [set] = answer.headers["set-cookie"];
  assert.match(set, /; HttpOnly/);
  assert.match(set, /; SameSite=Strict/);
  return set.split(";")[0];
}

const JSON_BODY = { "content-type": "application/json" };

/** One request for every kind of address of the interface. */
const PLACES = [
  ["/", {}],
  ["/models", {}],
  ["/theme.js", {}],
  ["/live", {}],
  ["/file/anything", {}],
  ["/call/app.info", { method: "POST", headers: JSON_BODY, body: "{}" }],
  ["/call/store.open", { method: "POST", headers: JSON_BODY, body: '{"path":"/tmp"}' }],
];

test("nothing is given to who has no cookie or a wrong one", async (world) => {
  const server = await world.serve();
  const cookie = await cookieOf(server);
  const wrong = cookie.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
  for (const [path, request] of PLACES) {
    for (const given of [undefined, wrong, `${cookie.split("=")[0]}=`]) {
      const headers = { ...request.headers, ...(given === undefined ? {} : { cookie: given }) };
      const { status, text } = await ask(server.origin, path, { ...request, headers });
      assert.equal(status, 401, `${path} with ${given}`);
      assert.ok(!text.includes("<script"), path);
    }
  }
  assert.equal((await ask(server.origin, "/?token=wrong")).status, 401);
  assert.equal((await ask(server.origin, "/", { headers: { cookie } })).status, 200);
  const info = PLACES.find(([path]) => path === "/call/app.info")[1];
  const known = await ask(server.origin, "/call/app.info", {
    ...info,
    headers: { ...info.headers, cookie },
  });
  assert.equal(known.status, 200);
});

test("other hosts, other pages and other sites are refused even with the cookie", async (world) => {
  const server = await world.serve();
  const cookie = await cookieOf(server);
  const { port } = new URL(server.origin);
  const foreign = [
    { host: `evil.example:${port}` },
    { host: "127.0.0.1:1" },
    { origin: "https://evil.example" },
    { origin: server.trackingUri },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ];
  for (const [path, request] of PLACES) {
    for (const headers of foreign) {
      const { status } = await ask(server.origin, path, {
        ...request,
        headers: { ...request.headers, cookie, ...headers },
      });
      assert.equal(status, 403, `${path} with ${JSON.stringify(headers)}`);
    }
  }
  // Arguments that a form of another page could send are not read.
  const form = await ask(server.origin, "/call/app.info", {
    method: "POST",
    headers: { cookie, "content-type": "text/plain" },
    body: "{}",
  });
  assert.equal(form.status, 400);
});

test("a page of another origin cannot read or change anything", async (world) => {
  const server = await world.serve();
  await world.client(server).logRun("private-run");
  const { page, window } = await world.open(server);
  await new RunTable(page).count(1);
  const evil = http.createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end("<!doctype html><title>other</title>");
  });
  await new Promise((done) => evil.listen(0, "127.0.0.1", done));
  try {
    // Another port of this machine: the same site, so that even a strict cookie is sent along.
    const other = await window.goto(`http://127.0.0.1:${evil.address().port}/`);
    const outcomes = await other.evaluate(
      async ([origin, tracking]) => {
        const attempt = (url, init) =>
          fetch(url, { credentials: "include", ...init }).then(
            (answer) => `answered ${answer.status}`,
            () => "refused",
          );
        return {
          call: await attempt(`${origin}/call/experiments.list`, { method: "POST", body: "{}" }),
          mlflow: await attempt(`${tracking}/api/2.0/mlflow/experiments/search?max_results=1`),
          create: await attempt(`${tracking}/api/2.0/mlflow/experiments/create`, {
            method: "POST",
            body: '{"name":"planted"}',
          }),
          frame: await new Promise((done) => {
            const frame = document.createElement("iframe");
            frame.src = `${origin}/`;
            frame.onload = () => {
              try {
                done(frame.contentDocument === null ? "closed" : frame.contentDocument.title);
              } catch {
                done("closed");
              }
            };
            document.body.append(frame);
          }),
        };
      },
      [server.origin, server.trackingUri],
    );
    assert.deepEqual(outcomes, {
      call: "refused",
      mlflow: "refused",
      create: "refused",
      frame: "closed",
    });
    // The refusals are the browser's to note.
    window.complaints = [];
  } finally {
    evil.close();
    evil.closeAllConnections();
  }
  const experiments = await world.client(server).post("experiments/search", { max_results: 10 });
  assert.deepEqual(
    experiments.experiments.map(({ name }) => name),
    ["Default"],
  );
});

test("pages come with a policy that forbids foreign and inline scripts", async (world) => {
  const server = await world.serve();
  const cookie = await cookieOf(server);
  for (const path of ["/", "/runs/anything"]) {
    const { headers } = await ask(server.origin, path, { headers: { cookie } });
    const policy = headers["content-security-policy"];
    assert.match(policy, /default-src 'self'/);
    assert.match(policy, /script-src 'self' 'nonce-[0-9a-f]{64}'/);
    assert.match(policy, /object-src 'none'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /script-src[^;]*unsafe/);
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["access-control-allow-origin"], undefined);
  }
  // The browser keeps to it.
  const { page, window } = await world.open(server);
  await page.getByRole("heading", { name: "No runs yet" }).waitFor();
  assert.deepEqual(window.complaints, []);
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.planted = true";
    document.body.append(script);
    const button = document.createElement("button");
    button.setAttribute("onclick", "globalThis.planted = true");
    document.body.append(button);
    button.click();
  });
  assert.equal(await page.evaluate(() => globalThis.planted), undefined);
  await until("the browser's notes", () => window.complaints.length === 2);
  for (const text of window.complaints.splice(0)) assert.match(text, /Content Security Policy/);
});

test("markup in names, parameters, tags, descriptions and files is shown as text", async (world) => {
  const server = await world.serve();
  const client = world.client(server);
  const evil = '<img src=x onerror="globalThis.planted=1"><b id=planted>bold</b>';
  const experimentId = await client.createExperiment(`exp ${evil}`);
  const run = await client.logRun(`run ${evil}`, {
    experimentId,
    params: { markup: evil },
    tags: {
      markup: evil,
      "mlflow.source.name": `/home/ada/${evil}.py`,
      "mlflow.note.content": `${evil}\n\n[link](javascript:globalThis.planted=1) ![x](http://127.0.0.1:9/x.png)`,
    },
  });
  await client.logMetric(run.run_id, "loss", 1, 0);
  const fileName = "<img src=x onerror=planted=1>.txt";
  await client.upload(run, fileName, evil);
  await client.upload(run, "page.html", `<script>globalThis.planted=1</script>${evil}`);
  await client.upload(
    run,
    "picture.svg",
    '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><script>parent.planted=1</script></svg>',
  );

  const { page } = await world.open(server);
  const unharmed = async (place) => {
    const found = await page.evaluate(() => ({
      planted: globalThis.planted,
      elements: document.querySelectorAll("#planted, img[src=x], a[href^='javascript:']").length,
    }));
    assert.deepEqual(found, { planted: undefined, elements: 0 }, place);
  };
  const table = new RunTable(page);
  await table.row(`run ${evil}`, ({ cells }) => cells.markup === evil);
  await unharmed("table");
  await page.goto(`${server.origin}/runs/${run.run_id}`);
  await page.getByRole("heading", { name: `run ${evil}`, level: 1 }).waitFor();
  await page.getByRole("region", { name: "Parameters" }).getByText(evil).waitFor();
  await unharmed("overview");
  await matchTree(page.getByRole("main"), "markup-as-text");
  await page.keyboard.press("3");
  await page.getByRole("region", { name: "Tags", exact: true }).getByText(evil).waitFor();
  await unharmed("tags");
  await page.keyboard.press("4");
  const tree = page.getByRole("tree");
  await tree.getByRole("treeitem", { name: fileName }).click();
  await page
    .getByRole("region", { name: `Text of ${fileName}` })
    .getByText(evil)
    .waitFor();
  await unharmed("file");
  await tree.getByRole("treeitem", { name: "page.html" }).click();
  await page.getByRole("region", { name: "Text of page.html" }).getByText(evil).waitFor();
  await unharmed("page among files");
  await tree.getByRole("treeitem", { name: "picture.svg" }).click();
  await page.getByRole("region", { name: "Preview of picture.svg" }).waitFor();
  await unharmed("picture among files");
});
