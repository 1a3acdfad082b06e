/** Launches: the queue, what runs now, and what runs print. */
export { default as LaunchPage } from "./LaunchPage.svelte";
export { default as QueuePage } from "./QueuePage.svelte";
export { default as Running } from "./Running.svelte";
export { default as RunLog } from "./RunLog.svelte";
export { isOfParts } from "./stage";
