"""The sample training, as the window starts it."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from sklearn.datasets import load_digits

from cairn import Cairn

SCRIPT = Path(__file__).parents[2] / "crates/cairn-runtime/samples/log_sample_runs.py"


def test_sample_training_logs_real_runs(tmp_path):
    with Cairn(tmp_path / "store") as cairn:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": cairn.url}
        # The client of the other tests leaves it behind in this process.
        environment.pop("MLFLOW_REGISTRY_URI", None)
        done = subprocess.run(
            [sys.executable, str(SCRIPT)], env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("PROGRESS ")]
        fractions = [float(fraction) for _, fraction, _ in told]
        assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1 and len(told) > 40

        mlflow.set_tracking_uri(cairn.url)
        mlflow.set_registry_uri(cairn.url)
        client = MlflowClient()
        names = {found.name: found.experiment_id for found in client.search_experiments()}
        assert set(names) == {"Default", "Sample classifiers", "Sample regressors"}
        runs = client.search_runs(list(names.values()), run_view_type=ViewType.ALL)
        assert len(runs) == 13
        assert sorted(run.info.status for run in runs) == ["FAILED"] + ["FINISHED"] * 12
        by_name = {run.info.run_name: run for run in runs}
        assert len(client.get_metric_history(by_name["breast-cancer-sgd"].info.run_id, "test_loss")) == 150
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == by_name["digits-mlp-sweep"].info.run_id]
        assert len(children) == 4
        for run in runs:
            if run.info.status == "FINISHED" and run.info.run_name != "digits-mlp-sweep":
                assert run.data.metrics.get("test_accuracy", 1) > 0.9 and run.data.metrics.get("test_r2", 1) > 0.2
                assert run.inputs.dataset_inputs and client.list_artifacts(run.info.run_id, "figures")
        data = load_digits()
        champion = mlflow.sklearn.load_model("models:/sample-digits@champion")
        assert champion.score(data.data, data.target) > 0.95
