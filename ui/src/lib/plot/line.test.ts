import type uPlot from "uplot";
import { afterEach, describe, expect, it, vi } from "vitest";

import { LinePlot, loadPlot } from "./line";
import { toDrawing, type Points } from "./points";

const library = vi.hoisted(() => ({ languageAtImport: undefined as string | undefined }));

vi.mock("uplot", () => {
  library.languageAtImport = navigator.language;
  return { default: function uPlot() {} };
});
vi.mock("uplot/dist/uPlot.min.css", () => ({}));

function points(steps: number[], values: number[]): Points {
  return {
    steps,
    timestamps: steps.map(() => 0),
    values,
    totalPoints: steps.length,
    isReduced: false,
    cursor: null,
  };
}

/** A chart on a canvas that remembers what was drawn on it, 100 units wide for the steps 0 to 10. */
function open(steps: number[], values: number[], widthPx = 100) {
  const strokes: string[] = [];
  let options: uPlot.Options | undefined;
  const events = { onpoint: vi.fn(), onzoom: vi.fn() };
  class Canvas {
    width = widthPx;
    over = { clientWidth: 100 };
    bbox = { left: 0, top: 0, width: 100, height: 50 };
    series = [{ idxs: [0, steps.length - 1] }];
    scales: Record<string, unknown> = {};
    cursor: { idx: number | null; left: number } = { idx: null, left: -10 };
    select = { left: 0, top: 0, width: 0, height: 0 };
    ctx = {
      save: () => undefined,
      restore: () => undefined,
      beginPath: () => undefined,
      moveTo: () => undefined,
      lineTo: () => undefined,
      stroke: () => strokes.push("cross"),
      fill: () => strokes.push("arrow"),
    };
    constructor(given: uPlot.Options) {
      options = given;
    }
    valToPos = (x: number) => x * 10;
    posToVal = (left: number) => left / 10;
    setScale = vi.fn();
    setSelect = vi.fn();
    setData = vi.fn();
  }
  const line = new LinePlot(
    Canvas as unknown as typeof uPlot,
    document.createElement("div"),
    toDrawing(points(steps, values)),
    {
      widthPx,
      heightPx: 50,
      syncKey: "r",
      colors: { series: "a", surface: "b", faintText: "c", line: "d", warning: "e" },
    },
    events,
  );
  if (options === undefined) throw new Error("no chart was made");
  const canvas = new Canvas(options);
  const given = options;
  return { line, options: given, events, strokes, canvas: canvas as unknown as uPlot };
}

function xRange(options: uPlot.Options): unknown {
  const range = options.scales?.["x"]?.range;
  return typeof range === "function" ? range({} as uPlot, 0, 0, "x") : range;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("line on a canvas", () => {
  it("loads its library only after the language of the page is one that exists", async () => {
    Object.defineProperty(navigator, "language", { value: "C", configurable: true });
    await loadPlot();
    expect(library.languageAtImport).toBe("en");
  });

  it("puts a single point into the middle", () => {
    expect(xRange(open([7], [1]).options)).toEqual([6, 8]);
    expect(xRange(open([0, 10], [1, 2]).options)).toEqual([0, 10]);
  });

  it("keeps a zoomed stretch while points come", () => {
    const { line, options } = open([0, 10], [1, 2]);
    line.setZoom({ from: 2, to: 4 });
    line.setDrawing(toDrawing(points([0, 10, 20], [1, 2, 3])));
    expect(xRange(options)).toEqual([2, 4]);
    line.setZoom(null);
    expect(xRange(options)).toEqual([0, 20]);
  });

  it("tells the stretch that was dragged over, and nothing for a click", () => {
    const { options, events, canvas } = open([0, 10], [1, 2]);
    const select = options.hooks?.setSelect?.[0];
    select?.(canvas);
    expect(events.onzoom).not.toHaveBeenCalled();
    Object.assign(canvas.select, { left: 20, width: 30 });
    select?.(canvas);
    expect(events.onzoom).toHaveBeenCalledExactlyOnceWith({ from: 2, to: 5 });
  });

  it("tells the point under the crosshair, and none beyond the axis", () => {
    const { options, events, canvas } = open([0, 10], [1, 2]);
    const move = options.hooks?.setCursor?.[0];
    Object.assign(canvas.cursor, { idx: 1, left: 90 });
    move?.(canvas);
    Object.assign(canvas.cursor, { idx: 1, left: 130 });
    move?.(canvas);
    expect(events.onpoint.mock.calls).toEqual([[1], [null]]);
  });

  it("marks what has no height, one sign for those that fall on one pixel", () => {
    const { options, strokes, canvas } = open(
      [0, 1, 1, 2, 3, 10],
      [1, NaN, NaN, Infinity, -Infinity, 2],
    );
    options.hooks?.draw?.[0]?.(canvas);
    expect(strokes).toEqual(["cross", "arrow", "arrow"]);
  });

  it("draws a dot at every point where there is room, else where no line reaches", () => {
    const dots = (widthPx: number) => {
      const { options, canvas } = open([0, 1, 2, 3, 4], [1, NaN, 2, NaN, 3], widthPx);
      const filter = options.series[1]?.points?.filter;
      return typeof filter === "function" ? filter(canvas, 1, true, null) : filter;
    };
    expect(dots(100)).toEqual([0, 2, 4]);
    const { options, canvas } = open([0, 1, 2, 3, 4], [1, 2, NaN, 3, NaN], 20);
    const filter = options.series[1]?.points?.filter;
    expect(typeof filter === "function" && filter(canvas, 1, true, null)).toEqual([3]);
  });
});
