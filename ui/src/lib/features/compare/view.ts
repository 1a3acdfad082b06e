/** What of a comparison lives in the address: it can be returned to and shared. */
import type { RunsXKind, XRange } from "$lib/plot";
import type { ChartBand } from "$lib/rpc/bindings/ChartBand";
import type { ChartSmoothing } from "$lib/rpc/bindings/ChartSmoothing";

export type CompareTab = "values" | "charts";

export interface CompareView {
  /** The runs, the one that the others are compared with first. */
  runIds: string[];
  tab: CompareTab;
  search: string;
  /** Whether rows that are the same in all runs are shown too. */
  isAll: boolean;
  charts: ChartsView;
}

/** How the charts of a comparison are drawn. */
export interface ChartsView {
  /** Words of metrics' names, or `/a regular expression/`. */
  search: string;
  xKind: RunsXKind;
  smoothing: ChartSmoothing;
  isLog: boolean;
  ignoresOutliers: boolean;
  /** The stretch of x that is shown; `null` for the whole. */
  zoom: XRange | null;
  /** Runs with the same value of this parameter are one line; `null` for a line per run. */
  groupedBy: string | null;
  /** What the band around the line of a group holds. */
  band: ChartBand;
  /** Runs or groups whose lines are not drawn. */
  hidden: string[];
}

export const PLAIN_CHARTS: ChartsView = {
  search: "",
  xKind: "step",
  smoothing: { kind: "none" },
  isLog: false,
  ignoresOutliers: false,
  zoom: null,
  groupedBy: null,
  band: "std",
  hidden: [],
};

export const BANDS: readonly (readonly [ChartBand, string])[] = [
  ["none", "No band"],
  ["min_max", "Smallest to largest"],
  ["std", "± standard deviation"],
  ["se", "± standard error"],
  ["ci95", "95 % interval"],
];

export function readCompare(params: URLSearchParams): CompareView {
  const x = params.get("x");
  return {
    runIds: idsOf(params, "run"),
    tab: params.get("tab") === "charts" ? "charts" : "values",
    search: params.get("search") ?? "",
    isAll: params.has("all"),
    charts: {
      search: params.get("metrics") ?? "",
      xKind: x === "wall" || x === "relative" ? x : "step",
      smoothing: readSmoothing(params.get("smooth")),
      isLog: params.has("log"),
      ignoresOutliers: params.has("no-outliers"),
      zoom: readZoom(params.get("from"), params.get("to")),
      groupedBy: params.get("by"),
      band: BANDS.find(([band]) => band === params.get("band"))?.[0] ?? PLAIN_CHARTS.band,
      hidden: idsOf(params, "hide"),
    },
  };
}

/** The address of a comparison. */
export function writeCompare({ runIds, tab, search, isAll, charts }: CompareView): string {
  const params = new URLSearchParams();
  for (const id of runIds) params.append("run", id);
  if (tab !== "values") params.set("tab", tab);
  if (search !== "") params.set("search", search);
  if (isAll) params.set("all", "");
  if (charts.search !== "") params.set("metrics", charts.search);
  if (charts.xKind !== "step") params.set("x", charts.xKind);
  const smooth = writeSmoothing(charts.smoothing);
  if (smooth !== null) params.set("smooth", smooth);
  if (charts.isLog) params.set("log", "");
  if (charts.ignoresOutliers) params.set("no-outliers", "");
  if (charts.zoom !== null) {
    params.set("from", String(charts.zoom.from));
    params.set("to", String(charts.zoom.to));
  }
  if (charts.groupedBy !== null) params.set("by", charts.groupedBy);
  if (charts.band !== PLAIN_CHARTS.band) params.set("band", charts.band);
  for (const id of charts.hidden) params.append("hide", id);
  const text = params.toString();
  return text === "" ? "/compare" : `/compare?${text}`;
}

/** Where some runs stand side by side, what tells them apart first. */
export function compareAddress(runIds: string[]): string {
  return writeCompare({ runIds, tab: "values", search: "", isAll: false, charts: PLAIN_CHARTS });
}

/** A way of smoothing, and its one number. */
export interface SmoothingKind {
  readonly kind: Exclude<ChartSmoothing["kind"], "none">;
  readonly name: string;
  /** What its number counts. */
  readonly unit: string;
  readonly least: number;
  readonly most: number;
  readonly step: number;
  /** The number that it begins with. */
  readonly usual: number;
}

export const SMOOTHING_KINDS: readonly SmoothingKind[] = [
  { kind: "ema", name: "EMA", unit: "weight", least: 0, most: 0.99, step: 0.01, usual: 0.6 },
  {
    kind: "time_ema",
    name: "Time-weighted EMA",
    unit: "weight",
    least: 0,
    most: 0.99,
    step: 0.01,
    usual: 0.6,
  },
  { kind: "gaussian", name: "Gaussian", unit: "points", least: 0.5, most: 50, step: 0.5, usual: 2 },
  { kind: "mean", name: "Running mean", unit: "points", least: 1, most: 101, step: 2, usual: 5 },
];

/** The number of a smoothing; `null` for none. */
export function amountOf(smoothing: ChartSmoothing): number | null {
  switch (smoothing.kind) {
    case "none":
      return null;
    case "ema":
    case "time_ema":
      return smoothing.weight;
    case "gaussian":
      return smoothing.sigma;
    case "mean":
      return smoothing.window;
  }
}

/** A smoothing with its number kept within what its kind takes. */
export function smoothingOf({ kind, least, most }: SmoothingKind, amount: number): ChartSmoothing {
  const number = Math.min(most, Math.max(least, amount));
  switch (kind) {
    case "ema":
    case "time_ema":
      return { kind, weight: number };
    case "gaussian":
      return { kind, sigma: number };
    case "mean":
      return { kind, window: Math.round(number) };
  }
}

/** `ema:0.6`; nothing for what is not one. */
function readSmoothing(text: string | null): ChartSmoothing {
  const [name, amount] = text?.split(":") ?? [];
  const kind = SMOOTHING_KINDS.find((one) => one.kind === name);
  if (kind === undefined) return { kind: "none" };
  const number = Number(amount);
  return smoothingOf(kind, amount !== undefined && Number.isFinite(number) ? number : kind.usual);
}

function writeSmoothing(smoothing: ChartSmoothing): string | null {
  const amount = amountOf(smoothing);
  return amount === null ? null : `${smoothing.kind}:${String(amount)}`;
}

function readZoom(from: string | null, to: string | null): XRange | null {
  if (from === null || to === null) return null;
  const range = { from: Number(from), to: Number(to) };
  return Number.isFinite(range.from) && range.from < range.to && Number.isFinite(range.to)
    ? range
    : null;
}

function idsOf(params: URLSearchParams, name: string): string[] {
  return [...new Set(params.getAll(name))].filter((id) => id !== "");
}
