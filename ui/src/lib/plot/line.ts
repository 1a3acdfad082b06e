/** One line on a canvas: uPlot, held to what Cairn's charts do. */
import type uPlot from "uplot";

import { mendNavigatorLanguage } from "$lib/format";

import { lonePoints, type Drawing, type Mark } from "./points";
import { STEP_INCREMENTS, TIME_INCREMENTS, numberLabels, timeLabels, valueRange } from "./ticks";

/** A stretch of the horizontal axis, in its unit. */
export interface XRange {
  readonly from: number;
  readonly to: number;
}

/** Colours as a canvas takes them. */
export interface LineColors {
  readonly series: string;
  readonly surface: string;
  readonly faintText: string;
  readonly line: string;
  readonly warning: string;
}

/** What the chart tells. */
export interface LineEvents {
  /** The crosshair stands at this point, or at none. */
  onpoint(index: number | null): void;
  /** The person asked for this stretch, or for the whole again. */
  onzoom(range: XRange | null): void;
}

let loaded: Promise<typeof uPlot> | undefined;

/** Loads uPlot once. It hands `navigator.language` to `Intl` as it loads, so that is mended before. */
export function loadPlot(): Promise<typeof uPlot> {
  mendNavigatorLanguage();
  loaded ??= Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]).then(
    ([module]) => module.default,
  );
  return loaded;
}

/** Lines with room for each point show every point. */
const ROOM_PER_POINT_PX = 12;
const FONT = '11px "Inter Variable", system-ui, sans-serif';

/** The drawn chart. The element is filled, and emptied by `destroy`. */
export class LinePlot {
  readonly #plot: uPlot;
  readonly #events: LineEvents;
  #drawing: Drawing;
  #lone: readonly number[];
  #colors: LineColors;
  #zoom: XRange | null = null;

  /** `syncKey`: charts with the same key and the same kind of axis move their crosshairs together. */
  constructor(
    Plot: typeof uPlot,
    element: HTMLElement,
    drawing: Drawing,
    options: {
      readonly widthPx: number;
      readonly heightPx: number;
      readonly colors: LineColors;
      readonly syncKey: string;
    },
    events: LineEvents,
  ) {
    this.#drawing = drawing;
    this.#lone = lonePoints(drawing.y);
    this.#colors = options.colors;
    this.#events = events;
    this.#plot = new Plot(this.#options(options), dataOf(drawing), element);
  }

  /** Shows other points; a zoomed stretch stays. */
  setDrawing(drawing: Drawing): void {
    this.#drawing = drawing;
    this.#lone = lonePoints(drawing.y);
    this.#plot.setData(dataOf(drawing));
  }

  setColors(colors: LineColors): void {
    this.#colors = colors;
    this.#plot.redraw(false, true);
  }

  setSize(widthPx: number, heightPx: number): void {
    this.#plot.setSize({ width: widthPx, height: heightPx });
  }

