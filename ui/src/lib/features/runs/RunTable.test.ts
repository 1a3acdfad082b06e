import { fireEvent, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { createRawSnippet } from "svelte";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { CommandFailure } from "$lib/host";
import type { Answers } from "$lib/host/memory";
import type { Args, Result } from "$lib/host";
import { draw, runRow } from "$lib/testing";

import RunTable from "./RunTable.svelte";
import type { RunsView } from "./view";

const VIEW: RunsView = { filter: "", order: [], shown: [], hidden: [], isTrash: false };
const empty = createRawSnippet(() => ({ render: () => "<p>Nothing logged yet</p>" }));

/** A table of `total` runs with one metric and one parameter. */
function answers(total: () => number, more: Answers = {}): Answers {
  return {
    "runs.columns": () => ({ metrics: ["auc"], params: ["lr"], tags: [] }),
    "runs.page": ({ offset, limit, columns }): Result<"runs.page"> => ({
      total: total(),
      unfiltered_total: total(),
      offset,
      rows: Array.from({ length: Math.max(0, Math.min(limit, total() - offset)) }, (_, place) =>
        runRow(total() - offset - place, {
          cells: columns.map((column) =>
            column.kind === "metric" ? { special: "NaN" as const } : "0.01",
          ),
        }),
      ),
    }),
    ...more,
  };
}

function drawTable(given: Answers, view: Partial<RunsView> = {}) {
  const onview = vi.fn();
  const onopen = vi.fn();
  const onagain = vi.fn();
  const oncompare = vi.fn();
  const props = {
    experimentIds: ["1"],
    view: { ...VIEW, ...view },
    onview,
    onopen,
    onagain,
    oncompare,
    empty,
  };
  return { ...draw(RunTable, props, given), props, onview, onopen };
}

const changed = {
  type: "changed" as const,
  experiments: false,
  runs_in: ["1"],
  runs: [],
  models: false,
  everything: false,
};

beforeEach(() => {
  // jsdom lays nothing out: a view of ten rows and some columns.
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(48 + 280);
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(1200);
});

describe("the run table", () => {
  it("draws what is in sight and says how much there is", async () => {
    const { host } = drawTable(answers(() => 100_000));
    const grid = await screen.findByRole("grid");
    expect(grid.getAttribute("aria-rowcount")).toBe("100001");
    expect(await screen.findByText("run-100000")).toBeTruthy();
    expect(screen.getAllByRole("row").length).toBeLessThan(40);
    expect(screen.getByText("100,000 runs")).toBeTruthy();
    expect(screen.getAllByText("NaN").length).toBeGreaterThan(0);
    // The rows came with the columns that are shown, and not more rows than a slice or two.
    const asked = host.callsOf("runs.page");
    expect(asked[0]?.columns).toEqual([
      { kind: "metric", key: "auc" },
      { kind: "param", key: "lr" },
    ]);
    expect(asked.every(({ limit }) => limit <= 100)).toBe(true);
    expect(asked.length).toBeLessThanOrEqual(2);
  });

  it("gives the empty state while there are no runs, and gives way to the first one", async () => {
    let total = 0;
    const { host } = drawTable(answers(() => total));
    expect(await screen.findByText("Nothing logged yet")).toBeTruthy();
    total = 1;
    host.emit(changed);
    expect(await screen.findByText("run-1")).toBeTruthy();
    expect(screen.queryByText("Nothing logged yet")).toBeNull();
  });

  it("shows a new run at the top as it is logged, and keeps the selection", async () => {
    let total = 3;
    const { host } = drawTable(answers(() => total));
    await userEvent.click(await screen.findByLabelText("Select run-3"));
    expect(screen.getByText("1 selected")).toBeTruthy();
    total = 4;
    host.emit(changed);
    expect(await screen.findByText("run-4")).toBeTruthy();
    expect(screen.getByLabelText<HTMLInputElement>("Select run-3").checked).toBe(true);
    expect(screen.getByLabelText<HTMLInputElement>("Select run-4").checked).toBe(false);
  });

  it("marks the place of a refused filter and keeps the rows", async () => {
    const refuse = (args: Args<"runs.page">) => {
      if (args.filter === "") return answers(() => 2)["runs.page"]?.(args) as Result<"runs.page">;
      throw new CommandFailure({
        code: "invalid_filter",
        message: "metric is not a kind of field",
        hint: "Write metrics.",
        detail: null,
        span: { start: 0, end: 6 },
      });
    };
    const { rerender, props, onview } = drawTable(answers(() => 2, { "runs.page": refuse }));
    await screen.findByText("run-2");
    const field = screen.getByLabelText<HTMLInputElement>("Filter runs");
    await userEvent.type(field, "metric.auc > 1{Enter}");
    expect(onview).toHaveBeenCalledWith({ ...VIEW, filter: "metric.auc > 1" });
    await rerender({ given: { ...props, view: { ...VIEW, filter: "metric.auc > 1" } } });
    expect((await screen.findByRole("alert")).textContent).toContain(
      "metric is not a kind of field",
    );
    expect(document.querySelector("mark")?.textContent).toBe("metric");
    expect(field.getAttribute("aria-invalid")).toBe("true");
    expect(screen.getByText("run-2")).toBeTruthy();
    // The mark goes as soon as the text is another.
    await userEvent.type(field, "s");
    expect(document.querySelector("mark")).toBeNull();
  });

  it("joins an example to the filter that stands there", async () => {
    drawTable(answers(() => 2));
    await screen.findByText("run-2");
    const field = screen.getByLabelText<HTMLInputElement>("Filter runs");
    await userEvent.type(field, "metrics.a > 1 or metrics.b > 1");
    await userEvent.click(screen.getByRole("button", { name: "What a filter can say" }));
    await userEvent.click(await screen.findByText("duration > 1h30m"));
    await waitFor(() => expect(document.activeElement).toBe(field));
    expect(field.value).toBe("(metrics.a > 1 or metrics.b > 1) AND duration > 1h30m");
  });

  it("says how many match, and offers a way back from none", async () => {
    const none: Answers["runs.page"] = ({ offset }) => ({
      total: 0,
      unfiltered_total: 431,
      offset,
      rows: [],
    });
    const { onview } = drawTable(
      answers(() => 0, { "runs.page": none }),
      { filter: "params.a = 'b'" },
    );
    expect(await screen.findByText("No run matches the filter")).toBeTruthy();
    expect(screen.getByText("0 of 431")).toBeTruthy();
    // One stands in the field, one under the words.
    const clear = screen.getAllByRole("button", { name: "Clear the filter" });
    expect(clear).toHaveLength(2);
    if (clear[1]) await userEvent.click(clear[1]);
    await waitFor(() => expect(onview).toHaveBeenCalledWith({ ...VIEW, filter: "" }));
  });

  it("says why rows could not be read, and tries again", async () => {
    let isBusy = true;
    const busy: Answers["runs.page"] = (args) => {
      if (!isBusy) return answers(() => 1)["runs.page"]?.(args) as Result<"runs.page">;
      throw new CommandFailure({
        code: "busy",
        message: "The database is locked",
        hint: "Close the other program",
        detail: null,
        span: null,
      });
    };
    drawTable(answers(() => 1, { "runs.page": busy }));
    expect(await screen.findByText("The database is locked")).toBeTruthy();
    isBusy = false;
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByText("run-1")).toBeTruthy();
    expect(screen.queryByText("The database is locked")).toBeNull();
  });

  it("is worked by the keyboard alone", async () => {
    const { onopen, onview } = drawTable(answers(() => 50));
    await screen.findByText("run-50");
    const grid = screen.getByRole("grid");
    grid.focus();
    await userEvent.keyboard("{ArrowDown}{ArrowDown} ");
    expect(screen.getByLabelText<HTMLInputElement>("Select run-48").checked).toBe(true);
    expect(grid.getAttribute("aria-activedescendant")).toBe("run-cell-2-0");
    await userEvent.keyboard("{Enter}");
    expect(onopen).toHaveBeenCalledWith("48".padStart(32, "0"));
    await userEvent.keyboard("{Home}{ArrowUp}{Enter}");
    expect(onview).toHaveBeenCalledWith({
      ...VIEW,
      order: [{ column: { kind: "name" }, ascending: true }],
    });
    await userEvent.keyboard("{ArrowRight}{Shift>}{Enter}{/Shift}");
    expect(onview).toHaveBeenLastCalledWith({
      ...VIEW,
      order: [{ column: { kind: "status" }, ascending: true }],
    });
    await userEvent.keyboard("/");
    expect(document.activeElement).toBe(screen.getByLabelText("Filter runs"));
  });

  it("changes what is meant, says so, and takes it back", async () => {
    const edited: Args<"runs.edit">[] = [];
    const back = [{ run_ids: ["49".padStart(32, "0")], edit: { kind: "restore" as const } }];
    const { actions } = drawTable(
      answers(() => 50, {
        "runs.edit": (args) => {
          edited.push(args);
          return { changed: 1, undo: back };
        },
      }),
    );
    await screen.findByText("run-50");
    screen.getByRole("grid").focus();
    const press = (id: string) => actions.find(id)?.run();
    await userEvent.keyboard("{ArrowDown}");
    await press("runs.star");
    await press("runs.delete");
    await userEvent.keyboard("{ArrowDown} {ArrowDown} ");
    await press("runs.delete");
    const id = (number: number) => String(number).padStart(32, "0");
    expect(edited.map(({ edits }) => edits[0])).toEqual([
      { run_ids: [id(49)], edit: { kind: "set_tag", key: "cairn.star", value: "1" } },
      { run_ids: [id(49)], edit: { kind: "delete" } },
      { run_ids: [id(48), id(47)], edit: { kind: "delete" } },
    ]);
    expect(screen.queryByText("2 selected")).toBeNull();
    expect(await actions.history.undo()).toBe("2 runs moved to the trash");
    expect(edited.at(-1)).toEqual({ edits: back });
  });

  it("renames in place, and keeps a name that is refused", async () => {
    let isRefused = true;
    const named: unknown[] = [];
    const { actions } = drawTable(
      answers(() => 3, {
        "runs.edit": ({ edits }) => {
          if (isRefused) {
            throw new CommandFailure({
              code: "invalid_input",
              message: "A run needs a name",
              hint: null,
              detail: null,
              span: null,
            });
          }
          named.push(edits[0]);
          return { changed: 1, undo: [] };
        },
      }),
    );
    await screen.findByText("run-3");
    screen.getByRole("grid").focus();
    await actions.find("runs.rename")?.run();
    const field = await screen.findByLabelText<HTMLInputElement>("New name of run-3");
    await userEvent.clear(field);
    await userEvent.keyboard("best s{Enter}");
    expect(field.value).toBe("best s");
    isRefused = false;
    await userEvent.keyboard("{Enter}");
    await waitFor(() => expect(screen.queryByLabelText("New name of run-3")).toBeNull());
    expect(named).toEqual([
      { run_ids: ["3".padStart(32, "0")], edit: { kind: "rename", name: "best s" } },
    ]);
    expect(document.activeElement).toBe(screen.getByRole("grid"));
  });

  it("shows the trash, where runs can only be restored", async () => {
    const asked: boolean[] = [];
    const { actions, onview } = drawTable(
      answers(() => 2, {
        "runs.page": (request) => {
          asked.push(request.deleted);
          return { total: 0, unfiltered_total: 0, offset: 0, rows: [] };
        },
      }),
      { isTrash: true },
    );
    await screen.findByText("The trash is empty");
    expect(asked.every((deleted) => deleted)).toBe(true);
    expect(actions.find("runs.star")?.isEnabled?.()).toBe(false);
    await actions.find("runs.trash")?.run();
    expect(onview).toHaveBeenCalledWith(VIEW);
  });

  it("says which column decides first, and adds one to them with Shift", async () => {
    const auc = { column: { kind: "metric" as const, key: "auc" }, ascending: false };
    const lr = { column: { kind: "param" as const, key: "lr" }, ascending: true };
    const { onview } = drawTable(
      answers(() => 3),
      { order: [auc, lr] },
    );
    await screen.findByText("run-3");
    expect(screen.getByRole("columnheader", { name: "lr" }).textContent).toMatch(/2\s*$/);
    const name = screen.getByRole("button", { name: "Run" });
    await userEvent.click(name);
    expect(onview).toHaveBeenLastCalledWith({
      ...VIEW,
      order: [{ column: { kind: "name" }, ascending: true }],
    });
    await fireEvent.click(name, { shiftKey: true });
    expect(onview).toHaveBeenLastCalledWith({
      ...VIEW,
      order: [auc, lr, { column: { kind: "name" }, ascending: true }],
    });
  });

  it("says which column orders it", async () => {
    drawTable(
      answers(() => 3),
      { order: [{ column: { kind: "metric", key: "auc" }, ascending: false }] },
    );
    await screen.findByText("run-3");
    const head = screen.getByRole("columnheader", { name: "auc" });
    expect(head.getAttribute("aria-sort")).toBe("descending");
    expect(screen.getByRole("columnheader", { name: "Run" }).getAttribute("aria-sort")).toBe(
      "none",
    );
  });
});
