"""Fills an mlruns folder through MLflow's file store, with any release from 2.9 on.

    python write_files.py <mlruns folder> <output file>

The output holds what that release itself then knows of the folder (see facts.py).
"""

import json
import os
import sys
from pathlib import Path

# Asked for by releases that have put the file store aside.
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

import mlflow
from mlflow import MlflowClient

import facts
import write_shape


def write_artifacts(client, folder):
    """Files of the run named `full`, nested, empty and binary."""
    source = folder / "to log"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/bytes.bin").write_bytes(bytes(range(256)) * 400)
    (source / "empty").touch()
    (source / "ä 漢字.txt").write_text("odd name", encoding="utf-8")
    experiment = client.get_experiment_by_name("first").experiment_id
    run = client.search_runs([experiment], "attributes.run_name = 'full'")[0]
    client.log_artifacts(run.info.run_id, str(source), "model")


def main():
    folder, output = map(Path, sys.argv[1:])
    uri = folder.absolute().as_uri()
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri, uri)
    write_shape.write(client)
    write_artifacts(client, output.parent)
    output.write_text(json.dumps(facts.collect(client), indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    main()
