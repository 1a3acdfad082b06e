import { expect, it } from "vitest";

import type { LaunchView } from "$lib/rpc/bindings/LaunchView";
import type { QueueView } from "$lib/rpc/bindings/QueueView";

import { Endings } from "./endings";

const launch = (launch_id: string, ended: number | null) => ({ launch_id, ended }) as LaunchView;

function view(active: LaunchView[], ended: LaunchView[]): QueueView {
  return { limit: 1, is_paused: false, active, waiting: [], ended, more_ended: 0 };
}

const names = (news: LaunchView[]) => news.map((one) => one.launch_id);

it("tells of what was at work, and of what began and ended between two looks", () => {
  const endings = new Endings();
  expect(endings.next(view([launch("slow", null)], [launch("old", 10)]))).toEqual([]);
  const over = [launch("quick", 30), launch("slow", 20), launch("old", 10)];
  expect(names(endings.next(view([], over)))).toEqual(["quick", "slow"]);
  expect(endings.next(view([], over))).toEqual([]);
});

it("says nothing of an old one that comes into the list when another leaves it", () => {
  const endings = new Endings();
  endings.next(view([], [launch("b", 20)]));
  expect(endings.next(view([], [launch("a", 10)]))).toEqual([]);
});
