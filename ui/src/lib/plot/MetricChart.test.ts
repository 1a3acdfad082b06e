import { screen, waitFor } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { tick } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";
import type { Number as WireNumber } from "$lib/rpc/bindings/Number";
import type { Series } from "$lib/rpc/bindings/Series";
import type { SeriesRequest } from "$lib/rpc/bindings/SeriesRequest";
import type { Answers } from "$lib/host/memory";
import { draw } from "$lib/testing";

import MetricChart from "./MetricChart.svelte";
import type { Drawing } from "./points";

/** What the canvas was told, as jsdom has none. */
const canvas = vi.hoisted(() => ({ made: 0, drawings: [] as unknown[], zooms: [] as unknown[] }));

vi.mock("./line", () => ({
  loadPlot: () => Promise.resolve(undefined),
  LinePlot: class {
    constructor(_plot: unknown, _element: unknown, drawing: unknown) {
      canvas.made += 1;
      canvas.drawings.push(drawing);
    }
    setDrawing(drawing: unknown) {
      canvas.drawings.push(drawing);
    }
    setZoom(zoom: unknown) {
      canvas.zooms.push(zoom);
    }
    setColors() {}
    setSize() {}
    setPoint() {}
    destroy() {}
  },
}));

const lastDrawing = () => canvas.drawings.at(-1) as Drawing | undefined;

/** Points of one metric that answers by cursor. */
function program(logged: [step: number, value: WireNumber][]) {
  return {
    "series.get": (request: SeriesRequest): Series => {
      const rows = logged.slice(Number(request.after ?? 0));
      return {
        steps: rows.map(([step]) => step),
        timestamps: rows.map(([step]) => 1_000 * step),
        values: rows.map(([, value]) => value),
        total_points: logged.length,
        is_reduced: false,
        cursor: logged.length === 0 ? null : String(logged.length),
        restarted: false,
      };
    },
  };
}

function metricsChanged(runId: string): LiveEvent {
  return {
    type: "changed",
    experiments: false,
    runs_in: ["1"],
    runs: [{ run_id: runId, facts: false, metrics: true, artifacts: false }],
    models: false,
    everything: false,
  };
}

function open(answers: Answers) {
  return draw(MetricChart, { runId: "r", metricKey: "loss", syncKey: "r" }, answers);
}

beforeEach(() => {
  canvas.made = 0;
  canvas.drawings.length = 0;
  canvas.zooms.length = 0;
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(private readonly tell: ResizeObserverCallback) {}
      observe() {
        const entry = { contentRect: { width: 400 } } as ResizeObserverEntry;
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

describe("chart of a metric", () => {
  it("asks for its width and draws the answer", async () => {
    const { host } = open(
      program([
        [0, 1],
        [1, 0.5],
      ]),
    );
    await screen.findByRole("slider", { name: "loss by step" });
    await waitFor(() => {
      expect(lastDrawing()?.y).toEqual([1, 0.5]);
    });
    expect(host.callsOf("series.get")).toEqual([
      { run_id: "r", metric_key: "loss", width_px: 400, after: null },
    ]);
  });

  it("appends what the run logs, and asks for nothing when another run logs", async () => {
    const logged: [number, WireNumber][] = [[0, 1]];
    const { host } = open(program(logged));
    await screen.findByText("step 0");
    logged.push([1, 2]);
    host.emit(metricsChanged("another"));
    host.emit(metricsChanged("r"));
    await screen.findByText("step 1");
    expect(host.callsOf("series.get").map((call) => call.after)).toEqual([null, "1"]);
    await waitFor(() => {
      expect(lastDrawing()?.y).toEqual([1, 2]);
    });
    expect(canvas.made).toBe(1);
  });

  it("catches up when the program can be reached again", async () => {
    const logged: [number, WireNumber][] = [[0, 1]];
    const { host } = open(program(logged));
    await screen.findByText("step 0");
    host.connection("disconnected");
    logged.push([7, 2]);
    await tick();
    host.connection("connected");
    expect(await screen.findByText("step 7")).toBeTruthy();
  });

  it("catches up when events were lost", async () => {
    const logged: [number, WireNumber][] = [[0, 1]];
    const { host } = open(program(logged));
    await screen.findByText("step 0");
    logged.push([7, 2]);
    host.emit({ type: "resync" });
    expect(await screen.findByText("step 7")).toBeTruthy();
  });

  it("says each point while the keys walk over them", async () => {
    open(
      program([
        [0, 1],
        [10, { special: "NaN" }],
        [20, 0.123456789],
      ]),
    );
    const slider = await screen.findByRole("slider");
    expect(slider.getAttribute("aria-valuetext")).toBe("step 20: 0.123456789");
    slider.focus();
    await userEvent.keyboard("{ArrowLeft}{ArrowLeft}");
    expect(slider.getAttribute("aria-valuetext")).toBe("step 10: NaN");
    await userEvent.keyboard("{Home}");
    expect(slider.getAttribute("aria-valuetext")).toBe("step 0: 1");
    await userEvent.keyboard("{End}");
    expect(slider.getAttribute("aria-valuenow")).toBe("2");
  });

  it("zooms by keys, asks for the points of that stretch, and shows the whole again", async () => {
    const { host } = open(
      program([
        [0, 1],
        [50, 2],
        [100, 3],
      ]),
    );
    const slider = await screen.findByRole("slider");
    slider.focus();
    await userEvent.keyboard("{Home}{+}");
    await waitFor(() => {
      expect(canvas.zooms.at(-1)).toEqual({ from: 0, to: 25 });
    });
    // Nothing was left out, so there is nothing more to ask for.
    expect(host.callsOf("series.get")).toHaveLength(1);
    await userEvent.click(screen.getByRole("button", { name: "Show the whole axis" }));
    await waitFor(() => {
      expect(canvas.zooms.at(-1)).toBeNull();
    });
  });

  it("has a table behind it, newest first, that says what it leaves out", async () => {
    open(program(Array.from({ length: 500 }, (_, step) => [step, step / 2])));
    await userEvent.click(await screen.findByRole("button", { name: "Show loss as a table" }));
    const rows = screen.getAllByRole("row");
    expect(rows).toHaveLength(201);
    expect(rows[1]?.textContent).toContain("249.5");
    expect(screen.getByText("300 more points are not listed")).toBeTruthy();
  });

  it("says why it failed, and tries again", async () => {
    const answers = program([[0, 1]]);
    let isBroken = true;
    open({
      "series.get": (request) => {
        if (isBroken) throw Object.assign(new Error("The database is busy"), { code: "busy" });
        return answers["series.get"](request);
      },
    });
    expect((await screen.findByRole("alert")).textContent).toContain("The database is busy");
    isBroken = false;
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByRole("slider")).toBeTruthy();
  });

  it("says when no point is left", async () => {
    open(program([]));
    expect(await screen.findByText("No points are left in this metric")).toBeTruthy();
  });
});
