/**
 * Shortcuts are written `$mod+K`, `Shift+Z`, `/`, `ArrowUp`: `$mod` is the command key on a Mac and
 * Ctrl elsewhere. Signs are matched by what they mean, not by the keys they need: `/` is Shift+7 on
 * a German keyboard, and `?` is a shifted key everywhere.
 */
import { isApple } from "$lib/parts/shortcut";

/** Whether this key press is the shortcut. */
export function matchesShortcut(
  shortcut: string,
  event: KeyboardEvent,
  apple = isApple(),
): boolean {
  const parts = shortcut.split("+");
  const key = parts.at(-1) ?? "";
  const wanted = new Set(parts.slice(0, -1));
  const mod = apple ? event.metaKey : event.ctrlKey;
  const otherMod = apple ? event.ctrlKey : event.metaKey;
  if (mod !== wanted.has("$mod") || otherMod || event.altKey !== wanted.has("Alt")) return false;
  const isSign = key.length === 1 && !/[a-z0-9]/i.test(key);
  if (!isSign && event.shiftKey !== wanted.has("Shift")) return false;
  return event.key.toLowerCase() === key.toLowerCase();
}

/** Whether a plain key belongs to what has the focus and must not become a shortcut. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLInputElement) {
    return !["button", "checkbox", "radio", "range", "submit"].includes(target.type);
  }
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
