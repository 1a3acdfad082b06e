/** Many lines on a canvas: uPlot gives axes, crosshair and drag; lines with places of their own are drawn here. */
import type uPlot from "uplot";

import { locale } from "$lib/format";

import { drawMark, type XRange } from "./line";
import type { CanvasColors } from "./theme.svelte";
import {
  colorOf,
  valueEnds,
  type Curve,
  type Reading,
  type RunsLine,
  type RunsXKind,
} from "./runs";
import {
  STEP_INCREMENTS,
  TIME_INCREMENTS,
  clockLabels,
  numberLabels,
  powerLabels,
  timeLabels,
  valueRange,
} from "./ticks";

/** What is drawn. */
export interface RunsScene {
  readonly lines: readonly RunsLine[];
  /** The stretch of x that is shown. */
  readonly range: XRange;
  /** The ends of y that are wanted; `null` for what the lines need. */
  readonly yRange: XRange | null;
  /** The line that stands out; `null` for all alike. */
  readonly highlighted: string | null;
  readonly colors: CanvasColors;
}

/** What the chart tells. */
export interface RunsEvents {
  /** The pointer is at this place; `top` in pixels below the upper edge of the lines. `null`: it left. */
  onpoint(x: number | null, top: number | null): void;
  /** The person asked for this stretch, or for the whole again. */
  onzoom(range: XRange | null): void;
}

/** Lines with room for each point show every point. */
const ROOM_PER_POINT_PX = 14;
/** Half the size of what stands at a place. */
const EDGE_PX = 4;
const FONT = '11px "Inter Variable", system-ui, sans-serif';

/** The drawn chart. The element is filled, and emptied by `destroy`. */
export class RunsPlot {
  readonly #plot: uPlot;
  readonly #events: RunsEvents;
  readonly #isLog: boolean;
  readonly #dots: HTMLElement[] = [];
  #scene: RunsScene;

