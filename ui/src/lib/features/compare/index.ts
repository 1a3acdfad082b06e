/** Runs side by side. */
export { default as ComparePage } from "./ComparePage.svelte";
export { compareAddress, readCompare, writeCompare, type CompareView } from "./view";
