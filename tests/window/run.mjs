/**
 * Tests of the real window: the built program under a display without a screen, driven by WebDriver
 * and, where the system's own dialogs are concerned, by the keyboard.
 *
 * Needs CAIRN_DESKTOP_BIN (built with `--features custom-protocol`) and CAIRN_TAURI_DRIVER. With
 * CAIRN_SCREENSHOTS set to a folder, pictures of every stage are kept there.
 */
import { installPackages } from "./lib/packages.mjs";

await installPackages();
const { runAll } = await import("./lib/tests.mjs");
const { default: live } = await import("./live.mjs");
const { default: stores } = await import("./stores.mjs");
const { default: guarded } = await import("./guarded.mjs");
const { default: place } = await import("./place.mjs");
const { default: drops } = await import("./drops.mjs");
const { default: projects } = await import("./projects.mjs");

process.exitCode = await runAll([...live, ...stores, ...guarded, ...place, ...drops, ...projects]);
