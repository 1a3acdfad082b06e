/** One run: what is known of it, its metrics as they come, its tags. */
export { readPlace, runAddress, type RunPlace, type RunTab } from "./address";
export { default as RunPage } from "./RunPage.svelte";
