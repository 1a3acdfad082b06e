import type { LiveEvent } from "$lib/rpc/bindings/LiveEvent";

/** What makes answers old: data of the store, launches, logs, projects; or events that were lost. */
export type Cause = Extract<
  LiveEvent,
  { type: "changed" | "resync" | "queue" | "log" | "projects" }
>;

/** Answers that no change of the store's data makes old. */
const NOT_OF_THE_DATA = new Set([
  "app.info",
  "settings.get",
  "store.status",
  "jobs.list",
  "log.lines",
  "log.find",
  "project.plan",
  "sweep.plan",
]);

/** Answers that a launch that moves on makes old. */
const OF_LAUNCHES = new Set([
  "queue.get",
  "run.origin",
  "run.parts",
  "project.get",
  "environments.list",
]);
/** Answers that a project that was added or forgotten makes old. */
const OF_PROJECTS = new Set(["projects.list", "project.get", "project.plan", "sweep.plan"]);

/**
 * Whether the answer kept under `key` is old after `change`; after lost events every answer is.
 * Keys are those of `rpc/queries`: the command's name, then what it was asked about.
 */
export function isStale(key: readonly unknown[], change: Cause): boolean {
  if (change.type === "resync") return true;
  const command = key[0];
  if (change.type === "queue") return OF_LAUNCHES.has(String(command)) || isLog(command);
  if (change.type === "projects") return OF_PROJECTS.has(String(command));
  if (change.type === "log") return isLog(command) && isLogOf(key[1], change);
  if (typeof command !== "string" || NOT_OF_THE_DATA.has(command)) return false;
  if (change.everything) return true;
  const about = key[1];
  switch (command) {
    case "experiments.list":
      return change.experiments || change.runs_in.length > 0;
    // The parts of a run are runs of the same experiment.
    case "run.parts":
    case "runs.page":
    case "runs.columns": {
      const ids = property(about, "experimentIds");
      return Array.isArray(ids) && ids.some((id) => change.runs_in.includes(String(id)));
    }
    case "runs.compare": {
      const ids = property(about, "runIds");
      return (
        change.experiments ||
        (Array.isArray(ids) && change.runs.some((run) => ids.includes(run.run_id)))
      );
    }
    case "chart.series": {
      const ids = property(about, "runIds");
      // Names and parameters are in its labels and groups.
      return (
        Array.isArray(ids) &&
        change.runs.some((run) => (run.metrics || run.facts) && ids.includes(run.run_id))
      );
    }
    case "run.get":
      // A run shows the registered versions made from it, and its experiment's name.
      return change.models || change.experiments || hasChanged(about, change, "facts", "metrics");
    case "series.get":
      return hasChanged(about, change, "metrics");
    case "artifacts.list":
    case "artifact.preview":
      return hasChanged(about, change, "artifacts");
    case "models.list":
    case "model.get":
      return change.models;
    case "projects.list":
    case "project.get":
    case "queue.get":
      // They name runs, and say how these stand.
      return change.runs.some((run) => run.facts) || change.runs_in.length > 0;
    case "run.origin":
    case "reproduction.get":
      return hasChanged(about, change, "facts", "artifacts");
    case "rerun.plan":
    case "resume.plan":
      return hasChanged(about, change, "facts");
    case "environments.list":
    case "environments.prune":
      return false;
    default:
      return true;
  }
}

function isLog(command: unknown): boolean {
  return command === "log.lines" || command === "log.find";
}

function isLogOf(log: unknown, change: Extract<Cause, { type: "log" }>): boolean {
  const id = property(log, "id");
  return id === change.launch_id || (id !== undefined && id === change.run_id);
}

function hasChanged(
  about: unknown,
  change: Extract<Cause, { type: "changed" }>,
  ...what: ("facts" | "metrics" | "artifacts")[]
): boolean {
  const runId = property(about, "runId");
  return change.runs.some((run) => run.run_id === runId && what.some((kind) => run[kind]));
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
