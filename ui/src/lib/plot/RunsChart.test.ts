import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { ChartLine } from "$lib/rpc/bindings/ChartLine";
import type { ChartRequest } from "$lib/rpc/bindings/ChartRequest";
import type { ChartSeries } from "$lib/rpc/bindings/ChartSeries";
import { draw } from "$lib/testing";

import { ChartLink } from "./link.svelte";
import { seriesStyles } from "./palette";
import RunsChart from "./RunsChart.svelte";
import type { RunsScene } from "./runsPlot";

/** What the canvas was told, as jsdom has none. */
const canvas = vi.hoisted(() => ({ made: 0, scenes: [] as unknown[], points: [] as unknown[] }));

vi.mock("./line", () => ({ loadPlot: () => Promise.resolve(undefined) }));
vi.mock("./runsPlot", () => ({
  RunsPlot: class {
    constructor(_plot: unknown, _element: unknown, scene: unknown) {
      canvas.made += 1;
      canvas.scenes.push(scene);
    }
    setScene(scene: unknown) {
      canvas.scenes.push(scene);
    }
    setPoint(x: unknown) {
      canvas.points.push(x);
    }
    setSize() {}
    topOf() {
      return 0;
    }
    placeOf() {
      return { left: 0, top: 0 };
    }
    destroy() {}
  },
}));

const lastScene = () => canvas.scenes.at(-1) as RunsScene | undefined;

function line(id: string, label: string, y: (number | null)[]): ChartLine {
  return {
    id: `${id}:0`,
    label,
    y_index: 0,
    run_ids: [id],
    group: [],
    status: "FINISHED",
    x: y.map((_, index) => index * 10),
    y,
    low: null,
    high: null,
    raw: null,
    marks: [],
    points: y.length,
    is_reduced: false,
    alignment: null,
    statistics: {
      count: y.length,
      not_finite: 0,
      first: 0,
      last: 0,
      min: 0.125,
      max: 4,
      mean: 1,
      std: 0.5,
      area: 1,
    },
  };
}

const a = [1, 0.5, 0.25];
const answer = (): ChartSeries => ({
  lines: [line("a", "calm-otter", a), line("b", "bold-lynx", [2, null, 0.125])],
  x_bounds: { from: 0, to: 20 },
  y_bounds: { from: 0, to: 1 },
  left_out: [],
  runs: 3,
});

function open(more: Record<string, unknown> = {}, series: () => ChartSeries = answer) {
  const onzoom = vi.fn();
  const link = new ChartLink();
  const drawn = draw(
    RunsChart,
    {
      runIds: ["a", "b", "c"],
      metricKey: "loss",
      xKind: "step" as const,
      smoothing: { kind: "none" as const },
      isLog: false,
      ignoresOutliers: false,
      groupedBy: null,
      band: "none" as const,
      styles: seriesStyles(["a", "b", "c"]),
      hidden: new Set<string>(),
      link,
      zoom: null,
      onzoom,
      ...more,
    },
    { "chart.series": series },
  );
  return { ...drawn, onzoom, link };
}

beforeEach(() => {
  canvas.made = 0;
  canvas.scenes.length = 0;
  canvas.points.length = 0;
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(private readonly tell: ResizeObserverCallback) {}
      observe() {
        const entry = { contentRect: { width: 430 } } as ResizeObserverEntry;
        this.tell([entry], this as unknown as ResizeObserver);
      }
      unobserve() {}
      disconnect() {}
    },
  );
});

afterEach(() => {
  vi.unstubAllGlobals();
});

it("asks for the metric of all runs as it is to be drawn", async () => {
  const { host } = open({
    xKind: "relative",
    smoothing: { kind: "ema", weight: 0.5 },
    ignoresOutliers: true,
    zoom: { from: 5, to: 10 },
  });
  await screen.findByRole("slider", { name: "loss of 2 runs" });
  expect(host.callsOf("chart.series")).toEqual([
    {
      runs: { kind: "ids", run_ids: ["a", "b", "c"] },
      y: ["loss"],
      x: { kind: "relative_time" },
      x_range: { from: 5, to: 10 },
      x_log: false,
      columns: 600,
      smoothing: { kind: "ema", weight: 0.5 },
      group_by: [],
      center: "mean",
      band: "none",
      ignore_outliers: true,
      statistics: false,
    } satisfies ChartRequest,
  ]);
  await waitFor(() => {
    expect(lastScene()?.range).toEqual({ from: 5, to: 10 });
  });
  expect(lastScene()?.yRange).toEqual({ from: 0, to: 1 });
  expect(screen.getByText("2 of 3 runs")).toBeTruthy();
});

