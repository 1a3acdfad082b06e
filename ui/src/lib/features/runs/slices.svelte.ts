/**
 * The rows of the table, in slices that are asked for when they come near. What is kept is what is in
 * sight, a margin, and for a few seconds what just left it. Live events make slices old through
 * `lib/live`, and those in sight are asked for again while the old rows stay.
 */
import { QueryObserver, type QueryClient, type QueryObserverResult } from "@tanstack/svelte-query";

import type { CommandFailure } from "$lib/host";
import { call, queries } from "$lib/rpc";
import type { ColumnRef } from "$lib/rpc/bindings/ColumnRef";
import type { RunOrder } from "$lib/rpc/bindings/RunOrder";
import type { RunRow } from "$lib/rpc/bindings/RunRow";
import type { RunsPage } from "$lib/rpc/bindings/RunsPage";
import type { RunsPageRequest } from "$lib/rpc/bindings/RunsPageRequest";

/** Rows in one slice. */
export const SLICE = 100;

/** The shortest time between two looks at another part of the table, in milliseconds. */
const LOOK_MS = 80;

/** More than this many runs are not selected in one go. */
const MOST_IDS = 10_000;

/** What the table shows, but for the place. */
export interface Question {
  experimentIds: string[];
  filter: string;
  order: RunOrder[];
  /** Deleted runs instead of the others. */
  isTrash: boolean;
  /** Columns with keys, in the order of the cells. */
  columns: ColumnRef[];
}

interface Slice {
  stop: () => void;
  observer: QueryObserver<RunsPage, CommandFailure>;
  result: QueryObserverResult<RunsPage, CommandFailure>;
}

export class RunSlices {
  /** What the rows answer; the question asked last takes its place once it is answered. */
  answered: Question | undefined = $state.raw();
  /** Why the question asked last has no answer. The rows of the one before stay. */
  failure: CommandFailure | undefined = $state.raw();
  /** Whether the question asked last is on its way. */
  isAsking = $state(false);
  /** Rows that match, and rows before filtering. */
  total = $state(0);
  unfilteredTotal = $state(0);
  /** Why rows in sight could not be fetched. */
  brokenBy: CommandFailure | undefined = $state.raw();
  /** Counts arrivals, for who must act when rows came. */
  version = $state(0);

  readonly #client: QueryClient;
  #slices = new Map<number, Slice>();
  #asked: Question | undefined;
  #probe:
    | { slice: number; observer: QueryObserver<RunsPage, CommandFailure>; stop: () => void }
    | undefined;
  #seen = { first: 0, end: SLICE };
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lookedAt = 0;

  constructor(client: QueryClient) {
    this.#client = client;
  }

  /** The row at a place; `undefined` while it is on its way. */
  row(index: number): RunRow | undefined {
    void this.version;
    return this.#slices.get(Math.floor(index / SLICE))?.result.data?.rows[index % SLICE];
  }

