/** Everything a person can do, once each. */
export {
  isEnabled,
  menuEntry,
  provideActions,
  useActions,
  Actions,
  type Action,
} from "./actions.svelte";
export { refused, type Step } from "./history.svelte";
export { isTyping } from "./shortcut";
export { default as KeysDialog } from "./KeysDialog.svelte";
export { default as Palette } from "./Palette.svelte";
