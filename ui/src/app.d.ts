import type { CommandFailure } from "$lib/host";

declare global {
  interface Window {
    /** Set by Tauri before any script of the page runs. */
    __TAURI_INTERNALS__?: unknown;
  }
}

declare module "@tanstack/svelte-query" {
  interface Register {
    // Hosts reject with nothing else.
    defaultError: CommandFailure;
  }
}

export {};
