/**
 * What of the table a person may want to return to or to share: it lives in the address.
 */
import type { RunOrder } from "$lib/rpc/bindings/RunOrder";

import { columnId, parseColumnId, startsDescending, type Column } from "./columns";

/** The program sorts by at most so many keys. */
const MOST_KEYS = 8;

export interface RunsView {
  /** MLflow's filter language; empty for all. */
  filter: string;
  /** The first key decides, the next ones where it is equal; empty is newest first. */
  order: RunOrder[];
  /** Columns shown although they are hidden at first, and the other way round. */
  shown: string[];
  hidden: string[];
  /** Deleted runs instead of the others. */
  isTrash: boolean;
}

/** Reads the view from an address; what makes no sense is left out. */
export function readView(params: URLSearchParams): RunsView {
  const order = params.getAll("order").flatMap((text) => {
    const ascending = !text.startsWith("-");
    const column = parseColumnId(ascending ? text : text.slice(1));
    return column === undefined ? [] : [{ column, ascending }];
  });
  return {
    filter: params.get("filter") ?? "",
    order: order.slice(0, MOST_KEYS),
    shown: params.getAll("show"),
    hidden: params.getAll("hide"),
    isTrash: params.has("trash"),
  };
}

/** The part of an address behind the path: empty or beginning with `?`. */
export function writeView(view: RunsView): string {
  const params = new URLSearchParams();
  if (view.filter !== "") params.set("filter", view.filter);
  for (const { column, ascending } of view.order) {
    params.append("order", `${ascending ? "" : "-"}${columnId(column)}`);
  }
  for (const id of view.shown) params.append("show", id);
  for (const id of view.hidden) params.append("hide", id);
  if (view.isTrash) params.set("trash", "");
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

/** The view with the columns of the last visit, unless the address itself says which. */
export function withKeptColumns(view: RunsView, kept: unknown): RunsView {
  if (view.shown.length + view.hidden.length > 0) return view;
  const list = (name: string) => {
    const value: unknown =
      typeof kept === "object" && kept !== null ? (kept as Record<string, unknown>)[name] : [];
    return Array.isArray(value) ? value.filter((id) => typeof id === "string") : [];
  };
  return { ...view, shown: list("shown"), hidden: list("hidden") };
}

/**
 * The order after a click on a header: first the useful direction, then the other, then none. With
 * `isAlso` the other keys stay, and a column that is new among them decides last.
 */
export function nextOrder(order: readonly RunOrder[], column: Column, isAlso = false): RunOrder[] {
  const first = !startsDescending(column.ref);
  const place = order.findIndex((key) => columnId(key.column) === column.id);
  // What a click changes is a key that stays: the only one, or one of several.
  const key = isAlso || order.length === 1 ? order[place] : undefined;
  const isOver = key !== undefined && key.ascending !== first;
  const next = { column: column.ref, ascending: key === undefined ? first : !first };
  const keys = isAlso ? [...order] : [];
  keys.splice(isAlso && place >= 0 ? place : keys.length, 1, ...(isOver ? [] : [next]));
  return keys.slice(0, MOST_KEYS);
}

/** The view with a column shown or hidden. */
export function withColumn(view: RunsView, column: Column, isShown: boolean): RunsView {
  const without = (ids: string[]) => ids.filter((id) => id !== column.id);
  const shown = without(view.shown);
  const hidden = without(view.hidden);
  if (isShown && !column.isShownAtFirst) shown.push(column.id);
  if (!isShown && column.isShownAtFirst) hidden.push(column.id);
  return { ...view, shown, hidden };
}
