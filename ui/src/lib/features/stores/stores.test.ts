import { screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { CommandFailure } from "$lib/host";
import type { Job } from "$lib/rpc/bindings/Job";
import { draw, storeStatus } from "$lib/testing";

import FirstStart from "./FirstStart.svelte";
import NoStore from "./NoStore.svelte";
import Notices from "./Notices.svelte";
import OpenStore from "./OpenStore.svelte";
import StatusLine from "./StatusLine.svelte";

const { goto } = vi.hoisted(() => ({ goto: vi.fn(() => Promise.resolve()) }));
vi.mock("$app/navigation", () => ({ goto }));

const JOB: Job = {
  job_id: "j1",
  title: "Log sample runs",
  step: "Training on the wine data",
  progress: 0.42,
  state: { state: "running" },
  log: ["first line"],
};

function refusal(message: string) {
  return new CommandFailure({
    code: "cannot_open",
    message,
    hint: "Choose another folder.",
    detail: "file is not a database",
    span: null,
  });
}

describe("the first start", () => {
  it("gives the line to paste with the live port", async () => {
    const status = storeStatus({ has_runs: false });
    const { host } = draw(FirstStart, {}, { "store.status": () => status });
    expect(
      await screen.findByText('mlflow.set_tracking_uri("http://127.0.0.1:5000")'),
    ).toBeTruthy();
    host.emit({
      type: "store",
      status: {
        ...status,
        server: { state: "listening", tracking_uri: "http://127.0.0.1:5003", instead_of: 5000 },
      },
    });
    expect(
      await screen.findByText('mlflow.set_tracking_uri("http://127.0.0.1:5003")'),
    ).toBeTruthy();
  });

  it("starts the samples, shows how far they are, stops them, and says why they failed", async () => {
    const { host } = draw(
      FirstStart,
      {},
      {
        "samples.start": () => JOB,
        "job.cancel": () => ({ ...JOB, state: { state: "cancelled" } }),
      },
    );
    await userEvent.click(await screen.findByRole("button", { name: "Log sample runs" }));
    expect(await screen.findByText("Training on the wine data")).toBeTruthy();
    expect(screen.getByRole("progressbar").getAttribute("aria-valuenow")).toBe("42");
    await userEvent.click(screen.getByRole("button", { name: "Stop" }));
    expect(host.callsOf("job.cancel")).toEqual([{ job_id: "j1" }]);
    expect(await screen.findByText("Log sample runs: stopped")).toBeTruthy();
    const error = { message: "uv could not be started", hint: "Install it." };
    host.emit({ type: "job", job: { ...JOB, state: { state: "failed", error } } });
    expect(await screen.findByText("uv could not be started")).toBeTruthy();
    expect(screen.getByText("first line")).toBeTruthy();
  });

  it("keep the end of a job that was told before its start was answered", async () => {
    const error = { message: "uv could not be started", hint: "Install it." };
    const { host } = draw(
      FirstStart,
      {},
      {
        "samples.start": () => {
          host.emit({ type: "job", job: { ...JOB, state: { state: "failed", error } } });
          return JOB;
        },
      },
    );
    await userEvent.click(await screen.findByRole("button", { name: "Log sample runs" }));
    expect(await screen.findByText("uv could not be started")).toBeTruthy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(screen.queryByText("uv could not be started")).not.toBeNull();
  });

  it("says why there is no address to paste", async () => {
    const server = { state: "off" as const, reason: "All ports are taken" };
    draw(FirstStart, {}, { "store.status": () => storeStatus({ has_runs: false, server }) });
    expect(await screen.findByText("All ports are taken")).toBeTruthy();
    expect(screen.queryByText(/set_tracking_uri/)).toBeNull();
  });
});

describe("without a store", () => {
  it("says why, and tries again", async () => {
    let attempts = 0;
    const { host } = draw(
      NoStore,
      {},
      {
        "store.retry": () => {
          attempts += 1;
          if (attempts === 1) throw refusal("mlflow.db is not a database");
          return storeStatus();
        },
      },
    );
    expect(await screen.findByText("mlflow.db is not a database")).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(host.callsOf("store.retry")).toHaveLength(2);
  });
});

describe("opening a store in a browser", () => {
  it("asks for a path, keeps a refusal in the dialog, and goes to the start when it opens", async () => {
    const { actions, client } = draw(
      OpenStore,
      {},
      {
        "store.open": ({ path }) => {
          if (path === "/bad") throw refusal("/bad is not a store");
          return storeStatus({ path });
        },
      },
    );
    await vi.waitFor(() => expect(client.getQueryData(["app.info"])).toBeDefined());
    actions.find("store.open_folder")?.run();
    const field = await screen.findByLabelText(/Folder with an mlflow.db/);
    await userEvent.type(field, "/bad{Enter}");
    expect(await screen.findByText("/bad is not a store")).toBeTruthy();
    await userEvent.clear(field);
    await userEvent.type(field, "/home/ada/churn{Enter}");
    await vi.waitFor(() => expect(goto).toHaveBeenCalledWith("/"));
    expect(client.getQueryData(["store.status"])).toMatchObject({ path: "/home/ada/churn" });
  });
});

describe("notices", () => {
  it("say that the store is read only, that the port is another, and that nobody answers", async () => {
    const { host } = draw(
      Notices,
      {},
      {
        "store.status": () =>
          storeStatus({
            read_only: "The schema is newer than this Cairn.",
            server: { state: "listening", tracking_uri: "http://127.0.0.1:5001", instead_of: 5000 },
          }),
      },
    );
    expect(await screen.findByText("The schema is newer than this Cairn.")).toBeTruthy();
    expect(screen.getByText("Port 5000 is taken.")).toBeTruthy();
    host.connection("disconnected");
    expect(await screen.findByText("Cairn does not answer.")).toBeTruthy();
    host.connection("connected");
    await vi.waitFor(() => expect(screen.queryByText("Cairn does not answer.")).toBeNull());
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(screen.queryByText("Port 5000 is taken.")).toBeNull();
  });
});

describe("the status line", () => {
  it("says where the data is, copies the address, and counts what runs", async () => {
    const user = userEvent.setup();
    draw(StatusLine, {}, { "store.status": () => storeStatus({ running_runs: 2 }) });
    expect(await screen.findByText("~/churn")).toBeTruthy();
    expect(screen.getByText(/2 running/)).toBeTruthy();
    expect(screen.getByText(/84 GB free/)).toBeTruthy();
    await user.click(screen.getByRole("button", { name: /Copy the tracking address/ }));
    expect(await navigator.clipboard.readText()).toBe("http://127.0.0.1:5000");
  });
});
