/** Keeps the points of one chart up to date with the store. */
import type { Series } from "$lib/rpc/bindings/Series";
import type { SeriesRequest } from "$lib/rpc/bindings/SeriesRequest";
import { joinPoints, readPoints, type Points } from "./points";

/** What a chart has: one of the four states that are drawn. */
export type FeedState =
  | { readonly state: "waiting" }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "ready"; readonly points: Points };

/** The shortest time between two questions, in milliseconds; a slow store is given twice its time. */
const SHORTEST_PAUSE_MS = 150;

/** Asks the store for points. */
export type GetSeries = (request: SeriesRequest) => Promise<Series>;

/**
 * The points of one metric of one run, kept up to date by `changed`.
 *
 * At most one question is under way; what happens meanwhile is asked for once it is answered, so a run
 * that logs faster than the window draws costs one question at a time. Appended points are not
 * reduced; once more than two per pixel were appended, the whole is asked for again, reduced.
 * A failed update keeps the points that are shown and is tried again at the next change.
 */
export class SeriesFeed {
  #current: FeedState = { state: "waiting" };
  #widthPx = 0;
  /** The width that the shown points were reduced for; 0 when the whole must be asked for. */
  #loadedWidthPx = 0;
  #appendedCount = 0;
  #isAsking = false;
  #isStale = true;
  #isStopped = false;

  /** `onchange` is called whenever `current` is another one. */
  constructor(
    private readonly source: {
      readonly runId: string;
      readonly metricKey: string;
      readonly getSeries: GetSeries;
      /** Another shortest pause, for tests. */
      readonly pauseMs?: number;
    },
    private readonly onchange: (state: FeedState) => void,
  ) {}

  /** What there is to draw now. */
  get current(): FeedState {
    return this.#current;
  }

  /**
   * The chart is this wide. The first call starts the feed; later ones ask again only where a wider
   * chart could show more.
   */
  resize(widthPx: number): void {
    const width = Math.max(1, Math.round(widthPx));
    this.#widthPx = width;
    if (this.#current.state !== "ready") {
      this.#isStale = true;
    } else if (this.#current.points.isReduced && width > this.#loadedWidthPx * 1.25) {
      this.#reload();
      return;
    }
    void this.#ask();
  }

  /** The run's metrics changed in the store. */
  changed(): void {
    this.#isStale = true;
    void this.#ask();
  }

  /** Asks for everything again: after a failure, or when the store was exchanged. */
  reload(): void {
    if (this.#current.state === "failed") this.#set({ state: "waiting" });
    this.#reload();
  }

  /** Nothing is asked or told from now on. */
  stop(): void {
    this.#isStopped = true;
  }

  #reload(): void {
    this.#loadedWidthPx = 0;
    this.#isStale = true;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || this.#isStopped || this.#widthPx === 0 || !this.#isStale) return;
    this.#isAsking = true;
    try {
      while (this.#isStale && !this.#isStopped) {
        this.#isStale = false;
        const start = performance.now();
        if (!(await this.#askOnce())) await this.#askOnce();
        const pauseMs = this.source.pauseMs ?? SHORTEST_PAUSE_MS;
        await sleep(Math.max(pauseMs, 2 * (performance.now() - start)));
      }
    } catch (error) {
      if (!this.#isStopped && this.#current.state !== "ready")
        this.#set({ state: "failed", error });
    } finally {
      this.#isAsking = false;
    }
  }

  /** `false` when the whole must be asked for again. */
  async #askOnce(): Promise<boolean> {
    const shown = this.#current.state === "ready" ? this.#current.points : null;
    const after = this.#loadedWidthPx > 0 ? (shown?.cursor ?? null) : null;
    const widthPx = this.#widthPx;
    const answer = await this.source.getSeries({
      run_id: this.source.runId,
      metric_key: this.source.metricKey,
      width_px: widthPx,
      after,
    });
    if (this.#isStopped) return true;
    if (after === null || shown === null || answer.restarted) {
      this.#loadedWidthPx = widthPx;
      this.#appendedCount = after === null ? 0 : answer.steps.length;
      this.#set({ state: "ready", points: readPoints(answer) });
    } else {
      const joined = joinPoints(shown, answer);
      if (joined === null) {
        this.#loadedWidthPx = 0;
        return false;
      }
      this.#appendedCount += answer.steps.length;
      if (joined !== shown) this.#set({ state: "ready", points: joined });
    }
    if (this.#appendedCount <= 2 * widthPx) return true;
    this.#loadedWidthPx = 0;
    return false;
  }

  #set(state: FeedState): void {
    this.#current = state;
    this.onchange(state);
  }
}

function sleep(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}
