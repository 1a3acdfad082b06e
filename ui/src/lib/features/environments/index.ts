/** Environments that Cairn built. */
export { default as EnvironmentsPage } from "./EnvironmentsPage.svelte";