  /** Shows a stretch, or the whole. */
  setZoom(range: XRange | null): void {
    if (range === this.#zoom) return;
    this.#zoom = range;
    const [min, max] = this.#xRange();
    this.#plot.setScale("x", { min, max });
  }

  /** Puts the crosshair on a point, or away. */
  setPoint(index: number | null): void {
    const x = index === null ? undefined : this.#drawing.x[index];
    const left = x === undefined ? -10 : this.#plot.valToPos(x, "x");
    this.#plot.setCursor({ left, top: x === undefined ? -10 : 10 }, false);
  }

  destroy(): void {
    this.#plot.destroy();
  }

  /** The stretch that is shown; a single point stands in the middle. */
  #xRange(): [min: number, max: number] {
    if (this.#zoom !== null) return [this.#zoom.from, this.#zoom.to];
    const first = this.#drawing.x[0] ?? 0;
    const last = this.#drawing.x.at(-1) ?? 0;
    return first === last ? [first - 1, last + 1] : [first, last];
  }

  #options(options: { widthPx: number; heightPx: number; syncKey: string }): uPlot.Options {
    const { xKind } = this.#drawing;
    const faint = () => this.#colors.faintText;
    const line = () => this.#colors.line;
    const series = () => this.#colors.series;
    const axis = {
      stroke: faint,
      font: FONT,
      grid: { stroke: line, width: 1 },
      ticks: { show: false },
      gap: 6,
    } satisfies uPlot.Axis;
    return {
      width: options.widthPx,
      height: options.heightPx,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      scales: {
        x: {
          time: false,
          range: () => this.#xRange(),
        },
        y: { range: (_, min, max) => valueRange(min, max) },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 24,
          space: 56,
          incrs: [...(xKind === "step" ? STEP_INCREMENTS : TIME_INCREMENTS)],
          values: (_, ticks, __, ___, increment) => this.#xLabels(ticks, increment),
        },
        {
          ...axis,
          space: 32,
          size: (_, labels) => 14 + 6.5 * Math.max(2, ...(labels ?? []).map((text) => text.length)),
          values: (_, ticks, __, ___, increment) => numberLabels(ticks, increment),
        },
      ],
      series: [
        {},
        {
          stroke: series,
          width: 1.5,
          spanGaps: false,
          points: {
            show: true,
            size: 5,
            width: 0,
            fill: series,
            stroke: series,
            filter: (plot, _, isShown) => (isShown ? this.#dots(plot) : null),
          },
        },
      ],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 5 },
        points: { size: 9, width: 1.5, stroke: () => this.#colors.surface, fill: series },
        sync: {
          key: `${options.syncKey} ${xKind}`,
          setSeries: false,
          scales: ["x", null],
          // Crosshairs move together; a drag zooms only the chart it happens in.
          filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
        },
        bind: {
          dblclick: () => () => {
            this.#events.onzoom(null);
            return null;
          },
        },
      },
      hooks: {
        setCursor: [
          (plot) => {
            // A crosshair that follows another chart's may stand beyond this one's axis.
            const { idx, left = -1 } = plot.cursor;
            const isInside = left >= 0 && left <= plot.over.clientWidth;
            this.#events.onpoint(isInside ? (idx ?? null) : null);
          },
        ],
        setSelect: [
          (plot) => {
            const { left, width } = plot.select;
            if (width <= 0) return;
            const from = plot.posToVal(left, "x");
            const to = plot.posToVal(left + width, "x");
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            this.#events.onzoom({ from, to });
          },
        ],
        draw: [
          (plot) => {
            this.#drawMarks(plot);
          },
        ],
      },
    };
  }

  /** Labels where there are points; the first says what the axis counts. */
  #xLabels(ticks: readonly number[], increment: number): string[] {
    const { x, xKind } = this.#drawing;
    const from = x[0] ?? 0;
    const to = x.at(-1) ?? 0;
    const labels = xKind === "step" ? numberLabels(ticks, increment) : timeLabels(ticks, increment);
    let isFirst = xKind === "step";
    return labels.map((label, index) => {
      const tick = ticks[index] ?? NaN;
      if (tick < from || tick > to) return "";
      const unit = isFirst ? "step " : "";
      isFirst = false;
      return unit + label;
    });
  }

  /** Which points get a dot: all where there is room, else those that no line reaches. */
  #dots(plot: uPlot): number[] {
    const [first, last] = plot.series[0]?.idxs ?? [0, this.#drawing.x.length - 1];
    const count = last - first + 1;
    const hasRoom = count * ROOM_PER_POINT_PX <= plot.width;
    if (!hasRoom) return [...this.#lone];
    return Array.from({ length: count }, (_, offset) => first + offset).filter(
      (index) => this.#drawing.y[index] !== null,
    );
  }

  /** Draws a sign for every NaN and infinity at the edge that it would lie beyond. */
  #drawMarks(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const unit = bbox.width / Math.max(1, plot.over.clientWidth);
    let lastX = -Infinity;
    ctx.save();
    ctx.strokeStyle = this.#colors.warning;
    ctx.fillStyle = this.#colors.warning;
    ctx.lineWidth = 1.5 * unit;
    for (const mark of this.#drawing.marks) {
      const x = plot.valToPos(this.#drawing.x[mark.index] ?? 0, "x", true);
      const isOutside = x < bbox.left || x > bbox.left + bbox.width;
      if (isOutside || x - lastX < 2 * unit) continue;
      lastX = x;
      drawMark(ctx, mark.kind, x, bbox, unit);
    }
    ctx.restore();
  }
}

/** A cross for NaN at the lower edge, an arrow head for an infinity at the edge that it points to. */
export function drawMark(
  ctx: CanvasRenderingContext2D,
  kind: Mark["kind"],
  x: number,
  box: uPlot.BBox,
  unit: number,
): void {
  const half = 3.5 * unit;
  const bottom = box.top + box.height - half - unit;
  ctx.beginPath();
  if (kind === "nan") {
    ctx.moveTo(x - half, bottom - half);
    ctx.lineTo(x + half, bottom + half);
    ctx.moveTo(x + half, bottom - half);
    ctx.lineTo(x - half, bottom + half);
    ctx.stroke();
    return;
  }
  const isAbove = kind === "above";
  const base = isAbove ? box.top + 2 * half : bottom - half;
  const tip = isAbove ? box.top : bottom + half;
  ctx.moveTo(x - half, base);
  ctx.lineTo(x + half, base);
  ctx.lineTo(x, tip);
  ctx.fill();
}

function dataOf(drawing: Drawing): uPlot.AlignedData {
  return [[...drawing.x], [...drawing.y]];
}
