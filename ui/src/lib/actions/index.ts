/** Everything a person can do, once each. */
export {
  isEnabled,
  menuEntry,
  provideActions,
  useActions,
  Actions,
  type Action,
} from "./actions.svelte";
export { default as KeysDialog } from "./KeysDialog.svelte";
export { default as Palette } from "./Palette.svelte";
