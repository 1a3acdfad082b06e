import { screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";

import type { CompareRow } from "$lib/rpc/bindings/CompareRow";
import type { Comparison } from "$lib/rpc/bindings/Comparison";
import { draw } from "$lib/testing";

import ComparePage from "./ComparePage.svelte";
import { groupsOf, sections } from "./sections";
import { PLAIN_CHARTS, readCompare, writeCompare, type CompareView } from "./view";

const ids = ["a", "b", "c"].map((letter) => letter.repeat(32));

function row(more: Partial<CompareRow>): CompareRow {
  return { section: "params", key: "lr", cells: [], deltas: [], differs: true, ...more };
}

const ROWS = [
  row({
    section: "metrics",
    key: "auc",
    cells: [0.5, 0.75, { special: "NaN" }],
    deltas: [0, 0.25, null],
  }),
  row({ key: "depth", cells: ["3", "3", "3"], deltas: [0, 0, 0], differs: false }),
  row({ key: "optimizer", cells: ["adam", null, "sgd"] }),
];

function open(view: Partial<CompareView> = {}, missing: string[] = []) {
  const comparison: Comparison = {
    runs: ids.map((run_id, place) => ({
      run_id,
      name: `run-${String(place)}`,
      experiment_id: "1",
      experiment_name: "churn",
      status: "FINISHED",
      deleted: false,
    })),
    missing,
    rows: ROWS,
  };
  const onview = vi.fn();
  const given: CompareView = {
    runIds: ids,
    tab: "values",
    search: "",
    isAll: false,
    charts: PLAIN_CHARTS,
    ...view,
  };
  return {
    onview,
    given,
    ...draw(ComparePage, { view: given, onview }, { "runs.compare": () => comparison }),
  };
}

it("keeps a comparison in the address", () => {
  const view: CompareView = {
    runIds: ids,
    tab: "charts",
    search: "a&b",
    isAll: true,
    charts: {
      search: "/^val/",
      xKind: "relative",
      smoothing: { kind: "time_ema", weight: 0.9 },
      isLog: true,
      ignoresOutliers: true,
      zoom: { from: -0.5, to: 1e6 },
      groupedBy: "model/lr",
      band: "ci95",
      hidden: ids.slice(1),
    },
  };
  const read = (address: string) => readCompare(new URL(address, "http://x").searchParams);
  expect(read(writeCompare(view))).toEqual(view);
  const plain = read("/compare");
  expect(plain.charts).toEqual(PLAIN_CHARTS);
  expect(writeCompare(plain)).toBe("/compare");
});

it("takes from an address only what can be drawn", () => {
  const charts = (text: string) => readCompare(new URLSearchParams(text)).charts;
  expect(charts("smooth=ema:7").smoothing).toEqual({ kind: "ema", weight: 0.99 });
  expect(charts("smooth=mean:4.6").smoothing).toEqual({ kind: "mean", window: 5 });
  expect(charts("smooth=gaussian").smoothing).toEqual({ kind: "gaussian", sigma: 2 });
  expect(charts("smooth=magic:1&x=sideways&from=2&to=1&band=wide")).toEqual(PLAIN_CHARTS);
});

it("finds rows by words in keys and in texts, and counts those that are the same", () => {
  const found = (search: string, isAll = false) =>
    sections(ROWS, search, isAll).map(({ name, rows, same }) => [
      name,
      rows.map((one) => one.key),
      same,
    ]);
  expect(found("")).toEqual([
    ["Metrics", ["auc"], 0],
    ["Parameters", ["optimizer"], 1],
  ]);
  expect(found("", true)[1]).toEqual(["Parameters", ["depth", "optimizer"], 0]);
  expect(found("SGD opt")).toEqual([["Parameters", ["optimizer"], 0]]);
});

it("knows the groups that the values of a parameter make", () => {
  expect(groupsOf(ROWS, "optimizer")).toEqual([
    { id: '["adam"]', name: "adam" },
    { id: "[null]", name: "none" },
    { id: '["sgd"]', name: "sgd" },
  ]);
  expect(groupsOf(ROWS, "depth")).toEqual([{ id: '["3"]', name: "3" }]);
  // A metric of that name is no parameter.
  expect(groupsOf(ROWS, "auc")).toEqual([]);
});

it("shows what differs, and by how much from the first run", async () => {
  open();
  const auc = within(await screen.findByRole("row", { name: /^auc/ }));
  expect(
    auc.getAllByRole("cell").map((cell) => cell.textContent.trim().replace(/\s+/g, " ")),
  ).toEqual(["0.5000", "0.7500 +0.250", "NaN"]);
  expect(screen.queryByRole("row", { name: /^depth/ })).toBeNull();
  expect(screen.getByText("(1 the same)")).toBeTruthy();
});

it("takes another run to compare with, and leaves runs out", async () => {
  const { onview, given } = open();
  await userEvent.click(
    await screen.findByRole("button", { name: "Compare the others with run-2" }),
  );
  expect(onview).toHaveBeenLastCalledWith({ ...given, runIds: [ids[2], ids[0], ids[1]] });
  await userEvent.click(screen.getByRole("button", { name: "Leave run-0 out" }));
  expect(onview).toHaveBeenLastCalledWith({ ...given, runIds: [ids[1], ids[2]] });
});

it("says what is not there any more, and what to do where there is nothing", async () => {
  open({}, ["f".repeat(32)]);
  expect(await screen.findByText("One run is not in this store any more.")).toBeTruthy();
});

it("says how runs come here", async () => {
  open({ runIds: [] });
  expect(await screen.findByText("Nothing to compare")).toBeTruthy();
});
