/** An MLflow client as small as these tests need: what the Python one sends, sent by fetch. */

export class Client {
  /** @param {string} address what `mlflow.set_tracking_uri` gets */
  constructor(address) {
    this.address = address;
  }

  async post(endpoint, body) {
    const answer = await fetch(`${this.address}/api/2.0/mlflow/${endpoint}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${endpoint}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  /** Starts a run in the default experiment. */
  async createRun(name, tags = {}) {
    const { run } = await this.post("runs/create", {
      experiment_id: "0",
      run_name: name,
      start_time: Date.now(),
      tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
    });
    return run.info;
  }

  logParam(runId, key, value) {
    return this.post("runs/log-parameter", { run_id: runId, key, value });
  }

  logMetric(runId, key, value, step) {
    return this.post("runs/log-metric", { run_id: runId, key, value, step, timestamp: Date.now() });
  }

  finish(runId) {
    return this.post("runs/update", { run_id: runId, status: "FINISHED", end_time: Date.now() });
  }

  /** Puts a file among the artifacts of a run. */
  async upload(run, name, bytes) {
    const folder = run.artifact_uri.replace(/^mlflow-artifacts:\/*/, "");
    const answer = await fetch(
      `${this.address}/api/2.0/mlflow-artifacts/artifacts/${folder}/${name}`,
      { method: "PUT", body: bytes },
    );
    if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`);
  }
}
