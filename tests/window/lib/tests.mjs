/** A small runner: steps of a journey in order, all journeys, one line for each step. */

/** How long one step may take, milliseconds. */
const STEP_LIMIT_MS = 120_000;

/**
 * @typedef {object} Journey
 * @property {string} name
 * @property {() => Promise<any>} open Makes what the steps share.
 * @property {(shared: any) => Promise<void>} close Ends it; also called after a failure.
 * @property {(shared: any, step: string) => Promise<void>} [onFailure] Keeps what helps to see why.
 * @property {[string, (shared: any) => Promise<void>][]} steps Each builds on the ones before.
 */

/**
 * Runs journeys one after another; after a failed step the rest of its journey counts as failed.
 * @param {Journey[]} journeys
 * @returns {Promise<number>} the exit code
 */
export async function runAll(journeys) {
  let passed = 0;
  let failed = 0;
  for (const journey of journeys) {
    console.log(`\n${journey.name}`);
    let shared;
    let reason = "";
    try {
      shared = await limited(journey.open(), STEP_LIMIT_MS);
    } catch (error) {
      reason = "it could not be opened";
      console.log(indent(describe(error)));
    }
    for (const [name, step] of journey.steps) {
      if (reason !== "") {
        console.log(`  NOT RUN  ${name}: ${reason}`);
        failed += 1;
        continue;
      }
      const started = performance.now();
      try {
        await limited(step(shared), STEP_LIMIT_MS);
        passed += 1;
        console.log(`  ok  ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
      } catch (error) {
        failed += 1;
        reason = `“${name}” failed`;
        console.log(`  FAILED  ${name}\n${indent(describe(error))}`);
        await journey.onFailure?.(shared, name).catch((later) => {
          console.log(indent(`no picture of the failure: ${later.message}`));
        });
      }
    }
    if (shared !== undefined) await journey.close(shared);
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

function describe(error) {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function indent(text) {
  return text.replace(/^/gm, "      ");
}

/** Fails when a promise takes too long. */
function limited(promise, milliseconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not done within ${milliseconds / 1000} s`)),
      milliseconds,
    );
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits. */
export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Asks again until the answer is neither `undefined`, `null`, `false` nor an exception.
 * @template T
 * @param {string} what the sentence after “waited for”
 * @param {() => Promise<T> | T} ask
 * @param {number} [limitMs]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, ask, limitMs = 20_000) {
  const end = performance.now() + limitMs;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last !== undefined && last !== null && last !== false) return last;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      const answer = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`waited ${limitMs / 1000} s for ${what}; the last answer was ${answer}`);
    }
    await sleep(100);
  }
}
