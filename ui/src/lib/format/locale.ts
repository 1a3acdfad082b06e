/**
 * The locale for numbers and dates. `navigator.language` is `C` in WebKitGTK under `LANG=C`, and
 * `Intl` throws on it, so what it does not know becomes `en`.
 */
export function safeLocale(language: string | undefined): string {
  if (language === undefined || language === "") return "en";
  try {
    return Intl.getCanonicalLocales(language).length > 0 &&
      Intl.DateTimeFormat.supportedLocalesOf([language]).length > 0
      ? language
      : "en";
  } catch {
    return "en";
  }
}

/** Sets `navigator.language` right for libraries that hand it to `Intl` unchecked. */
export function mendNavigatorLanguage(): void {
  const safe = safeLocale(navigator.language);
  if (safe === navigator.language) return;
  Object.defineProperty(navigator, "language", { get: () => safe, configurable: true });
  Object.defineProperty(navigator, "languages", { get: () => [safe], configurable: true });
}

/** The locale of this page. */
export const locale = safeLocale(globalThis.navigator?.language);
