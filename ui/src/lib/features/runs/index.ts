/** The run table. */
export type { TablePlace } from "./cursor";
export { default as RunTable } from "./RunTable.svelte";
export { readView, withKeptColumns, writeView, type RunsView } from "./view";
