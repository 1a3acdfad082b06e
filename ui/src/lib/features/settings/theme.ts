import type { Theme } from "$lib/rpc/bindings/Theme";

/** Puts a theme on the page, and leaves a copy for `theme.js` to find before the next first paint. */
export function showTheme(theme: Theme): void {
  const isDark = theme === "dark" || (theme === "system" && darkMedia().matches);
  document.documentElement.dataset["theme"] = isDark ? "dark" : "light";
  try {
    // theme.js reads plain text, not JSON.
    localStorage.setItem("cairn.theme", theme);
  } catch {
    // The window then starts in the system's colours.
  }
}

/** Tells when the system turns dark or light. */
export function onSystemTheme(listener: () => void): () => void {
  const media = darkMedia();
  media.addEventListener("change", listener);
  return () => media.removeEventListener("change", listener);
}

function darkMedia(): MediaQueryList {
  return matchMedia("(prefers-color-scheme: dark)");
}
