/** The packages of these tests, exactly as the lock file names them. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const FOLDER = path.resolve(import.meta.dirname, "..");

/** Runs `npm ci` unless `node_modules` was made from this lock file by this node. */
export async function installPackages() {
  const lock = readFileSync(path.join(FOLDER, "package-lock.json"));
  const hash = createHash("sha256").update(lock).update(process.version).digest("hex");
  const stamp = path.join(FOLDER, "node_modules/.cairn-stamp");
  try {
    if (readFileSync(stamp, "utf8") === hash) return;
  } catch {
    // Not installed yet.
  }
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: FOLDER, stdio: "inherit" });
  if (npm.status !== 0) throw new Error("npm ci failed in tests/window");
  writeFileSync(stamp, hash);
}
