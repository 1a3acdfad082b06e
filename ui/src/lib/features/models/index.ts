/** Registered models, for reading. */
export { default as ModelList } from "./ModelList.svelte";
export { default as ModelPage } from "./ModelPage.svelte";
