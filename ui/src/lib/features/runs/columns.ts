import type { ColumnRef } from "$lib/rpc/bindings/ColumnRef";
import type { RunColumns } from "$lib/rpc/bindings/RunColumns";

/** A column as the table draws it. */
export interface Column {
  /** Names it in addresses and in what is remembered: `start`, `metric:auc`. */
  id: string;
  ref: ColumnRef;
  title: string;
  /** What it stands under; `Run` for what every run has. */
  group: "Run" | "Metrics" | "Parameters" | "Tags";
  /** Before anyone dragged its edge, in pixels. */
  width: number;
  /** Whether it is shown as long as nobody chose otherwise. */
  isShownAtFirst: boolean;
}

export const MIN_WIDTH = 56;
export const MAX_WIDTH = 800;

/** More metrics or parameters than this are hidden until they are asked for. */
const SHOWN_AT_FIRST = 20;

const OF_EVERY_RUN: Column[] = [
  column({ kind: "name" }, "Run", 216),
  column({ kind: "status" }, "Status", 100),
  column({ kind: "start" }, "Started", 96),
  column({ kind: "duration" }, "Duration", 88),
  column({ kind: "source" }, "Source", 128),
  { ...column({ kind: "user" }, "User", 96), isShownAtFirst: false },
];

/** Says which experiment a run is of, where there are several. */
const EXPERIMENT = column({ kind: "experiment" }, "Experiment", 144);

/** Every column that the runs of one experiment or of several have, in the order of the table. */
export function allColumns(keys: RunColumns | undefined, hasExperiments = false): Column[] {
  const ofEveryRun = hasExperiments ? OF_EVERY_RUN.toSpliced(1, 0, EXPERIMENT) : OF_EVERY_RUN;
  if (keys === undefined) return ofEveryRun;
  return [
    ...ofEveryRun,
    ...limited(keys.metrics.map((key) => keyColumn("metric", key))),
    ...limited(keys.params.map((key) => keyColumn("param", key))),
    ...keys.tags.map((key) => ({ ...keyColumn("tag", key), isShownAtFirst: false })),
  ];
}

/** The columns to draw: the name always, the others as chosen. */
export function shownColumns(
  columns: readonly Column[],
  chosen: { shown: readonly string[]; hidden: readonly string[] },
): Column[] {
  return columns.filter(
    ({ id, isShownAtFirst }) =>
      id === "name" || (isShownAtFirst ? !chosen.hidden.includes(id) : chosen.shown.includes(id)),
  );
}

/** Columns whose cells have to be asked for. */
export function isKeyColumn(ref: ColumnRef): boolean {
  return ref.kind === "metric" || ref.kind === "param" || ref.kind === "tag";
}

export function columnId(ref: ColumnRef): string {
  return "key" in ref ? `${ref.kind}:${ref.key}` : ref.kind;
}

/** Reads a column's name; `undefined` when it is none. */
export function parseColumnId(id: string): ColumnRef | undefined {
  const colon = id.indexOf(":");
  if (colon > 0) {
    const kind = id.slice(0, colon);
    const key = id.slice(colon + 1);
    if (key !== "" && (kind === "metric" || kind === "param" || kind === "tag")) {
      return { kind, key };
    }
    return undefined;
  }
  return [EXPERIMENT, ...OF_EVERY_RUN].find((one) => one.id === id)?.ref;
}

/** Numbers are first wanted at their best or newest: largest first. Words start at A. */
export function startsDescending(ref: ColumnRef): boolean {
  return ref.kind === "metric" || ref.kind === "start" || ref.kind === "duration";
}

function limited(columns: Column[]): Column[] {
  let count = 0;
  return columns.map((one) => {
    if (!one.isShownAtFirst) return one;
    count += 1;
    return count > SHOWN_AT_FIRST ? { ...one, isShownAtFirst: false } : one;
  });
}

function keyColumn(kind: "metric" | "param" | "tag", key: string): Column {
  const needed = 28 + key.length * 7;
  const width = Math.min(Math.max(needed, kind === "metric" ? 88 : 96), 200);
  return {
    ...column({ kind, key }, key, width),
    // Measurements of the machine, many and alike.
    isShownAtFirst: !(kind === "metric" && key.startsWith("system/")),
  };
}

function column(ref: ColumnRef, title: string, width: number): Column {
  const groups = { metric: "Metrics", param: "Parameters", tag: "Tags" } as const;
  return {
    id: columnId(ref),
    ref,
    title,
    group: ref.kind in groups ? groups[ref.kind as keyof typeof groups] : "Run",
    width,
    isShownAtFirst: true,
  };
}
