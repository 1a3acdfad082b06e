/** How the cells of a column are drawn, from the values that are here. */
import { digitsFor, toDouble } from "$lib/format";
import type { Cell } from "$lib/rpc/bindings/Cell";

import type { Column } from "./columns";

/** How a column's cells look. */
export interface CellStyle {
  isRight: boolean;
  /** Significant digits of metrics. */
  digits: number;
  /** Whether some of the metrics have decimals. */
  isFraction: boolean;
}

/** The look of a column before anything is known about its values. */
export function firstStyle(column: Column): CellStyle {
  const isRight = column.ref.kind === "metric" || column.ref.kind === "duration";
  return { isRight, digits: 4, isFraction: false };
}

/**
 * The look of a column given more of its cells. Digits only grow, and text only moves to the left, so
 * that scrolling does not make a column jump to and fro.
 */
export function styleWith(
  before: CellStyle | undefined,
  column: Column,
  cells: (Cell | null)[],
): CellStyle {
  const style = before ?? firstStyle(column);
  if (column.ref.kind === "metric") {
    const values = cells.flatMap((cell) =>
      cell === null || typeof cell === "string" ? [] : [toDouble(cell)],
    );
    return {
      isRight: true,
      digits: Math.max(style.digits, digitsFor(values)),
      isFraction: style.isFraction || values.some((value) => value % 1 !== 0 && isFinite(value)),
    };
  }
  if (column.ref.kind === "param") {
    const texts = cells.filter((cell) => typeof cell === "string");
    if (texts.length === 0) return style;
    return { ...style, isRight: (before?.isRight ?? true) && texts.every(isNumeric) };
  }
  return style;
}

function isNumeric(text: string): boolean {
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text);
}
