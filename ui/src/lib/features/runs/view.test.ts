import { describe, expect, it } from "vitest";

import { allColumns, shownColumns } from "./columns";
import { moveCursor } from "./cursor";
import { cutAtPlace } from "./filter-place";
import { nextOrder, readView, withColumn, withKeptColumns, writeView, type RunsView } from "./view";

const NONE: RunsView = { filter: "", order: [], shown: [], hidden: [], isTrash: false };
const keys = { metrics: ["auc", "system/cpu"], params: ["lr, first"], tags: ["team"] };
const columns = allColumns(keys);

function column(id: string) {
  const found = columns.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no column ${id}`);
  return found;
}

describe("the view in the address", () => {
  it("comes back as it was written", () => {
    const view: RunsView = {
      filter: `metrics.auc > 0.8 and params."lr, first" = 'ä&b'`,
      order: [
        { column: { kind: "param", key: "lr, first" }, ascending: false },
        { column: { kind: "name" }, ascending: true },
      ],
      shown: ["tag:team"],
      hidden: ["param:lr, first", "source"],
      isTrash: true,
    };
    expect(readView(new URLSearchParams(writeView(view)))).toEqual(view);
  });

  it("is no text when there is nothing to keep", () => {
    expect(writeView(NONE)).toBe("");
  });

  it.each(["nonsense", "metric:", "-", ""])("ignores the order %s", (order) => {
    expect(readView(new URLSearchParams({ order })).order).toEqual([]);
  });
});

describe("the columns of the last visit", () => {
  const kept = { shown: ["tag:team"], hidden: ["source"] };

  it("are taken where the address names none", () => {
    expect(withKeptColumns({ ...NONE, filter: "a" }, kept)).toEqual({
      ...NONE,
      ...kept,
      filter: "a",
    });
    const named = { ...NONE, hidden: ["user"] };
    expect(withKeptColumns(named, kept)).toEqual(named);
  });

  it.each([null, undefined, 3, [], { shown: "a" }, { hidden: [1, null] }])(
    "may be %j",
    (broken) => {
      expect(withKeptColumns(NONE, broken)).toEqual(NONE);
    },
  );
});

describe("columns", () => {
  it("hide what the machine measured, tags and the user until they are chosen", () => {
    const ids = shownColumns(columns, NONE).map((one) => one.id);
    expect(ids).toEqual([
      "name",
      "status",
      "start",
      "duration",
      "source",
      "metric:auc",
      "param:lr, first",
    ]);
  });

  it("say which experiment a run is of, where there are several", () => {
    const ids = shownColumns(allColumns(keys, true), NONE).map((one) => one.id);
    expect(ids.slice(0, 3)).toEqual(["name", "experiment", "status"]);
    const order = [{ column: { kind: "experiment" as const }, ascending: true }];
    expect(readView(new URLSearchParams(writeView({ ...NONE, order }))).order).toEqual(order);
  });

  it("never hide the name", () => {
    expect(shownColumns(columns, { shown: [], hidden: ["name"] })[0]?.id).toBe("name");
  });

  it("are shown at first up to twenty of a kind", () => {
    const many = allColumns({
      metrics: Array.from({ length: 30 }, (_, i) => `m${String(i)}`),
      params: [],
      tags: [],
    });
    expect(shownColumns(many, NONE).filter((one) => one.group === "Metrics")).toHaveLength(20);
  });

  it("leave no trace when they are hidden and shown again", () => {
    const hidden = withColumn(NONE, column("metric:auc"), false);
    expect(hidden.hidden).toEqual(["metric:auc"]);
    expect(withColumn(hidden, column("metric:auc"), true)).toEqual(NONE);
    const shown = withColumn(NONE, column("tag:team"), true);
    expect(shown.shown).toEqual(["tag:team"]);
    expect(withColumn(shown, column("tag:team"), false)).toEqual(NONE);
  });
});

describe("a click on a header", () => {
  const auc = column("metric:auc");
  const name = column("name");

  it("orders a metric from the largest, then the smallest, then not", () => {
    const first = nextOrder([], auc);
    expect(first).toEqual([{ column: auc.ref, ascending: false }]);
    const second = nextOrder(first, auc);
    expect(second).toEqual([{ column: auc.ref, ascending: true }]);
    expect(nextOrder(second, auc)).toEqual([]);
  });

  it("orders names from A, whatever was ordered before", () => {
    const order = nextOrder(nextOrder([], auc), name);
    expect(order).toEqual([{ column: { kind: "name" }, ascending: true }]);
  });

  it("adds a key, turns it where it stands and takes it away again, with Shift", () => {
    const both = nextOrder(nextOrder([], auc), name, true);
    expect(both.map((key) => key.column)).toEqual([auc.ref, name.ref]);
    const turned = nextOrder(both, auc, true);
    expect(turned).toEqual([{ column: auc.ref, ascending: true }, both[1]]);
    expect(nextOrder(turned, auc, true)).toEqual([both[1]]);
    expect(nextOrder(both, name)).toEqual([{ column: name.ref, ascending: true }]);
  });
});

describe("the place of an error", () => {
  it.each([
    ["metric.auc > 1", { start: 0, end: 10 }, ["", "metric.auc", " > 1"]],
    ["metrics.auc >", { start: 13, end: 13 }, ["metrics.auc >", " ", ""]],
    // One sign outside the basic plane is two units, in Rust's answer as in the browser.
    ["tags.'😀' ~ 1", { start: 10, end: 11 }, ["tags.'😀' ", "~", " 1"]],
    ["short", { start: 20, end: 30 }, ["short", " ", ""]],
  ])("in %s", (text, span, [before, place, after]) => {
    expect(cutAtPlace(text, span)).toEqual({ before, place, after });
  });
});

describe("the keyboard", () => {
  const extent = { rows: 100, columns: 5, page: 10 };
  const press = (key: string, from: { row: number; column: number }, ctrlKey = false) =>
    moveCursor(from, { key, ctrlKey }, extent);

  it.each([
    ["ArrowDown", { row: 3, column: 1 }, { row: 4, column: 1 }],
    ["ArrowDown", { row: 99, column: 1 }, { row: 99, column: 1 }],
    ["ArrowUp", { row: 0, column: 1 }, { row: -1, column: 1 }],
    ["ArrowUp", { row: -1, column: 1 }, { row: -1, column: 1 }],
    ["ArrowRight", { row: 0, column: 4 }, { row: 0, column: 4 }],
    ["ArrowLeft", { row: 0, column: 0 }, { row: 0, column: 0 }],
    ["PageDown", { row: 50, column: 0 }, { row: 59, column: 0 }],
    ["PageUp", { row: 3, column: 0 }, { row: 0, column: 0 }],
    ["Home", { row: 50, column: 2 }, { row: 0, column: 2 }],
    ["End", { row: 50, column: 2 }, { row: 99, column: 2 }],
  ])("%s", (key, from, to) => {
    expect(press(key, from)).toEqual(to);
  });

  it("reaches the corners with Ctrl", () => {
    expect(press("End", { row: 0, column: 0 }, true)).toEqual({ row: 99, column: 4 });
  });

  it("leaves other keys alone", () => {
    expect(press("a", { row: 0, column: 0 })).toBeUndefined();
  });
});