it("says what all runs have while the keys walk over their points", async () => {
  const { link } = open();
  const slider = await screen.findByRole("slider");
  expect(slider.getAttribute("aria-valuetext")).toBe("step 20: calm-otter 0.25, bold-lynx 0.125");
  slider.focus();
  await userEvent.keyboard("{Home}");
  expect(slider.getAttribute("aria-valuetext")).toBe("step 0: bold-lynx 2, calm-otter 1");
  await userEvent.keyboard("{ArrowRight}");
  expect(slider.getAttribute("aria-valuetext")).toBe("step 10: calm-otter 0.5, bold-lynx NaN");
  expect(link.x).toBe(10);
  // Another chart of the page moves the crosshair of this one.
  link.x = 20;
  await waitFor(() => {
    expect(canvas.points.at(-1)).toBe(20);
  });
});

it("asks for a stretch by keys, and for the whole again", async () => {
  const { onzoom } = open({ zoom: { from: 0, to: 10 } });
  const slider = await screen.findByRole("slider");
  slider.focus();
  await userEvent.keyboard("{Home}{+}");
  expect(onzoom).toHaveBeenLastCalledWith({ from: 0, to: 2.5 });
  await userEvent.keyboard("{Escape}");
  expect(onzoom).toHaveBeenLastCalledWith(null);
  await userEvent.click(screen.getByRole("button", { name: "Show the whole axis" }));
  expect(onzoom).toHaveBeenCalledTimes(3);
});

it("draws what runs log meanwhile on the chart that is there, and asks for no other run's", async () => {
  let y = a;
  const { host } = open({}, () => ({ ...answer(), lines: [line("a", "calm-otter", y)] }));
  await screen.findByRole("slider");
  y = [...a, 0.0625];
  const changed = (run_id: string) => {
    host.emit({
      type: "changed",
      experiments: false,
      runs_in: ["1"],
      runs: [{ run_id, facts: false, metrics: true, artifacts: false }],
      models: false,
      everything: false,
    });
  };
  changed("another");
  changed("a");
  await waitFor(() => {
    expect(lastScene()?.lines[0]?.y).toEqual(y);
  });
  expect(host.callsOf("chart.series")).toHaveLength(2);
  expect(canvas.made).toBe(1);
});

it("has a table behind it, with what each run comes to", async () => {
  open();
  await userEvent.click(await screen.findByRole("button", { name: "Show loss as a table" }));
  const cells = (name: string) =>
    [...screen.getByRole("row", { name }).querySelectorAll("td")].map((cell) => cell.textContent);
  expect(cells("Smallest 0.125000 0.125000")).toEqual(["0.125000", "0.125000"]);
  expect(cells("10 0.5 NaN")).toEqual(["0.5", "NaN"]);
});

it("draws no hidden run, and says so when none is left", async () => {
  const { unmount } = open({ hidden: new Set(["b"]) });
  await screen.findByRole("slider", { name: "loss of 1 run" });
  await waitFor(() => {
    expect(lastScene()?.lines.map(({ id }) => id)).toEqual(["a"]);
  });
  unmount();
  open({ hidden: new Set(["a", "b"]) });
  expect(await screen.findByText("All that have it are hidden")).toBeTruthy();
});

it("draws runs with the same value as one line, with a band", async () => {
  const group = line("a", "lr = 0.1 (2)", a);
  const { host } = open({ groupedBy: "lr", band: "ci95" }, () => ({
    ...answer(),
    lines: [{ ...group, run_ids: ["a", "b"], group: ["0.1"], low: [0, 0, 0], high: a }],
  }));
  await screen.findByRole("slider", { name: "loss of 1 group" });
  expect(host.callsOf("chart.series")).toMatchObject([
    { group_by: [{ kind: "param", key: "lr" }], band: "ci95" },
  ]);
  await waitFor(() => {
    expect(lastScene()?.lines[0]?.band?.high).toEqual(a);
  });
  expect(screen.getByText("2 of 3 runs")).toBeTruthy();
});

it("says why it failed, and tries again", async () => {
  let isBroken = true;
  open({}, () => {
    if (isBroken) throw Object.assign(new Error("The database is busy"), { code: "busy" });
    return answer();
  });
  expect((await screen.findByRole("alert")).textContent).toContain("The database is busy");
  isBroken = false;
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByRole("slider")).toBeTruthy();
});
