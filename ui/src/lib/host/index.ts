/**
 * How this interface reaches the program. The only folder that knows there is more than one way.
 */
import { browserHost } from "./browser";
import type { Host } from "./host";
import { tauriHost } from "./tauri";

export { CommandFailure, failure } from "./host";
export type { Args, CommandName, Host, LiveListener, Result } from "./host";

let current: Host | undefined;

/** The host of this page, chosen at the first call: the window's when there is one. */
export function host(): Host {
  current ??= window.__TAURI_INTERNALS__ === undefined ? browserHost() : tauriHost();
  return current;
}

/** Puts another host in place, for tests. */
export function useHost(replacement: Host): void {
  current = replacement;
}
