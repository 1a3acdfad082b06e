import type { TextSpan } from "$lib/rpc/bindings/TextSpan";

/**
 * Cuts a refused filter at the refused place: what stands before, the place, what follows. A place at
 * the end (something is missing) is one space wide, so that it can be drawn. Both ends are kept
 * inside the text, because it may have been changed since it was refused.
 */
export function cutAtPlace(
  text: string,
  span: TextSpan,
): { before: string; place: string; after: string } {
  const start = Math.min(Math.max(span.start, 0), text.length);
  const end = Math.min(Math.max(span.end, start), text.length);
  const place = text.slice(start, end);
  return {
    before: text.slice(0, start),
    place: place === "" ? " " : place,
    after: text.slice(end),
  };
}
