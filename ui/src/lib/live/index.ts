/** What the program tells by itself, and what it makes old. */
export { provideLive, useLive } from "./context";
export { Live } from "./live.svelte";
