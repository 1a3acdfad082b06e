/** What a person chose to keep between starts. */
export { default as BackupsDialog } from "./BackupsDialog.svelte";
export { default as ThemeMenu } from "./ThemeMenu.svelte";
export { default as TokenDialog } from "./TokenDialog.svelte";