  /** The rows that are here, with their places, from the top. */
  *loaded(): Generator<{ index: number; row: RunRow }> {
    void this.version;
    for (const number of [...this.#slices.keys()].sort((a, b) => a - b)) {
      const rows = this.#slices.get(number)?.result.data?.rows ?? [];
      for (const [place, row] of rows.entries()) yield { index: number * SLICE + place, row };
    }
  }

  /**
   * The ids of the runs from one place to another, also of those that are not here; at most
   * `MOST_IDS` of them.
   */
  async ids(first: number, end: number): Promise<string[]> {
    const question = this.answered;
    if (question === undefined) return [];
    const ids: string[] = [];
    const stop = Math.min(end, first + MOST_IDS);
    for (let offset = first; offset < stop; offset += 500) {
      const limit = Math.min(500, stop - offset);
      const request = { ...requestFor(question, 0), offset, limit, columns: [] };
      const page = await call("runs.page", request);
      ids.push(...page.rows.map((row) => row.run_id));
    }
    return ids;
  }

  /** Asks another question. Another filter or order starts at the top. */
  ask(question: Question): void {
    if (this.#asked !== undefined && isSameQuestion(this.#asked, question)) return;
    this.#asked = question;
    this.#dropProbe();
    this.failure = undefined;
    this.isAsking = false;
    if (this.answered !== undefined && isSameQuestion(this.answered, question)) return;
    const isSameList = this.answered !== undefined && listKey(this.answered) === listKey(question);
    const slice = isSameList ? Math.floor(this.#seen.first / SLICE) : 0;
    const observer = this.#observe(question, slice);
    const read = (result: QueryObserverResult<RunsPage, CommandFailure>) => {
      if (this.#probe?.observer !== observer) return;
      if (result.isSuccess) this.#answer(question, slice, isSameList);
      else if (result.isError) this.failure = result.error;
      this.isAsking = this.#probe !== undefined && result.isFetching;
    };
    this.#probe = { slice, observer, stop: () => undefined };
    this.#probe.stop = observer.subscribe(read);
    read(observer.getCurrentResult());
  }

  /** Asks again for what failed. */
  async retry(): Promise<void> {
    await this.#probe?.observer.refetch();
    const broken = [...this.#slices.values()].filter((slice) => slice.result.isError);
    await Promise.all(broken.map((slice) => slice.observer.refetch()));
  }

  /** Says which rows are in sight; soon after, they and a margin are here. */
  look(first: number, end: number): void {
    this.#seen = { first, end };
    clearTimeout(this.#timer);
    const wait = this.#lookedAt + LOOK_MS - performance.now();
    if (wait <= 0) this.#fetch();
    else this.#timer = setTimeout(() => this.#fetch(), wait);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#dropProbe();
    for (const slice of this.#slices.values()) slice.stop();
    this.#slices.clear();
  }

  #answer(question: Question, slice: number, isSameList: boolean): void {
    for (const old of this.#slices.values()) old.stop();
    this.#slices = new Map();
    this.answered = question;
    this.failure = undefined;
    if (!isSameList) this.#seen = { first: 0, end: SLICE };
    this.#open(slice);
    this.#fetch();
    this.#dropProbe();
  }

  #fetch(): void {
    this.#lookedAt = performance.now();
    if (this.answered === undefined) return;
    const margin = SLICE / 2;
    const last = Math.max(0, Math.floor((this.total - 1) / SLICE));
    const from = Math.max(0, Math.floor((this.#seen.first - margin) / SLICE));
    const to = Math.min(last, Math.floor((this.#seen.end - 1 + margin) / SLICE));
    for (const [number, slice] of this.#slices) {
      if (number < from || number > to) {
        slice.stop();
        this.#slices.delete(number);
      }
    }
    for (let number = Math.min(from, last); number <= to; number += 1) {
      if (!this.#slices.has(number)) this.#open(number);
    }
    this.#read();
  }

  #open(number: number): void {
    if (this.answered === undefined) return;
    const observer = this.#observe(this.answered, number);
    const slice: Slice = { observer, result: observer.getCurrentResult(), stop: () => undefined };
    this.#slices.set(number, slice);
    slice.stop = observer.subscribe((result) => {
      slice.result = result;
      this.#read();
    });
    slice.result = observer.getCurrentResult();
  }

  /** Takes over what the slices know together. */
  #read(): void {
    let newest = 0;
    let brokenBy: CommandFailure | undefined;
    for (const { result } of this.#slices.values()) {
      if (result.data !== undefined && result.dataUpdatedAt >= newest) {
        newest = result.dataUpdatedAt;
        this.total = result.data.total;
        this.unfilteredTotal = result.data.unfiltered_total;
      }
      if (result.isError) brokenBy = result.error;
    }
    this.brokenBy = brokenBy;
    this.version += 1;
  }

  #observe(question: Question, slice: number): QueryObserver<RunsPage, CommandFailure> {
    return new QueryObserver(this.#client, queries.runsPage(requestFor(question, slice)));
  }

  #dropProbe(): void {
    this.#probe?.stop();
    this.#probe = undefined;
  }
}

function requestFor(question: Question, slice: number): RunsPageRequest {
  return {
    experiment_ids: question.experimentIds,
    filter: question.filter,
    order: question.order,
    deleted: question.isTrash,
    offset: slice * SLICE,
    limit: SLICE,
    columns: question.columns,
  };
}

/** Tells lists of runs apart: which runs, in which order. */
function listKey({ experimentIds, filter, order, isTrash }: Question): string {
  return JSON.stringify([experimentIds, filter, order, isTrash]);
}

function isSameQuestion(one: Question, other: Question): boolean {
  return (
    listKey(one) === listKey(other) && JSON.stringify(one.columns) === JSON.stringify(other.columns)
  );
}
