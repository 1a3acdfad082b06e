import type { Page } from "@sveltejs/kit";

/** The experiment whose table is on the screen, if the address names one; `all` for all of them. */
export function currentExperimentId(page: Pick<Page, "params">): string | undefined {
  return page.params["experimentId"];
}
