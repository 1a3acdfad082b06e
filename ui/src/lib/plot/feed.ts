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

/** How much wider a chart must have become before its points are reduced anew. */
const WIDER = 1.25;

/** Asks the store for points. */
export type GetSeries = (request: SeriesRequest) => Promise<Series>;

/**
 * The points of one metric of one run, kept up to date by `changed`.
 *
 * At most one question is under way; what happens meanwhile is asked for once it is answered, so a run
 * that logs faster than the window draws costs one question at a time. Appended points are not
 * reduced; once more than two per pixel were appended, the whole is asked for again, reduced.
 * A failed update keeps the points that are shown and is tried again at the next change,
 * after a pause for a change that came while it was failing.
 */
export class SeriesFeed {
  #current: FeedState = { state: "waiting" };
  #widthPx = 0;
  /** The width that the shown points were reduced for. */
  #loadedWidthPx = 0;
  /** Whether the next question must be for the whole; cleared when it starts, set again if it fails. */
  #needsWhole = true;
  #appendedCount = 0;
  #isAsking = false;
  #isStale = true;
  #isStopped = false;
  #retry: ReturnType<typeof setTimeout> | undefined;

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
    this.#widthPx = Math.max(1, Math.round(widthPx));
    if (this.#current.state !== "ready") this.#isStale = true;
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
    this.#needsWhole = true;
    this.#isStale = true;
    void this.#ask();
  }

  /** Nothing is asked or told from now on. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retry);
  }

  /** Whether the chart, as wide as it is by now, could show points that were left out. */
  #isTooNarrow(): boolean {
    const current = this.#current;
    return (
      current.state === "ready" &&
      current.points.isReduced &&
      this.#widthPx > this.#loadedWidthPx * WIDER
    );
  }

  #hasQuestion(): boolean {
    return !this.#isStopped && this.#widthPx > 0 && (this.#isStale || this.#isTooNarrow());
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || !this.#hasQuestion()) return;
    this.#isAsking = true;
    clearTimeout(this.#retry);
    let start = performance.now();
    const pauseMs = () =>
      Math.max(this.source.pauseMs ?? SHORTEST_PAUSE_MS, 2 * (performance.now() - start));
    try {
      while (this.#hasQuestion()) {
        this.#isStale = false;
        start = performance.now();
        if (!(await this.#askOnce())) await this.#askOnce();
        await sleep(pauseMs());
      }
    } catch (error) {
      if (!this.#isStopped && this.#current.state !== "ready")
        this.#set({ state: "failed", error });
    } finally {
      this.#isAsking = false;
      // A change came while the question failed. Each try needs a change of its own, so a store that
      // stays broken is left alone. Whoever asks during the pause does not have to wait for it.
      if (this.#isStale && !this.#isStopped) {
        this.#retry = setTimeout(() => void this.#ask(), pauseMs());
      }
    }
  }

  /** `false` when the whole must be asked for again. */
  async #askOnce(): Promise<boolean> {
    const shown = this.#current.state === "ready" ? this.#current.points : null;
    const isWhole = this.#needsWhole || this.#isTooNarrow();
    const after = isWhole ? null : (shown?.cursor ?? null);
    const widthPx = this.#widthPx;
    this.#needsWhole = false;
    let answer: Series;
    try {
      answer = await this.source.getSeries({
        run_id: this.source.runId,
        metric_key: this.source.metricKey,
        width_px: widthPx,
        after,
      });
    } catch (error) {
      this.#needsWhole ||= isWhole;
      throw error;
    }
    if (this.#isStopped) return true;
    if (after === null || shown === null || answer.restarted) {
      this.#loadedWidthPx = widthPx;
      this.#appendedCount = after === null ? 0 : answer.steps.length;
      this.#set({ state: "ready", points: readPoints(answer) });
    } else {
      const joined = joinPoints(shown, answer);
      if (joined === null) {
        this.#needsWhole = true;
        return false;
      }
      this.#appendedCount += answer.steps.length;
      if (joined !== shown) this.#set({ state: "ready", points: joined });
    }
    if (this.#appendedCount <= 2 * widthPx) return true;
    this.#needsWhole = true;
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
