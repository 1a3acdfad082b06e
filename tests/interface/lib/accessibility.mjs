/** What programs that read screens aloud get to know of a page. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.resolve(import.meta.dirname, "../../../ui/package.json"));
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SNAPSHOTS = path.resolve(import.meta.dirname, "../snapshots");

/** The longest that a tree may take to become what it stays, in milliseconds. */
const SETTLE_MS = 1000;

const compared = new Set();

/**
 * Scans the page in light and in dark colours; any violation fails.
 * @param {import("playwright-core").Page} page one whose theme follows the system
 * @param {string} state the state of the screen, for the failure's text
 */
export async function scan(page, state) {
  const found = [];
  for (const colours of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: colours });
    await page.waitForFunction(
      (theme) => document.documentElement.dataset.theme === theme,
      colours,
    );
    if (!(await page.evaluate("typeof axe === 'object'"))) await page.evaluate(AXE);
    const violations = await page.evaluate(async () => {
      // Two frames, so that what follows the theme by script is drawn.
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      const { violations } = await globalThis.axe.run(document, {
        resultTypes: ["violations"],
        // Menus float beside the landmarks; they are reached from the buttons that open them.
        rules: { region: { enabled: false } },
      });
      return violations.map(({ id, impact, help, nodes }) => ({
        id,
        impact,
        help,
        nodes: nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`),
      }));
    });
    for (const { id, impact, help, nodes } of violations) {
      found.push(`${colours}: ${id} (${impact}): ${help}\n  ${nodes.slice(0, 5).join("\n  ")}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  assert.equal(found.length, 0, `accessibility of “${state}”:\n${found.join("\n")}`);
}

/**
 * Compares the accessibility tree of a part of a page with the one that is kept. What differs from
 * run to run is masked: ids, ports, sizes of the disk, paths of the test.
 *
 * `CAIRN_UPDATE_SNAPSHOTS=1` writes the tree instead.
 * @param {import("playwright-core").Locator} part
 * @param {string} name of the file in `snapshots/`, without its ending
 */
export async function matchTree(part, name) {
  compared.add(`${name}.yml`);
  const file = path.join(SNAPSHOTS, `${name}.yml`);
  if (process.env.CAIRN_UPDATE_SNAPSHOTS === "1") {
    await part.page().waitForTimeout(SETTLE_MS);
    writeFileSync(file, masked(await part.ariaSnapshot()));
    return;
  }
  let kept;
  try {
    kept = readFileSync(file, "utf8");
  } catch {
    throw new Error(`${file} is missing; CAIRN_UPDATE_SNAPSHOTS=1 writes it`);
  }
  // What is only read aloud may come a moment after what is seen.
  const end = performance.now() + SETTLE_MS;
  let tree;
  do {
    tree = masked(await part.ariaSnapshot());
  } while (tree !== kept && performance.now() < end);
  assert.equal(tree, kept, `the accessibility tree of “${name}” changed`);
}

/** Names of kept trees that no test looked at. */
export function unusedTrees() {
  return readdirSync(SNAPSHOTS).filter((file) => !compared.has(file));
}

function masked(tree) {
  const lines = tree
    // The title as it was when the page was entered, spoken once; its name may not be known then.
    .replaceAll(/^- text: .* · Cairn\n?/gm, "")
    .replaceAll(/\b[0-9a-f]{32}\b/g, "<id>")
    .replaceAll(/python-[0-9a-f]{16}/g, "<environment>")
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>")
    .replaceAll(/disk [\d.]+ [kMGTP]?B free/g, "disk <size> free")
    .replaceAll(/\/[^\s"]*cairn-interface-\w+/g, "<folder>");
  return `${lines.trimEnd()}\n`;
}
