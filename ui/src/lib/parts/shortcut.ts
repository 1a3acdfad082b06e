const NAMES: Record<string, string> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  Escape: "Esc",
  Delete: "Del",
  PageUp: "PgUp",
  PageDown: "PgDn",
  " ": "Space",
};

/** Whether `$mod` is the command key here. */
export function isApple(): boolean {
  return /mac|iphone|ipad/i.test(globalThis.navigator?.platform ?? "");
}

/**
 * The keys of a shortcut as people read them. A shortcut is written as tinykeys reads it:
 * `$mod+K`, `Shift+?`, `g e` for one after the other. `Shift` before a sign that needs it anyway is
 * left out.
 */
export function shortcutKeys(shortcut: string, apple = isApple()): string[] {
  return shortcut.split(" ").flatMap((press) => {
    const keys = press.split("+");
    const last = keys.at(-1) ?? "";
    const isSign = /^[^a-z0-9]$/i.test(last);
    return keys
      .filter((key) => !(key === "Shift" && isSign))
      .map((key) => {
        if (key === "$mod") return apple ? "⌘" : "Ctrl";
        return NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
      });
  });
}
