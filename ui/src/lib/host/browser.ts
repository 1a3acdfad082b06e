import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";

import {
  failure,
  readFailure,
  type CommandName,
  type Host,
  type LiveListener,
  type Result,
} from "./host";

/** First and longest wait before the live stream is opened again after it broke. */
const RECONNECT_MS = { first: 500, longest: 8_000 };

/** `cairn serve --ui` in a browser: commands by POST, live events as server-sent events. */
export function browserHost(): Host {
  return {
    kind: "browser",
    async call<K extends CommandName>(name: K, args: unknown): Promise<Result<K>> {
      let response: Response;
      try {
        // A string body on purpose: Blob and FormData bodies crash WebKitGTK.
        response = await fetch(`/call/${name}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(args),
          credentials: "same-origin",
        });
      } catch (cause) {
        throw failure("Cairn does not answer", "Check that `cairn serve` is still running.", cause);
      }
      const text = await response.text();
      let body: unknown;
      try {
        body = JSON.parse(text);
      } catch {
        if (response.status === 401 || response.status === 403) {
          throw failure(
            "This browser is not signed in to Cairn",
            "Open the link that `cairn serve --ui` printed; it holds the token.",
          );
        }
        throw readFailure(name, `${String(response.status)} ${text.slice(0, 500)}`);
      }
      if (!response.ok) throw readFailure(name, body);
      return body as Result<K>;
    },
    listen,
    fileUrl: (handle) => `/file/${encodeURIComponent(handle)}`,
  };
}

function listen(listener: LiveListener): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let wait = RECONNECT_MS.first;

  function open(): void {
    source = new EventSource("/live");
    source.onopen = () => {
      wait = RECONNECT_MS.first;
      listener.connection("connected");
    };
    source.onmessage = (message: MessageEvent<string>) => {
      listener.event(JSON.parse(message.data) as LiveEvent);
    };
    source.onerror = () => {
      listener.connection("disconnected");
      // The browser's own retry gives up on some errors and hammers on others.
      source?.close();
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, RECONNECT_MS.longest);
    };
  }

  open();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}
