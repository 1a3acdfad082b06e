import { createMutation, createQuery, useQueryClient } from "@tanstack/svelte-query";

import { toast } from "$lib/parts";
import { call, queries } from "$lib/rpc";
import type { LaunchView } from "$lib/rpc/bindings/LaunchView";
import type { QueueView } from "$lib/rpc/bindings/QueueView";

/** Launches as screens see them, and what can be done with them. To be made in a component. */
export function useQueue() {
  const client = useQueryClient();
  const queue = createQuery(() => queries.queue());
  const onError = (error: { message: string; hint?: string | null }) => {
    toast.error(error.message, { description: error.hint ?? "", duration: 12_000 });
    void client.invalidateQueries({ queryKey: ["queue.get"] });
  };
  const onSuccess = (view: QueueView) => client.setQueryData(["queue.get"], view);

  const limit = createMutation(() => ({
    mutationFn: (limit: number) => call("queue.set_limit", { limit }),
    onSuccess,
    onError,
  }));
  const pause = createMutation(() => ({
    mutationFn: (paused: boolean) => call("queue.set_paused", { paused }),
    onSuccess,
    onError,
  }));
  const move = createMutation(() => ({
    mutationFn: (args: { launchId: string; before: string | null }) =>
      call("launch.move", { launch_id: args.launchId, before: args.before }),
    onSuccess,
    onError,
  }));
  const stop = createMutation(() => ({
    mutationFn: (launch: LaunchView) => call("launch.stop", { launch_id: launch.launch_id }),
    onSuccess,
    onError,
  }));
  const remove = createMutation(() => ({
    mutationFn: (launch: LaunchView) => call("launch.remove", { launch_id: launch.launch_id }),
    onSuccess,
    onError,
  }));
  const again = createMutation(() => ({
    mutationFn: (launch: LaunchView) => call("launch.again", { launch_id: launch.launch_id }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["queue.get"] }),
    onError,
  }));
  const clear = createMutation(() => ({
    mutationFn: () => call("queue.clear_ended"),
    onSuccess,
    onError,
  }));

  return { query: queue, limit, pause, move, stop, remove, again, clear };
}
