/** The form of an entry point: what stands in its fields, what is wrong with it, and what it asks for. */
import type { KeyValue } from "$lib/rpc/bindings/KeyValue";
import type { ProjectEntryPoint } from "$lib/rpc/bindings/ProjectEntryPoint";
import type { ProjectParameter } from "$lib/rpc/bindings/ProjectParameter";
import type { RunDraft } from "$lib/rpc/bindings/RunDraft";
import type { SweepDraft } from "$lib/rpc/bindings/SweepDraft";
import type { SweepMethod } from "$lib/rpc/bindings/SweepMethod";
import type { SweepParam } from "$lib/rpc/bindings/SweepParam";

/** How a parameter of a sweep varies; `one` does not. */
export type Variation = "one" | "list" | "range";

export interface Field {
  readonly name: string;
  readonly kind: string;
  /** What the project takes when nothing is given; `null` if something must be. */
  readonly default: string | null;
  /** Whether the project does not declare it. */
  readonly isExtra: boolean;
  text: string;
  variation: Variation;
  /** `0.1, 0.2`. */
  list: string;
  low: string;
  high: string;
  isWhole: boolean;
  isLog: boolean;
}

export interface Form {
  fields: Field[];
  /** Parameters that the project does not declare. */
  extra: { name: string; text: string }[];
  experiment: string;
  runName: string;
  atOnce: boolean;
}

export interface SweepForm {
  method: SweepMethod;
  metric: string;
  maximize: boolean;
  trials: string;
  parallel: string;
  prune: boolean;
}

export const NEW_SWEEP: SweepForm = {
  method: "grid",
  metric: "",
  maximize: false,
  trials: "20",
  parallel: "2",
  prune: false,
};

/** The form of an entry point as it is opened, filled with what is given already. */
export function formOf(entry: ProjectEntryPoint, given: readonly KeyValue[] = []): Form {
  const values = new Map(given.map((param) => [param.key, param.value]));
  const declared = new Set(entry.parameters.map((parameter) => parameter.name));
  return {
    fields: entry.parameters.map((parameter) => fieldOf(parameter, values.get(parameter.name))),
    extra: given
      .filter((param) => !declared.has(param.key))
      .map((param) => ({ name: param.key, text: param.value })),
    experiment: "",
    runName: "",
    atOnce: false,
  };
}

function fieldOf(parameter: ProjectParameter, given: string | undefined): Field {
  const text = given ?? parameter.default ?? "";
  return {
    name: parameter.name,
    kind: parameter.kind,
    default: parameter.default,
    isExtra: false,
    text,
    variation: "one",
    list: text,
    low: "",
    high: "",
    isWhole: /^-?\d+$/.test(text),
    isLog: false,
  };
}

const SCHEME = /^[a-z][a-z0-9+.-]*:/i;
const FLOAT = /^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?|nan)$/i;

/** Why a value cannot be what its type says; `undefined` if it can. What needs the disk is not asked here. */
export function problemOf(
  field: Pick<Field, "kind" | "default">,
  text: string,
): string | undefined {
  if (text === "") return field.default === null ? "A value is needed" : undefined;
  if (field.kind === "float" && !FLOAT.test(text.trim())) return `“${text}” is not a number`;
  if (field.kind === "uri" && !SCHEME.test(text)) {
    return "An address with a scheme is needed, such as https://… or file:///…";
  }
  return undefined;
}

/** The values of a list as it is typed: `0.1, 0.2`. */
export function listOf(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** Why a parameter cannot vary like that. */
export function variationProblem(field: Field, method: SweepMethod): string | undefined {
  if (field.variation === "one") return problemOf(field, field.text);
  if (field.variation === "list") {
    const values = listOf(field.list);
    if (values.length === 0) return "Give values with commas between them";
    return values.map((value) => problemOf(field, value)).find((problem) => problem !== undefined);
  }
  const [low, high] = [Number(field.low), Number(field.high)];
  if (field.low.trim() === "" || field.high.trim() === "")
    return "Give the smallest and the largest";
  if (!Number.isFinite(low) || !Number.isFinite(high)) return "Both ends must be numbers";
  if (low >= high) return "The largest must be above the smallest";
  if (field.isLog && low <= 0) return "Steps by factors need numbers above 0";
  if (method === "grid" && !field.isWhole) {
    return "A grid needs a list, or a range of whole numbers";
  }
  return undefined;
}

/**
 * What is asked for. A value that is the default is not given, so that a changed default counts; of a
 * run that is repeated every value is given, because the defaults in its form are what it had.
 */
export function draftOf(base: RunDraft, form: Form, isSweep: boolean): RunDraft {
  const params: KeyValue[] = [];
  for (const field of form.fields) {
    const varies = isSweep && field.variation !== "one";
    const isGiven = base.rerun_of !== null || field.text !== field.default;
    if (!varies && field.text !== "" && isGiven) {
      params.push({ key: field.name, value: field.text });
    }
  }
  for (const { name, text } of form.extra) {
    if (name.trim() !== "") params.push({ key: name.trim(), value: text });
  }
  return {
    ...base,
    params,
    experiment: form.experiment.trim() || null,
    run_name: form.runName.trim() || null,
    at_once: form.atOnce,
  };
}

/** What varies. */
export function sweepOf(form: Form, sweep: SweepForm): SweepDraft {
  const params: SweepParam[] = form.fields
    .filter((field) => field.variation !== "one")
    .map((field) => ({
      name: field.name,
      values:
        field.variation === "list"
          ? { kind: "choice", values: listOf(field.list) }
          : {
              kind: "range",
              low: Number(field.low),
              high: Number(field.high),
              is_whole: field.isWhole,
              is_log: field.isLog,
            },
    }));
  return {
    method: sweep.method,
    params,
    metric: sweep.metric.trim() || null,
    maximize: sweep.maximize,
    trials: wholeNumber(sweep.trials) ?? 1,
    parallel: wholeNumber(sweep.parallel) ?? 1,
    prune: sweep.prune,
  };
}

/** A whole number of at least 1; `undefined` for anything else. */
export function wholeNumber(text: string): number | undefined {
  const number = Number(text);
  return Number.isInteger(number) && number >= 1 ? number : undefined;
}

/** What is wrong with the form, by the name of the field; empty if it can be asked for. */
export function problemsOf(form: Form, sweep: SweepForm | undefined): Map<string, string> {
  const problems = new Map<string, string>();
  for (const field of form.fields) {
    const problem =
      sweep === undefined ? problemOf(field, field.text) : variationProblem(field, sweep.method);
    if (problem !== undefined) problems.set(field.name, problem);
  }
  const names = new Set(form.fields.map((field) => field.name));
  for (const [index, { name, text }] of form.extra.entries()) {
    const trimmed = name.trim();
    if (trimmed === "" && text !== "") problems.set(`extra ${String(index)}`, "A name is needed");
    else if (trimmed !== "" && names.has(trimmed)) {
      problems.set(`extra ${String(index)}`, `${trimmed} is there already`);
    }
    names.add(trimmed);
  }
  if (sweep !== undefined) {
    if (form.fields.every((field) => field.variation === "one")) {
      problems.set("sweep", "Choose a list or a range for at least one parameter");
    }
    if (sweep.metric.trim() === "" && (sweep.method === "tpe" || sweep.prune)) {
      problems.set("metric", "The metric that tells which run is best is needed");
    }
    if (sweep.method !== "grid" && wholeNumber(sweep.trials) === undefined) {
      problems.set("trials", "At least 1");
    }
    if (wholeNumber(sweep.parallel) === undefined) problems.set("parallel", "At least 1");
  }
  return problems;
}
