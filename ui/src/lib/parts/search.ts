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
