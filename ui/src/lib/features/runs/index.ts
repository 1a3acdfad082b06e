/** The run table. */
export { default as RunTable } from "./RunTable.svelte";
export { readView, writeView, type RunsView } from "./view";
