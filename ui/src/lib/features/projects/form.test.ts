import { describe, expect, it } from "vitest";

import type { ProjectEntryPoint } from "$lib/rpc/bindings/ProjectEntryPoint";
import type { RunDraft } from "$lib/rpc/bindings/RunDraft";

import {
  draftOf,
  type Field,
  formOf,
  listOf,
  NEW_SWEEP,
  problemOf,
  problemsOf,
  sweepOf,
  variationProblem,
} from "./form";

const ENTRY: ProjectEntryPoint = {
  name: "main",
  command: "python train.py {alpha} {data}",
  parameters: [
    { name: "alpha", kind: "float", default: "0.5" },
    { name: "data", kind: "path", default: null },
    { name: "source", kind: "uri", default: "https://example.org/data" },
  ],
  is_script: false,
};
const BASE: RunDraft = {
  uri: "/home/ada/churn",
  version: null,
  entry_point: "main",
  params: [],
  experiment: null,
  run_name: null,
  env_manager: null,
  at_once: false,
  rerun_of: null,
};

describe("values", () => {
  it.each([
    ["float", "0.5", null, undefined],
    ["float", "1e-3", null, undefined],
    ["float", "-inf", null, undefined],
    ["float", "0,5", null, "“0,5” is not a number"],
    ["float", "abc", null, "“abc” is not a number"],
    ["float", "", "0.5", undefined],
    ["float", "", null, "A value is needed"],
    ["uri", "s3://bucket/x", null, undefined],
    ["uri", "notauri", null, "An address with a scheme is needed, such as https://… or file:///…"],
    ["string", "$(rm -rf /)", null, undefined],
    ["whatever", "x", null, undefined],
  ])("%s %o with default %o: %o", (kind, text, fallback, expected) => {
    expect(problemOf({ kind, default: fallback }, text)).toBe(expected);
  });
});

describe("the form of an entry point", () => {
  it("shows defaults, and asks only for what differs from them", () => {
    const form = formOf(ENTRY);
    expect(form.fields.map((field) => field.text)).toEqual(["0.5", "", "https://example.org/data"]);
    expect(problemsOf(form, undefined)).toEqual(new Map([["data", "A value is needed"]]));
    (form.fields[1] as Field).text = "data.csv";
    expect(problemsOf(form, undefined).size).toBe(0);
    expect(draftOf(BASE, form, false).params).toEqual([{ key: "data", value: "data.csv" }]);
  });

  it("is filled with what an earlier run had, undeclared parameters too", () => {
    const form = formOf(ENTRY, [
      { key: "alpha", value: "0.1" },
      { key: "verbose", value: "1" },
    ]);
    expect(form.fields[0]?.text).toBe("0.1");
    expect(form.extra).toEqual([{ name: "verbose", text: "1" }]);
    expect(draftOf(BASE, form, false).params).toEqual([
      { key: "alpha", value: "0.1" },
      { key: "verbose", value: "1" },
    ]);
  });

  it("gives every value of a run that is repeated, not only what was changed", () => {
    const form = formOf(ENTRY, [{ key: "data", value: "x" }]);
    expect(draftOf({ ...BASE, rerun_of: "r" }, form, false).params.map(({ key }) => key)).toEqual([
      "alpha",
      "data",
      "source",
    ]);
  });

  it("refuses a parameter that is named twice, or not at all", () => {
    const form = formOf(ENTRY, [{ key: "data", value: "x" }]);
    form.extra = [
      { name: "alpha", text: "1" },
      { name: "", text: "2" },
      { name: "", text: "" },
    ];
    expect([...problemsOf(form, undefined)]).toEqual([
      ["extra 0", "alpha is there already"],
      ["extra 1", "A name is needed"],
    ]);
  });
});

describe("several values", () => {
  const vary = (change: Partial<Field>) => {
    const form = formOf(ENTRY, [{ key: "data", value: "x" }]);
    Object.assign(form.fields[0] as Field, change);
    return form;
  };

  it("are read from a list with commas", () => {
    expect(listOf(" 0.1, 0.2 ,,0.5,")).toEqual(["0.1", "0.2", "0.5"]);
  });

  it.each<[Partial<Field>, "grid" | "random" | "tpe", string | undefined]>([
    [{ variation: "list", list: "0.1, 0.2" }, "grid", undefined],
    [{ variation: "list", list: "" }, "grid", "Give values with commas between them"],
    [{ variation: "list", list: "0.1, x" }, "grid", "“x” is not a number"],
    [{ variation: "range", low: "0", high: "1", isWhole: false }, "random", undefined],
    [
      { variation: "range", low: "0", high: "1", isWhole: false },
      "grid",
      "A grid needs a list, or a range of whole numbers",
    ],
    [{ variation: "range", low: "1", high: "9", isWhole: true }, "grid", undefined],
    [{ variation: "range", low: "", high: "1" }, "tpe", "Give the smallest and the largest"],
    [{ variation: "range", low: "2", high: "1" }, "tpe", "The largest must be above the smallest"],
    [
      { variation: "range", low: "0", high: "1", isLog: true },
      "tpe",
      "Steps by factors need numbers above 0",
    ],
  ])("%o by %s: %s", (change, method, expected) => {
    expect(variationProblem(vary(change).fields[0] as Field, method)).toBe(expected);
  });

  it("are asked for beside what stays", () => {
    const form = vary({ variation: "list", list: "0.1, 0.2" });
    expect(draftOf(BASE, form, true).params).toEqual([{ key: "data", value: "x" }]);
    expect(sweepOf(form, { ...NEW_SWEEP, trials: "9" })).toMatchObject({
      method: "grid",
      trials: 9,
      params: [{ name: "alpha", values: { kind: "choice", values: ["0.1", "0.2"] } }],
    });
  });

  it("need something that varies, and a goal where the method learns from it", () => {
    const form = formOf(ENTRY, [{ key: "data", value: "x" }]);
    const problems = problemsOf(form, { ...NEW_SWEEP, method: "tpe", trials: "0" });
    expect([...problems.keys()]).toEqual(["sweep", "metric", "trials"]);
  });
});
