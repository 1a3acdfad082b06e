/**
 * Which rows and columns a scrolled table shows, and where they stand. Lengths are CSS pixels;
 * ranges are half open.
 */

/** Browsers stop laying out elements somewhere above ten million pixels. */
export const MAX_HEIGHT = 8_000_000;

export interface RowWindow {
  /** First row to draw, and the first one after the last. */
  first: number;
  end: number;
  /** First row that is really in sight, and the first one after the last, without the margin. */
  firstSeen: number;
  endSeen: number;
  /** How high the whole table has to be for the scrollbar to be right. */
  height: number;
  /** How far the first drawn row is from the top of the table; the others follow row by row. */
  top: number;
}

interface Rows {
  count: number;
  rowHeight: number;
  /** Height of the place where rows are seen. */
  viewHeight: number;
}

/**
 * The rows at a scroll position. Above `maxHeight` the table is drawn smaller than its rows are
 * together, and one pixel of scrolling passes more than one pixel of rows; the ends still meet.
 */
export function rowWindow(
  rows: Rows & { scrollTop: number; margin: number },
  maxHeight = MAX_HEIGHT,
): RowWindow {
  const { count, rowHeight, viewHeight, margin } = rows;
  const height = Math.min(count * rowHeight, maxHeight);
  const scrollTop = clamp(rows.scrollTop, 0, Math.max(0, height - viewHeight));
  const passed = scrollTop * scale(rows, maxHeight);
  const firstSeen = clamp(Math.floor(passed / rowHeight), 0, Math.max(0, count - 1));
  const endSeen = Math.min(count, Math.ceil((passed + viewHeight) / rowHeight));
  const first = Math.max(0, firstSeen - margin);
  const end = Math.min(count, endSeen + margin);
  return { first, end, firstSeen, endSeen, height, top: scrollTop + first * rowHeight - passed };
}

/** Where to scroll so that a row is the first in sight. */
export function scrollTopOf(row: number, rows: Rows, maxHeight = MAX_HEIGHT): number {
  return (row * rows.rowHeight) / scale(rows, maxHeight);
}

/** Where to scroll, from `scrollTop`, so that a row is wholly in sight: as little as possible. */
export function scrollTopToSee(
  row: number,
  scrollTop: number,
  rows: Rows,
  maxHeight = MAX_HEIGHT,
): number {
  const ratio = scale(rows, maxHeight);
  const passed = scrollTop * ratio;
  const top = row * rows.rowHeight;
  const bottom = top + rows.rowHeight - rows.viewHeight;
  if (top < passed) return top / ratio;
  if (bottom > passed) return bottom / ratio;
  return scrollTop;
}

/** Pixels of rows that pass for one pixel of scrolling. */
function scale({ count, rowHeight, viewHeight }: Rows, maxHeight: number): number {
  const whole = count * rowHeight;
  return whole <= maxHeight ? 1 : (whole - viewHeight) / (maxHeight - viewHeight);
}

/** Left edges of columns one after the other; the last entry is the width of all. */
export function leftEdges(widths: readonly number[]): number[] {
  const edges = [0];
  let edge = 0;
  for (const width of widths) {
    edge += width;
    edges.push(edge);
  }
  return edges;
}

/** The columns that a view of `viewWidth` at `scrollLeft` shows at least a pixel of. */
export function columnWindow(
  edges: readonly number[],
  scrollLeft: number,
  viewWidth: number,
): { first: number; end: number } {
  const count = edges.length - 1;
  let first = 0;
  while (first < count && (edges[first + 1] ?? 0) <= scrollLeft) first += 1;
  let end = first;
  while (end < count && (edges[end] ?? 0) < scrollLeft + viewWidth) end += 1;
  return { first, end };
}

/**
 * Which of `size` recycled elements draws each row of a window: a row keeps its element while it is
 * drawn, so scrolling by one row changes one element.
 */
export function recycledRows(first: number, end: number, size: number): (number | undefined)[] {
  const rows = new Array<number | undefined>(size).fill(undefined);
  for (let row = first; row < end; row += 1) rows[row % size] = row;
  return rows;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
