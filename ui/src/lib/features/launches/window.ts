/**
 * Which lines of a log are drawn. A scroll area has a largest height, so in very long logs a pixel
 * of the scroll bar stands for more than a pixel of the text.
 */

/** Pixels of a line. */
export const LINE_PX = 18;
/** The largest height of what scrolls: every engine draws this much. */
const LARGEST_PX = 8_000_000;
/** Lines that are asked for at once, and where a question begins: a multiple of this. */
export const PAGE_LINES = 200;

/** How high the area is that scrolls over `total` lines. */
export function scrollHeight(total: number): number {
  return Math.min(total * LINE_PX, LARGEST_PX);
}

/** The line at the top. `scrolled` and `height` are of the area, in pixels. */
export function lineAt(scrolled: number, height: number, total: number): number {
  const scrollable = scrollHeight(total) - height;
  if (scrollable <= 0) return 0;
  const last = Math.max(0, total - Math.floor(height / LINE_PX));
  const scale = last / (scrollable / LINE_PX);
  const line = Math.floor((scrolled / LINE_PX) * scale);
  return Math.min(Math.max(0, line), last);
}

/** Where to scroll so that `line` stands at the top. */
export function scrollTo(line: number, height: number, total: number): number {
  const scrollable = Math.max(0, scrollHeight(total) - height);
  const last = Math.max(1, total - Math.floor(height / LINE_PX));
  return Math.min(scrollable, Math.ceil((line / last) * scrollable));
}

/** The first line of the question that covers `line` and a screen after it. */
export function pageOf(line: number): number {
  return Math.max(0, Math.floor((line - PAGE_LINES / 4) / PAGE_LINES)) * PAGE_LINES;
}
