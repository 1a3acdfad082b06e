import { formatCount, locale } from "$lib/format";

/**
 * Whether a text holds every word of a search, in any order and any case. An empty search holds for all.
 */
export function matchesSearch(text: string, search: string): boolean {
  const low = text.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => low.includes(word));
}

/** How many a search found: `12 of 431`, or `431` where that is all. */
export function foundOf(foundCount: number, allCount: number): string {
  const all = formatCount(allCount, locale);
  return foundCount === allCount ? all : `${formatCount(foundCount, locale)} of ${all}`;
}

/** What a search finds: texts that hold its words, or that match it where it is `/a regular expression/`. */
export interface Matcher {
  readonly matches: (text: string) => boolean;
  /** What is wrong with the regular expression; `null` for searches that are right. */
  readonly mistake: string | null;
}

/** Reads a search. Regular expressions take any case; a wrong one finds nothing. */
export function matcherOf(search: string): Matcher {
  const pattern = /^\/(.+)\/$/.exec(search.trim())?.[1];
  if (pattern === undefined) {
    return { matches: (text) => matchesSearch(text, search.trim()), mistake: null };
  }
  try {
    const expression = new RegExp(pattern, "iu");
    return { matches: (text) => expression.test(text), mistake: null };
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^.*\/iu?:\s*/, "") : String(error);
    return { matches: () => false, mistake: why };
  }
}
