/** Draws one screen over a host in memory. For tests only. */
import { render } from "@testing-library/svelte";
import type { Component } from "svelte";

import { Actions } from "$lib/actions";
import { useHost } from "$lib/host";
import { MemoryHost, type Answers } from "$lib/host/memory";
import { Live } from "$lib/live";
import { newQueryClient } from "$lib/rpc";
import type { RunRow } from "$lib/rpc/bindings/RunRow";
import type { StoreStatus } from "$lib/rpc/bindings/StoreStatus";

import Harness from "./Harness.svelte";

/** Draws a screen that gets its answers from functions. */
export function draw<Props extends object>(
  screen: Component<Props>,
  props: Props,
  answers: Answers,
) {
  const host = new MemoryHost({
    "app.info": () => ({ version: "0", has_native_dialogs: false, default_store: "/store" }),
    "settings.get": () => ({
      theme: "system",
      recent_stores: [],
      port: null,
      requires_token: false,
    }),
    "store.status": () => storeStatus(),
    "jobs.list": () => [],
    ...answers,
  });
  useHost(host);
  const client = newQueryClient();
  const actions = new Actions();
  const live = new Live(client);
  const drawn = render(Harness, {
    client,
    actions,
    live,
    // Harness passes the properties on as they are.
    screen: screen as unknown as Component<Record<string, unknown>>,
    given: props as Record<string, unknown>,
  });
  return { ...drawn, host, client, actions, live };
}

export function storeStatus(more: Partial<StoreStatus> = {}): StoreStatus {
  return {
    path: "/home/ada/churn",
    display_path: "~/churn",
    revision: "1",
    mlflow_release: "3.0",
    read_only: null,
    server: { state: "listening", tracking_uri: "http://127.0.0.1:5000", instead_of: null },
    running_runs: 0,
    has_runs: true,
    disk_free_bytes: 84_000_000_000,
    ...more,
  };
}

/** A finished run, named after its place in a table. */
export function runRow(place: number, more: Partial<RunRow> = {}): RunRow {
  return {
    run_id: String(place).padStart(32, "0"),
    experiment_id: "1",
    name: `run-${String(place)}`,
    status: "FINISHED",
    start_time: 1_000_000 - place,
    end_time: 2_000_000,
    user: "ada",
    source: { name: "/home/ada/train.py", kind: "LOCAL" },
    parent_run_id: null,
    starred: false,
    cells: [],
    ...more,
  };
}
