/** Which launches ended since the queue was looked at last. */
import type { QueueView } from "$lib/rpc/bindings/QueueView";
import type { LaunchView } from "$lib/rpc/bindings/LaunchView";

/** Remembers one look at the queue after the other; the first one is no news. */
export class Endings {
  #atWork = new Set<string>();
  #over: Set<string> | undefined;
  #latest = 0;

  /** Those that are over now and were not at the last look, also where they began after it. */
  next(view: QueueView): LaunchView[] {
    const news = view.ended.filter(
      ({ launch_id, ended }) =>
        this.#over?.has(launch_id) === false &&
        // An old one comes into the list when others leave it.
        (this.#atWork.has(launch_id) || (ended ?? 0) > this.#latest),
    );
    this.#atWork = new Set([...view.active, ...view.waiting].map((launch) => launch.launch_id));
    this.#over = new Set(view.ended.map((launch) => launch.launch_id));
    this.#latest = Math.max(this.#latest, ...view.ended.map((launch) => launch.ended ?? 0));
    return news;
  }
}
