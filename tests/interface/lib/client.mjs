/** As much of an MLflow client as the tests need: the requests that the Python one sends. */
import http from "node:http";

/** A time long past, so that pages show a date instead of how long ago it was. */
export const LONG_AGO = Date.UTC(2023, 10, 14, 22, 13, 20);

export class Client {
  /** Keeps its connections, as the Python client does. */
  #agent = new http.Agent({ keepAlive: true, maxSockets: 32 });

  /** @param {string} address what `mlflow.set_tracking_uri` gets */
  constructor(address) {
    this.address = address;
  }

  close() {
    this.#agent.destroy();
  }

  /** Sends a body of bytes or text; answers the text that came back. */
  #send(method, path, body, type) {
    return new Promise((resolve, reject) => {
      const request = http.request(`${this.address}${path}`, {
        agent: this.#agent,
        method,
        headers: { "content-type": type, "content-length": Buffer.byteLength(body) },
      });
      request.on("error", reject);
      request.on("response", (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("end", () => {
          const text = Buffer.concat(parts).toString();
          if (answer.statusCode === 200) resolve(text);
          else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
        });
      });
      request.end(body);
    });
  }

  /** Calls an endpoint of MLflow's REST API. */
  async post(endpoint, body, method = "POST") {
    const path = `/api/2.0/mlflow/${endpoint}`;
    return JSON.parse(await this.#send(method, path, JSON.stringify(body), "application/json"));
  }

  async createExperiment(name) {
    return (await this.post("experiments/create", { name })).experiment_id;
  }

  /**
   * Logs a run: made, filled, and ended unless `status` is `RUNNING`.
   * @param {string} name
   * @param {object} [facts]
   * @param {string} [facts.experimentId]
   * @param {Record<string, number>} [facts.metrics] each logged once, at step 0
   * @param {Record<string, string>} [facts.params]
   * @param {Record<string, string>} [facts.tags]
   * @param {string} [facts.status]
   * @param {number} [facts.startTime] milliseconds since 1970
   * @param {number} [facts.durationMs]
   * @returns {Promise<{ run_id: string, artifact_uri: string }>}
   */
  async logRun(name, facts = {}) {
    const { experimentId = "0", metrics = {}, params = {}, tags = {} } = facts;
    const { status = "FINISHED", startTime = LONG_AGO, durationMs = 64_000 } = facts;
    const { run } = await this.post("runs/create", {
      experiment_id: experimentId,
      run_name: name,
      start_time: startTime,
      tags: pairs(tags),
    });
    const runId = run.info.run_id;
    if (Object.keys(metrics).length + Object.keys(params).length > 0) {
      await this.post("runs/log-batch", {
        run_id: runId,
        metrics: Object.entries(metrics).map(([key, value]) => ({
          key,
          value,
          step: 0,
          timestamp: startTime,
        })),
        params: pairs(params),
      });
    }
    if (status !== "RUNNING") await this.end(runId, startTime + durationMs, status);
    return run.info;
  }

  /** Logs one value of a metric. */
  logMetric(runId, key, value, step, timestamp = Date.now()) {
    return this.post("runs/log-metric", { run_id: runId, key, value, step, timestamp });
  }

  /** Logs many values of one metric, from step 0. */
  logSeries(runId, key, values) {
    const metrics = values.map((value, step) => ({
      key,
      value,
      step,
      timestamp: LONG_AGO + step * 1000,
    }));
    return this.post("runs/log-batch", { run_id: runId, metrics });
  }

  end(runId, endTime = Date.now(), status = "FINISHED") {
    return this.post("runs/update", { run_id: runId, status, end_time: endTime });
  }

  /**
   * Puts a file among the artifacts of a run.
   * @param {{ artifact_uri: string }} run
   * @param {string} path folders are made
   * @param {string | Buffer} content
   */
  upload(run, path, content) {
    const folder = run.artifact_uri.replace(/^mlflow-artifacts:\/*/, "");
    const parts = path.split("/").map(encodeURIComponent).join("/");
    const target = `/api/2.0/mlflow-artifacts/artifacts/${folder}/${parts}`;
    return this.#send("PUT", target, content, "application/octet-stream");
  }
}

function pairs(record) {
  return Object.entries(record).map(([key, value]) => ({ key, value }));
}

/** Runs a function for 0 to `count` − 1, many at a time. */
export async function atOnce(count, many, each) {
  let next = 0;
  const worker = async () => {
    while (next < count) await each(next++);
  };
  await Promise.all(Array.from({ length: many }, worker));
}