  constructor(
    Plot: typeof uPlot,
    element: HTMLElement,
    scene: RunsScene,
    options: {
      readonly widthPx: number;
      readonly heightPx: number;
      readonly xKind: RunsXKind;
      /** Whether y is logarithmic; what is 0 or below has no place then. */
      readonly isLog: boolean;
    },
    events: RunsEvents,
  ) {
    this.#scene = scene;
    this.#isLog = options.isLog;
    this.#events = events;
    this.#plot = new Plot(this.#options(options), this.#data(), element);
    this.#plot.over.addEventListener("mousemove", (event) => {
      const box = this.#plot.over.getBoundingClientRect();
      this.#events.onpoint(
        this.#plot.posToVal(event.clientX - box.left, "x"),
        event.clientY - box.top,
      );
    });
    this.#plot.over.addEventListener("mouseleave", () => {
      this.#events.onpoint(null, null);
    });
  }

  setScene(scene: RunsScene): void {
    const before = this.#scene;
    this.#scene = scene;
    const isSameFrame =
      before.lines === scene.lines &&
      before.range === scene.range &&
      before.yRange === scene.yRange;
    if (isSameFrame) {
      this.#plot.redraw(false, before.colors !== scene.colors);
      return;
    }
    const [min, max] = this.#xRange();
    this.#plot.batch(() => {
      this.#plot.setData(this.#data(), false);
      this.#plot.setScale("x", { min, max });
    });
  }

  setSize(widthPx: number, heightPx: number): void {
    if (widthPx === this.#plot.width && heightPx === this.#plot.height) return;
    this.#plot.setSize({ width: widthPx, height: heightPx });
  }

  /** Puts the crosshair on a place, or away, and a dot on each of these points. */
  setPoint(x: number | null, readings: readonly Reading[]): void {
    const left = x === null ? -10 : this.#plot.valToPos(x, "x");
    const isInside = left >= 0 && left <= this.#plot.over.clientWidth;
    this.#plot.setCursor(isInside ? { left, top: 10 } : { left: -10, top: -10 }, false);
    const shown = isInside ? readings.filter(({ value }) => Number.isFinite(value)) : [];
    shown.forEach((reading, index) => {
      const dot = (this.#dots[index] ??= this.#makeDot());
      dot.hidden = false;
      dot.style.left = `${String(this.#plot.valToPos(reading.x, "x"))}px`;
      dot.style.top = `${String(this.topOf(reading.value))}px`;
      dot.style.background = colorOf(reading.line, this.#scene.colors.ground);
    });
    for (const dot of this.#dots.slice(shown.length)) dot.hidden = true;
  }

  /** How many pixels below the upper edge of the lines a value stands. */
  topOf(value: number): number {
    return this.#plot.valToPos(value, "y");
  }

  /** Where a place stands on the screen, in pixels of the window. */
  placeOf(x: number): { left: number; top: number } {
    const box = this.#plot.over.getBoundingClientRect();
    return { left: box.left + this.#plot.valToPos(x, "x"), top: box.top };
  }

  destroy(): void {
    this.#plot.destroy();
  }

  #makeDot(): HTMLElement {
    const dot = document.createElement("div");
    dot.className = "dot";
    this.#plot.over.append(dot);
    return dot;
  }

  /** uPlot scales by these; the lines are drawn from their own points. */
  #data(): uPlot.AlignedData {
    const [from, to] = this.#xRange();
    return [
      [from, to],
      [1, 1],
    ];
  }

  /** The stretch that is shown; a single place stands in the middle. */
  #xRange(): [from: number, to: number] {
    const { from, to } = this.#scene.range;
    return from < to ? [from, to] : [from - 1, from + 1];
  }

  #yRange(): [from: number, to: number] {
    const { lines, range, yRange } = this.#scene;
    const [least, most] =
      yRange === null ? valueEnds(lines, range, this.#isLog) : [yRange.from, yRange.to];
    if (!this.#isLog) {
      if (yRange !== null && least !== null && most !== null && least < most) return [least, most];
      return valueRange(least, most);
    }
    const [low, high] =
      least === null || most === null || most <= 0
        ? valueEnds(lines, range, true)
        : [least > 0 ? least : valueEnds(lines, range, true)[0], most];
    if (low === null || high === null) return [0.1, 10];
    // Room at both ends, as much as a linear axis has.
    const room = low === high ? 2 : (high / low) ** 0.06;
    return [low / room, high * room];
  }

  #options(options: { widthPx: number; heightPx: number; xKind: RunsXKind }): uPlot.Options {
    const { xKind } = options;
    const faint = () => this.#scene.colors.faintText;
    const line = () => this.#scene.colors.line;
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
      // Of clock times: milliseconds.
      ms: 1,
      scales: {
        x: { time: xKind === "wall", range: () => this.#xRange() },
        y: { distr: this.#isLog ? 3 : 1, range: () => this.#yRange() },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 24,
          space: xKind === "wall" ? 96 : 56,
          ...(xKind === "wall"
            ? {}
            : { incrs: [...(xKind === "step" ? STEP_INCREMENTS : TIME_INCREMENTS)] }),
          values: (_, ticks, __, ___, increment) => {
            if (xKind === "wall") return clockLabels(ticks, increment, locale);
            if (xKind === "relative") return timeLabels(ticks, increment);
            return numberLabels(ticks, increment).map((label, index) =>
              index === 0 ? `step ${label}` : label,
            );
          },
        },
        {
          ...axis,
          space: 32,
          size: (_, labels) => 14 + 6.5 * Math.max(2, ...(labels ?? []).map((text) => text.length)),
          values: (_, ticks, __, ___, increment) =>
            this.#isLog ? powerLabels(ticks) : numberLabels(ticks, increment),
        },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 5 },
        points: { show: false },
        bind: {
          dblclick: () => () => {
            this.#events.onzoom(null);
            return null;
          },
        },
      },
      hooks: {
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
            this.#draw(plot);
          },
        ],
      },
    };
  }

  #draw(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const { lines, highlighted, colors } = this.#scene;
    const unit = bbox.width / Math.max(1, plot.over.clientWidth);
    ctx.save();
    clip(ctx, bbox, 0);
    ctx.lineJoin = "round";
    const isMeant = (line: RunsLine) => line.id === highlighted;
    const hasMeant = lines.some(isMeant);
    // What stands out lies above the others, and lines above what is behind them.
    const ordered = [...lines].sort((a, b) => Number(isMeant(a)) - Number(isMeant(b)));
    const strength = (line: RunsLine) => (!hasMeant || isMeant(line) ? 1 : 0.18);
    const to = scalesOf(plot, this.#isLog);
    for (const line of ordered) {
      const color = colorOf(line, colors.ground);
      ctx.strokeStyle = color;
      ctx.fillStyle = color;
      if (line.band !== null) {
        ctx.globalAlpha = 0.16 * strength(line);
        fillBand(ctx, line.x, line.band, to);
      }
      if (line.raw !== null) {
        ctx.globalAlpha = 0.28 * strength(line);
        ctx.lineWidth = unit;
        ctx.setLineDash([]);
        stroke(ctx, line.raw, this.#scene.range, to);
      }
    }
    const strokes = ordered.map((line) => {
      ctx.strokeStyle = colorOf(line, colors.ground);
      ctx.globalAlpha = strength(line);
      ctx.lineWidth = (isMeant(line) ? 2.5 : 1.5) * unit;
      ctx.setLineDash(line.style.dash.map((length) => length * unit));
      return { line, lone: stroke(ctx, line, this.#scene.range, to) };
    });
    ctx.restore();
    ctx.save();
    // Dots and signs at the first and last place are whole.
    clip(ctx, bbox, EDGE_PX * unit);
    for (const { line, lone } of strokes) {
      const color = colorOf(line, colors.ground);
      ctx.strokeStyle = color;
      ctx.fillStyle = color;
      ctx.globalAlpha = strength(line);
      const hasRoom = lone.count * ROOM_PER_POINT_PX <= plot.over.clientWidth;
      for (const [x, y] of hasRoom ? lone.all : lone.alone) {
        ctx.beginPath();
        ctx.arc(x, y, 2.5 * unit, 0, 2 * Math.PI);
        ctx.fill();
      }
      ctx.lineWidth = 1.5 * unit;
      let lastX = -Infinity;
      for (const mark of line.marks) {
        const x = to.x(mark.x);
        if (x < bbox.left || x > bbox.left + bbox.width || x - lastX < 2 * unit) continue;
        lastX = x;
        drawMark(ctx, mark.kind, x, bbox, unit);
      }
    }
    ctx.restore();
  }
}

/** Draws only in the box from now on, and `beside` it to the left and right. */
function clip(ctx: CanvasRenderingContext2D, box: uPlot.BBox, beside: number): void {
  ctx.beginPath();
  ctx.rect(box.left - beside, box.top, box.width + 2 * beside, box.height);
  ctx.clip();
}

/** From values to pixels of the canvas; `null` for what has no place. */
interface Scales {
  x(value: number): number;
  y(value: number | null): number | null;
}

function scalesOf(plot: uPlot, isLog: boolean): Scales {
  const { bbox, scales } = plot;
  const { min: left = 0, max: right = 1 } = scales["x"] ?? {};
  const { min: bottom = 0, max: top = 1 } = scales["y"] ?? {};
  const scaled = (value: number) => (isLog ? Math.log10(value) : value);
  const low = scaled(bottom);
  const perY = bbox.height / (scaled(top) - low);
  const perX = bbox.width / (right - left);
  return {
    x: (value) => bbox.left + (value - left) * perX,
    y: (value) => {
      if (value === null || (isLog && value <= 0)) return null;
      return bbox.top + bbox.height - (scaled(value) - low) * perY;
    },
  };
}

type Place = readonly [x: number, y: number];

/** Strokes a curve from the point before a stretch to the one after it; tells which points it has. */
function stroke(
  ctx: CanvasRenderingContext2D,
  curve: Curve,
  range: XRange,
  to: Scales,
): { count: number; all: Place[]; alone: Place[] } {
  const { x, y } = curve;
  const all: Place[] = [];
  const alone: Place[] = [];
  let piece: Place[] = [];
  const end = () => {
    if (piece.length === 1) alone.push(...piece);
    piece = [];
  };
  ctx.beginPath();
  for (let index = 0; index < x.length; index += 1) {
    const at = x[index] ?? 0;
    if ((x[index + 1] ?? Infinity) < range.from) continue;
    const top = to.y(y[index] ?? null);
    if (top === null) end();
    else {
      const place = [to.x(at), top] as const;
      if (piece.length === 0) ctx.moveTo(...place);
      else ctx.lineTo(...place);
      piece.push(place);
      all.push(place);
    }
    if (at > range.to) break;
  }
  end();
  ctx.stroke();
  return { count: all.length, all, alone };
}

function fillBand(
  ctx: CanvasRenderingContext2D,
  x: readonly number[],
  band: NonNullable<RunsLine["band"]>,
  to: Scales,
): void {
  let upper: Place[] = [];
  let lower: Place[] = [];
  const fill = () => {
    ctx.beginPath();
    for (const place of [...upper, ...lower.reverse()]) ctx.lineTo(...place);
    ctx.fill();
    upper = [];
    lower = [];
  };
  x.forEach((value, index) => {
    const high = to.y(band.high[index] ?? null);
    const low = to.y(band.low[index] ?? null);
    if (high === null || low === null) {
      fill();
      return;
    }
    upper.push([to.x(value), high]);
    lower.push([to.x(value), low]);
  });
  fill();
}
