/**
 * What of the table a person may want to return to or to share: it lives in the address.
 */
import type { RunOrder } from "$lib/rpc/bindings/RunOrder";

import { columnId, parseColumnId, startsDescending, type Column } from "./columns";

export interface RunsView {
  /** MLflow's filter language; empty for all. */
  filter: string;
  /** `null` is newest first, as the program orders by itself. */
  order: RunOrder | null;
  /** Columns shown although they are hidden at first, and the other way round. */
  shown: string[];
  hidden: string[];
}

/** Reads the view from an address; what makes no sense is left out. */
export function readView(params: URLSearchParams): RunsView {
  const text = params.get("order") ?? "";
  const ascending = !text.startsWith("-");
  const column = parseColumnId(ascending ? text : text.slice(1));
  return {
    filter: params.get("filter") ?? "",
    order: column === undefined ? null : { column, ascending },
    shown: params.getAll("show"),
    hidden: params.getAll("hide"),
  };
}

/** The part of an address behind the path: empty or beginning with `?`. */
export function writeView(view: RunsView): string {
  const params = new URLSearchParams();
  if (view.filter !== "") params.set("filter", view.filter);
  if (view.order !== null) {
    params.set("order", `${view.order.ascending ? "" : "-"}${columnId(view.order.column)}`);
  }
  for (const id of view.shown) params.append("show", id);
  for (const id of view.hidden) params.append("hide", id);
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

/** The order after a click on a header: first the useful direction, then the other, then none. */
export function nextOrder(order: RunOrder | null, column: Column): RunOrder | null {
  const first = !startsDescending(column.ref);
  if (order === null || columnId(order.column) !== column.id) {
    return { column: column.ref, ascending: first };
  }
  return order.ascending === first ? { column: column.ref, ascending: !first } : null;
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
