"""One server for all tests of the client; each test has an experiment of its own."""

import os
import uuid

# Read by MLflow when it is imported. A failure is to be seen at once, not after minutes of retries.
os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
    MLFLOW_HTTP_REQUEST_TIMEOUT="60",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    MPLBACKEND="Agg",
    GIT_PYTHON_REFRESH="quiet",
)
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
    os.environ.pop(name, None)
# A proxy in the environment is not meant for this machine itself.
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1"]))

import mlflow
import pytest
from mlflow import MlflowClient

from cairn import Cairn


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """`cairn serve` on an empty store; it must end well when asked to."""
    with Cairn(tmp_path_factory.mktemp("store")) as cairn:
        yield cairn
        assert cairn.process.poll() is None, f"cairn serve did not live as long as the tests:\n{cairn.output}"


@pytest.fixture
def client(serve, tmp_path, monkeypatch):
    """The client, with the fluent functions led to the same server, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(serve.url)
    mlflow.set_registry_uri(serve.url)
    yield MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def experiment(client):
    """The id of a new experiment, which is also the active one."""
    return mlflow.set_experiment(f"experiment {uuid.uuid4().hex[:12]}").experiment_id


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"name-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def iris():
    """Features (a data frame) and labels of a small real data set."""
    from sklearn.datasets import load_iris

    data = load_iris(as_frame=True)
    return data.data, data.target
