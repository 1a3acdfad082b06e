import { screen, within } from "@testing-library/svelte";
import { userEvent } from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import type { LaunchView } from "$lib/rpc/bindings/LaunchView";
import type { QueueView } from "$lib/rpc/bindings/QueueView";
import { draw } from "$lib/testing";

import QueuePage from "./QueuePage.svelte";
import { movedBefore } from "./stage";

function launch(id: string, more: Partial<LaunchView> = {}): LaunchView {
  return {
    launch_id: id,
    title: `churn: ${id}`,
    kind: "project",
    created: Date.now(),
    started: Date.now() - 5_000,
    ended: null,
    stage: { state: "running" },
    step: null,
    run: null,
    run_id: null,
    project: "/home/ada/churn",
    parent_run_id: null,
    other_store: null,
    counts: true,
    ...more,
  };
}

const waiting = (id: string, position: number) =>
  launch(id, { started: null, stage: { state: "queued", position } });

function open(view: Partial<QueueView>) {
  const queue: QueueView = {
    limit: 2,
    is_paused: false,
    active: [],
    waiting: [],
    ended: [],
    more_ended: 0,
    ...view,
  };
  const onagain = vi.fn();
  const onresume = vi.fn();
  const page = draw(
    QueuePage,
    { onagain, onresume },
    {
      "queue.get": () => queue,
      "queue.set_limit": ({ limit }) => ({ ...queue, limit }),
      "queue.set_paused": ({ paused }) => ({ ...queue, is_paused: paused }),
      "launch.move": () => queue,
      "launch.stop": () => queue,
      "launch.remove": () => queue,
      "launch.again": () => launch("new"),
    },
  );
  return { ...page, onagain, onresume };
}

describe("queue", () => {
  it("says where launches will stand while there are none", async () => {
    open({});
    expect(await screen.findByText("Nothing runs, nothing waits")).toBeTruthy();
  });

  it("goes on with a pipeline or sweep that failed or was stopped, and with nothing else", async () => {
    const ended = (
      id: string,
      more: Partial<LaunchView>,
      status: "FAILED" | "KILLED" | "FINISHED",
    ) =>
      launch(id, {
        stage: { state: "ended", status, cause: "Ended", hint: null },
        run: { run_id: `run-${id}`, experiment_id: "0", name: id, status },
        ended: Date.now(),
        ...more,
      });
    const goesOn = {
      kind: "sweep" as const,
      run: {
        run_id: "run-e",
        experiment_id: "0",
        name: "e",
        status: "RUNNING" as const,
      },
    };
    const { onresume } = open({
      ended: [
        ended("a", { kind: "pipeline" }, "FAILED"),
        ended("b", { kind: "sweep" }, "KILLED"),
        ended("c", { kind: "pipeline" }, "FINISHED"),
        ended("d", {}, "FAILED"),
        ended("e", goesOn, "KILLED"),
      ],
    });
    const buttons = await screen.findAllByRole("button", { name: /^Resume / });
    expect(buttons.map((button) => button.getAttribute("aria-label"))).toEqual([
      "Resume a",
      "Resume b",
    ]);
    await userEvent.click(buttons[0] as HTMLElement);
    expect(onresume).toHaveBeenCalledWith("run-a");
  });

  it("says a stopped launch in one word", async () => {
    open({
      ended: [
        launch("a", {
          stage: { state: "ended", status: "KILLED", cause: "Stopped", hint: null },
          ended: Date.now(),
        }),
      ],
    });
    const row = (await screen.findByText("Stopped")).closest("tr") as HTMLElement;
    expect(row.querySelector("[title]:not(time)")).toBeNull();
    expect(row.textContent).not.toContain("Killed");
  });

  it("stops what runs, and takes out what waits", async () => {
    const { host } = open({ active: [launch("a")], waiting: [waiting("b", 1)] });
    await userEvent.click(await screen.findByRole("button", { name: "Stop churn: a" }));
    await userEvent.click(screen.getByRole("button", { name: "Take out churn: b" }));
    expect(host.callsOf("launch.stop")).toEqual([{ launch_id: "a" }]);
    expect(host.callsOf("launch.remove")).toEqual([{ launch_id: "b" }]);
  });

  it("is put in another order by the arrow keys", async () => {
    const { host } = open({ waiting: [waiting("a", 1), waiting("b", 2), waiting("c", 3)] });
    (await screen.findByRole("button", { name: /Move churn: b/ })).focus();
    await userEvent.keyboard("{ArrowUp}");
    (await screen.findByRole("button", { name: /Move churn: b/ })).focus();
    await userEvent.keyboard("{ArrowDown}");
    expect(host.callsOf("launch.move")).toEqual([
      { launch_id: "b", before: "a" },
      { launch_id: "b", before: null },
    ]);
  });

  it("is paused by a key, and its limit is a number of at least one", async () => {
    const { host } = open({});
    const limit = await screen.findByLabelText("Runs at a time");
    await userEvent.keyboard("p");
    expect(host.callsOf("queue.set_paused")).toEqual([{ paused: true }]);
    expect(await screen.findByText(/Paused:/)).toBeTruthy();
    await userEvent.clear(limit);
    await userEvent.type(limit, "0{tab}");
    expect(host.callsOf("queue.set_limit")).toEqual([]);
    await userEvent.clear(limit);
    await userEvent.type(limit, "3{tab}");
    expect(host.callsOf("queue.set_limit")).toEqual([{ limit: 3 }]);
  });

  it("says why something failed, and runs it again by its run where it has one", async () => {
    const failed = {
      state: "ended",
      status: "FAILED",
      cause: "Ended with exit code 3",
      hint: null,
    } as const;
    const run = { run_id: "r", experiment_id: "1", name: "calm-otter", status: "FAILED" } as const;
    const { host, onagain } = open({
      ended: [
        launch("a", { stage: failed, run, ended: Date.now() }),
        launch("b", { stage: failed, ended: Date.now() }),
      ],
    });
    const row = (await screen.findByRole("link", { name: "calm-otter" })).closest("tr");
    expect(within(row as HTMLElement).getByText("Ended with exit code 3")).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Run again calm-otter" }));
    await userEvent.click(screen.getByRole("button", { name: "Run again churn: b" }));
    expect(onagain).toHaveBeenCalledExactlyOnceWith("r");
    expect(host.callsOf("launch.again")).toEqual([{ launch_id: "b" }]);
  });
});

describe("a place in the queue", () => {
  const three = [waiting("a", 1), waiting("b", 2), waiting("c", 3)];
  it.each([
    ["a", 1, { before: "c" }],
    ["a", 2, { before: null }],
    ["c", -2, { before: "a" }],
    ["a", -1, undefined],
    ["c", 1, undefined],
    ["z", 1, undefined],
  ])("of %s moved by %i is before %o", (id, step, expected) => {
    expect(movedBefore(three, id, step)).toEqual(expected);
  });
});
