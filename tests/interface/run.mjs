/**
 * Tests of the interface: the built program serves it, Chromium shows it, and MLflow's REST API
 * brings the data. Nothing is replaced by a double.
 *
 * Needs CAIRN_BIN. Words as arguments choose the tests whose names hold one of them; README.md
 * lists the other variables.
 */
import { unusedTrees } from "./lib/accessibility.mjs";
import { runAll } from "./lib/tests.mjs";

import "./first-start.mjs";
import "./table.mjs";
import "./large.mjs";
import "./keyboard.mjs";
import "./run-page.mjs";
import "./compare.mjs";
import "./models.mjs";
import "./projects.mjs";
import "./stores.mjs";
import "./import.mjs";
import "./appearance.mjs";
import "./security.mjs";

const words = process.argv.slice(2);
process.exitCode = await runAll(words);
if (words.length === 0 && process.exitCode === 0) {
  const unused = unusedTrees();
  if (unused.length > 0) {
    console.log(`No test looks at snapshots/${unused.join(", snapshots/")}`);
    process.exitCode = 1;
  }
}
