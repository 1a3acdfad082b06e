"""Opens a store, reads all of it, and logs: python use_store.py <database> <facts>

With any release of MLflow 3; it may migrate the file first. What was read goes to the second file, as JSON.
"""

import sys

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

import facts


def log(client):
    """A run with a bit of everything, named after the release."""
    experiment_id = client.create_experiment(f"of {mlflow.__version__}")
    run_id = client.create_run(experiment_id, run_name=mlflow.__version__).info.run_id
    metrics = [Metric("m", step / 2, step, step) for step in range(5)] + [Metric("nan", float("nan"), 1, 0)]
    client.log_batch(run_id, metrics, [Param("p", "v")], [RunTag("t", "v")])
    client.set_terminated(run_id)
    (found,) = client.search_runs([experiment_id], "metrics.m = 2 AND params.p = 'v' AND tags.t = 'v'")
    assert found.info.run_id == run_id and found.data.metrics["m"] == 2
    model = client.create_logged_model(experiment_id, "model", run_id)
    client.finalize_logged_model(model.model_id, "READY")
    client.create_model_version("flowers", f"runs:/{run_id}/model", run_id)


def main():
    database, output = sys.argv[1:]
    uri = f"sqlite:///{database}"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri, uri)
    facts.dump(client, output)
    log(client)


if __name__ == "__main__":
    main()
