"""The token: an unmodified client logs with it and not without it, and it is seen nowhere."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from cairn import Cairn, program

import mlflow
from mlflow.exceptions import MlflowException


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own for Cairn's settings and token."""
    monkeypatch.setenv("CAIRN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def printed_token():
    return subprocess.run([program(), "token"], check=True, capture_output=True, text=True).stdout.strip()


def test_the_client_logs_with_the_token_and_not_without_it(home, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    # A 401 is not repeated, but a client that thinks otherwise must not make the test wait.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with Cairn(tmp_path / "store", more=["--require-token"]) as cairn:
        client = mlflow.MlflowClient(cairn.url)
        with pytest.raises(MlflowException, match="(?i)token"):
            client.create_experiment("refused")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "0" * 64)
        with pytest.raises(MlflowException, match="(?i)token"):
            client.create_experiment("refused")
        token = printed_token()
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
        experiment = client.create_experiment("logged")
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "m", 1.0)
        path = tmp_path / "note.txt"
        path.write_text("text")
        client.log_artifact(run.info.run_id, str(path))
        assert Path(client.download_artifacts(run.info.run_id, "note.txt", str(tmp_path))).read_text() == "text"
        assert client.get_experiment_by_name("refused") is None
        command = Path(f"/proc/{cairn.process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{cairn.process.pid}/environ").read_bytes()
        assert token.encode() not in command + environment
    assert token not in cairn.output
    assert "cairn token" in cairn.output
    mode = stat.S_IMODE(os.stat(home / "config" / "token").st_mode)
    assert mode == 0o600
    # In no file but its own.
    for place in (tmp_path / "store", home):
        for file in place.rglob("*"):
            if file.is_file() and file != home / "config" / "token":
                assert token.encode() not in file.read_bytes(), file


def test_a_client_with_a_token_is_served_where_none_is_wanted(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "anything")
    with Cairn(tmp_path / "store") as cairn:
        assert mlflow.MlflowClient(cairn.url).create_experiment("logged") == "1"


def test_a_token_that_cannot_be_read_stops_the_start(home, tmp_path):
    (home / "config" / "token").mkdir(parents=True)
    cairn = Cairn(tmp_path / "store", more=["--require-token"], wait=False)
    assert cairn.wait() == 1
    assert "cannot be read" in cairn.output
    assert "http://127.0.0.1" not in cairn.output
