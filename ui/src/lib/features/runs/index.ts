/** The run table. */
export type { TablePlace } from "./cursor";
export { default as RunTable } from "./RunTable.svelte";
export { readView, writeView, type RunsView } from "./view";
