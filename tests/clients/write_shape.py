"""Fills a new mlflow.db, with any release of MLflow from 1.30 on: python write_shape.py <database> <facts>

What a release does not know yet (datasets, aliases, logged models) is left out. What that release then
reads from the file goes to the second file, as JSON.
"""

import math
import sys

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

import facts

try:
    from mlflow.entities import Dataset, DatasetInput, InputTag
except ImportError:
    Dataset = None


def write(client):
    first = client.create_experiment("first", tags={"team": "a", "mlflow.note.content": "about"})
    second = client.create_experiment("second")
    gone = client.create_experiment("gone")
    client.create_run(gone, run_name="goes along")
    client.delete_experiment(gone)

    run = client.create_run(first, start_time=1_700_000_000_000, run_name="full", tags={"user tag": "ä 漢字 🙂"})
    run_id = run.info.run_id
    metrics = [Metric("loss", 1 / (step + 1), 1_700_000_000_000 + step, step) for step in range(50)]
    metrics += [Metric("gap", value, 1_700_000_000_000 + step, step) for step, value in enumerate([1.0, math.nan, 3.0])]
    metrics += [Metric("nan", math.nan, 1, 0), Metric("up", math.inf, 1, 0), Metric("down", -math.inf, 1, 0)]
    metrics += [Metric("late step", 1.0, 9, 1), Metric("late step", 2.0, 5, 7), Metric("back", 3.0, 1, -5)]
    params = [Param("learning rate", "0.1"), Param("a/b", ""), Param("long", "x" * 500)]
    client.log_batch(run_id, metrics, params, [RunTag("multi", "one\ntwo")])
    if Dataset:
        dataset = Dataset("wine", "d1g35t", "local", '{"uri": "wine.csv"}', '{"mlflow_colspec": []}', '{"num_rows": 3}')
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.set_terminated(run_id, "FINISHED", end_time=1_700_000_060_000)

    for index in range(3):
        tags = {"mlflow.parentRunId": run_id}
        child = client.create_run(second, run_name=f"child {index}", tags=tags)
        client.log_metric(child.info.run_id, "score", index / 3, timestamp=5, step=index)
        if Dataset:
            client.log_inputs(child.info.run_id, [DatasetInput(dataset, [])])
        client.set_terminated(child.info.run_id, ["FINISHED", "FAILED", "KILLED"][index])
    client.delete_run(child.info.run_id)
    client.create_run(first, run_name="still running")

    client.create_registered_model("flowers", tags={"kind": "classifier"}, description="about flowers")
    for _ in range(3):
        client.create_model_version("flowers", f"runs:/{run_id}/model", run_id, tags={"checked": "no"}, description="one")
    if hasattr(client, "set_registered_model_alias"):
        client.set_registered_model_alias("flowers", "champion", "2")
    client.transition_model_version_stage("flowers", "1", "Archived")
    client.delete_model_version("flowers", "3")
    client.create_registered_model("empty")

    if hasattr(client, "create_logged_model"):
        model = client.create_logged_model(first, "logged", run_id, tags={"a": "b"}, params={"depth": "3"}, model_type="tree")
        client.log_metric(run_id, "model score", 0.5, timestamp=7, step=2, model_id=model.model_id)
        client.finalize_logged_model(model.model_id, "READY")
        client.create_logged_model(first, "pending")


def main():
    uri = f"sqlite:///{sys.argv[1]}"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri, uri)
    write(client)
    facts.dump(client, sys.argv[2])


if __name__ == "__main__":
    main()
