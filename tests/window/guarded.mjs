/** What the page cannot do, whatever it shows. */
import assert from "node:assert/strict";
import { createServer } from "node:http";

import { sleep, until } from "./lib/tests.mjs";
import { openDesk } from "./lib/window.mjs";

/** A foreign site: notes who asks. */
async function openSite() {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.setHeader("access-control-allow-origin", "*");
    response.end("<h1>elsewhere</h1>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, asked, address: `http://127.0.0.1:${server.address().port}` };
}

/** What comes of a call into the program. */
function invoke(window, command, args = {}) {
  return window.driver.executeAsyncScript(
    (command, args, done) => {
      window.__TAURI_INTERNALS__.invoke(command, args).then(
        (answer) => done({ answer }),
        (error) => done({ error: typeof error === "string" ? error : JSON.stringify(error) }),
      );
    },
    command,
    args,
  );
}

export default [
  {
    name: "What the page cannot do",
    async open() {
      const desk = await openDesk();
      const site = await openSite();
      try {
        const window = await desk.openWindow();
        await window.see("No runs yet");
        return { desk, site, window, display: desk.display };
      } catch (error) {
        site.server.close();
        await desk.close();
        throw error;
      }
    },
    async close({ desk, site, window }) {
      await window.close();
      site.server.close();
      await desk.close();
    },
    steps: [
      [
        "it reaches the command list",
        async ({ window }) => {
          const { answer } = await invoke(window, "call", { name: "app.info", args: {} });
          assert.match(answer.version, /^\d+\.\d+\.\d+/);
          const { error } = await invoke(window, "call", { name: "no.such", args: {} });
          assert.match(error, /not_found/);
        },
      ],
      [
        "it reaches no command of Tauri or of a plugin, and no measuring one",
        async ({ window }) => {
          for (const command of [
            "plugin:app|version",
            "plugin:window|create",
            "plugin:webview|create_webview_window",
            "plugin:window-state|save_window_state",
            "plugin:event|listen",
            "plugin:path|resolve_directory",
            "bench_first_table",
          ]) {
            const outcome = await invoke(window, command);
            assert.ok(outcome.error, `${command} answered ${JSON.stringify(outcome.answer)}`);
            assert.match(outcome.error, /not allowed|not found|denied/i, command);
          }
        },
      ],
      [
        "scripts that are not the interface's own do not run",
        async ({ window, site }) => {
          const ran = await window.driver.executeAsyncScript((address, done) => {
            window.foreign = [];
            const add = (make) => document.head.append(make(document.createElement("script")));
            add((script) => Object.assign(script, { textContent: 'foreign.push("inline")' }));
            add((script) => Object.assign(script, { src: `${address}/script.js` }));
            add((script) => Object.assign(script, { src: 'data:text/javascript,foreign.push("data")' }));
            const blob = new Blob(['foreign.push("blob")'], { type: "text/javascript" });
            add((script) => Object.assign(script, { src: URL.createObjectURL(blob) }));
            const box = document.createElement("div");
            box.innerHTML = `<img src="data:," onerror="foreign.push('handler')">`;
            document.body.append(box);
            try {
              (0, eval)('foreign.push("eval")');
            } catch {
              // As it should be.
            }
            setTimeout(() => {
              box.remove();
              done(window.foreign);
            }, 1000);
          }, site.address);
          assert.deepEqual(ran, []);
        },
      ],
      [
        "nothing is sent to or fetched from elsewhere",
        async ({ window, site }) => {
          const outcome = await window.driver.executeAsyncScript((address, done) => {
            const image = new Image();
            image.src = `${address}/image.png`;
            const socket = (() => {
              try {
                return new WebSocket(address.replace("http", "ws"));
              } catch {
                return undefined;
              }
            })();
            navigator.sendBeacon?.(`${address}/beacon`, "x");
            const frame = document.createElement("iframe");
            frame.src = `${address}/frame`;
            document.body.append(frame);
            const form = document.createElement("form");
            Object.assign(form, { action: `${address}/form`, method: "post", target: "_blank" });
            document.body.append(form);
            form.submit();
            fetch(`${address}/fetch`, { mode: "no-cors" }).then(
              () => setTimeout(() => done("fetched"), 1000),
              () =>
                setTimeout(() => {
                  frame.remove();
                  form.remove();
                  socket?.close();
                  done("refused");
                }, 1000),
            );
          }, site.address);
          assert.equal(outcome, "refused");
          assert.deepEqual(site.asked, []);
        },
      ],
      [
        "the window stays on the interface",
        async ({ window, site, display }) => {
          for (const address of [site.address, "data:text/html,<h1>elsewhere</h1>", "file:///etc/hostname"]) {
            await window.run((address) => {
              const link = document.createElement("a");
              link.href = address;
              document.body.append(link);
              link.click();
              link.remove();
              setTimeout(() => (location.href = address));
              window.open(address);
            }, address);
            await sleep(700);
            assert.match(await window.run(() => location.href), /^tauri:\/\/localhost(\/|$)/);
          }
          assert.deepEqual(site.asked, []);
          const windows = display.xdotool("search", "--onlyvisible", "--name", ".+").split("\n");
          const names = windows.map((id) => display.xdotool("getwindowname", id));
          assert.equal(names.filter((name) => /elsewhere|127\.0\.0\.1/.test(name)).length, 0, names.join());
          await window.see("No runs yet");
        },
      ],
      [
        "an unknown handle opens no file",
        async ({ window }) => {
          for (const handle of ["00ff", "", "..%2f..%2fetc%2fpasswd", "index.html"]) {
            const outcome = await window.driver.executeAsyncScript((address, done) => {
              const image = new Image();
              image.onload = () => done("loaded");
              image.onerror = () => done("refused");
              image.src = address;
            }, `cairn-file://localhost/${handle}`);
            assert.equal(outcome, "refused", handle);
          }
        },
      ],
      [
        "its own pages draw without breaking the policy",
        async ({ window }) => {
          await window.run(() => {
            window.violations = [];
            document.addEventListener("securitypolicyviolation", (event) => {
              window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
            });
          });
          await window.click("button", "Colours");
          await window.click("item", "Dark");
          await until("the dark theme", () =>
            window.run(() => document.documentElement.dataset.theme === "dark"),
          );
          await window.run(() => document.querySelector('a[href="/models"]').click());
          await window.see("Models");
          await sleep(500);
          assert.deepEqual(await window.run(() => window.violations), []);
        },
      ],
    ],
  },
];
