import { createSubscriber } from "svelte/reactivity";

import type { Ground } from "./palette";

/** What a canvas needs of the tokens, as it takes colours. */
export interface CanvasColors {
  readonly ground: Ground;
  readonly surface: string;
  readonly text: string;
  readonly faintText: string;
  readonly line: string;
  /** Of values that cannot be drawn at a height. */
  readonly warning: string;
}

/**
 * The colours of the page for canvases, which style sheets do not reach. What reads `current` is run
 * again when the person or the system changes the theme.
 */
class Theme {
  readonly #subscribe = createSubscriber((update) => {
    const observer = new MutationObserver(update);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      observer.disconnect();
    };
  });

  get current(): CanvasColors {
    this.#subscribe();
    const style = getComputedStyle(document.documentElement);
    const token = (name: string) => style.getPropertyValue(name).trim();
    return {
      ground: document.documentElement.dataset["theme"] === "dark" ? "dark" : "light",
      surface: token("--surface"),
      text: token("--text"),
      faintText: token("--text-3"),
      line: token("--line"),
      warning: token("--failed"),
    };
  }
}

export const theme = new Theme();
