/** The open store: which one, opening another, what it lacks, the work on it. */
export { default as CodeLine } from "./CodeLine.svelte";
export { default as FirstStart } from "./FirstStart.svelte";
export { default as ImportFolder } from "./ImportFolder.svelte";
export { default as Jobs } from "./Jobs.svelte";
export { default as NoStore } from "./NoStore.svelte";
export { default as Notices } from "./Notices.svelte";
export { default as OpenStore } from "./OpenStore.svelte";
export { default as StatusLine } from "./StatusLine.svelte";
export { default as StoreMenu } from "./StoreMenu.svelte";
export { trackingLine } from "./snippet";
