/** Where the keyboard is in the table: `row` −1 is the header. */
export interface Cursor {
  row: number;
  column: number;
}

/** Where a person is in the table, to be returned to. */
export interface TablePlace {
  /** How far the table was scrolled, in pixels. */
  scrollTop: number;
  scrollLeft: number;
  cursor: Cursor;
  /** The run under the cursor and the first one in sight, found again when rows came before them. */
  cursorRunId: string | undefined;
  top: { runId: string; index: number } | undefined;
  hasFocus: boolean;
}

interface Extent {
  rows: number;
  columns: number;
  /** Rows in sight. */
  page: number;
}

/** Where a key leads, or `undefined` if it is not a key that moves. */
export function moveCursor(
  cursor: Cursor,
  key: { key: string; ctrlKey: boolean },
  { rows, columns, page }: Extent,
): Cursor | undefined {
  const to = (row: number, column = cursor.column): Cursor => ({
    row: Math.min(Math.max(row, -1), rows - 1),
    column: Math.min(Math.max(column, 0), Math.max(0, columns - 1)),
  });
  const step = Math.max(1, page - 1);
  switch (key.key) {
    case "ArrowUp":
      return to(cursor.row - 1);
    case "ArrowDown":
      return to(cursor.row + 1);
    case "ArrowLeft":
      return to(cursor.row, cursor.column - 1);
    case "ArrowRight":
      return to(cursor.row, cursor.column + 1);
    case "PageUp":
      return to(Math.max(Math.min(0, cursor.row), cursor.row - step));
    case "PageDown":
      return to(cursor.row + step);
    case "Home":
      return key.ctrlKey ? to(Math.min(0, rows - 1), 0) : to(Math.min(0, rows - 1));
    case "End":
      return key.ctrlKey ? to(rows - 1, columns - 1) : to(rows - 1);
    default:
      return undefined;
  }
}
