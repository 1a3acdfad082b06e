import { Channel, convertFileSrc, invoke } from "@tauri-apps/api/core";

import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";

import { readFailure, type Host } from "./host";

/** The desktop window: one Tauri command for all commands, one channel for live events. */
export function tauriHost(): Host {
  return {
    kind: "tauri",
    async call(name, args) {
      try {
        return await invoke("call", { name, args });
      } catch (error) {
        throw readFailure(name, error);
      }
    },
    listen(listener) {
      let isOpen = true;
      const channel = new Channel<LiveEvent>();
      channel.onmessage = (event) => {
        if (isOpen) listener.event(event);
      };
      invoke("listen", { channel }).then(
        () => {
          if (isOpen) listener.connection("connected");
        },
        () => {
          if (isOpen) listener.connection("disconnected");
        },
      );
      return () => {
        isOpen = false;
      };
    },
    fileUrl: (handle) => convertFileSrc(handle, "cairn-file"),
  };
}
