/** The open store: which one, opening another, what it lacks. */
export { default as OpenStore } from "./OpenStore.svelte";
export { default as StatusLine } from "./StatusLine.svelte";
export { default as StoreMenu } from "./StoreMenu.svelte";
