"""A run that Cairn started goes on logging while its server is killed again and again."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cairn import Cairn, program

STEPS = 300

TRAIN = """
    import time
    import mlflow

    with mlflow.start_run():
        mlflow.log_param("steps", {steps})
        for step in range({steps}):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
            print("step", step, flush=True)
            time.sleep(0.02)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CAIRN_HOME", str(tmp_path / "home"))
    # What a person has: the client's own patience.
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    # What the client of another test may have set for its own child processes.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def cairn(*arguments):
    done = subprocess.run([program(), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except Exception:
            # The server may be away.
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@pytest.mark.parametrize("more", [(), ("--require-token",)], ids=["open", "token"])
def test_nothing_is_lost_while_the_server_is_killed(home, more, monkeypatch):
    project = home / "project"
    project.mkdir()
    (project / "MLproject").write_text('entry_points:\n  main:\n    command: "python train.py"\n')
    (project / "train.py").write_text(textwrap.dedent(TRAIN.format(steps=STEPS)))
    store = home / "store"
    if more:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", cairn("token").strip())
    server = Cairn(store, more=more)
    port = int(server.url.rsplit(":", 1)[1])
    client = MlflowClient(server.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    cairn("run", project, "--env-manager", "local", "--store", store, "--detach")
    run = wait_for("the run", 60, lambda: client.search_runs(["0"], max_results=1))[0]
    run_id = run.info.run_id
    wait_for("the first value", 60, lambda: client.get_metric_history(run_id, "loss"))
    for _ in range(2):
        server.kill()
        # A stand-in takes over.
        wait_for("an answer", 20, lambda: client.get_run(run_id))
        time.sleep(1)
        server = Cairn(store, port=port, more=more)
        time.sleep(0.5)
    try:
        done = wait_for("the end", 120, lambda: (found := client.get_run(run_id)).info.status != "RUNNING" and found)
        assert done.info.status == "FINISHED"
        history = client.get_metric_history(run_id, "loss")
        assert sorted({point.step for point in history}) == list(range(STEPS))
        # The client ended the run itself; why the launch ended is told a moment later.
        cause = wait_for("the cause", 10, lambda: client.get_run(run_id).data.tags.get("cairn.launch.cause"))
        assert cause == "Finished"
        log = cairn("queue", "log", run_id)
        assert [line for line in log.splitlines() if line.startswith("step ")] == [f"step {step}" for step in range(STEPS)]
    finally:
        assert server.stop() == 0


def test_a_killed_supervisor_is_noticed_by_who_serves(home):
    project = home / "project"
    project.mkdir()
    (project / "MLproject").write_text('entry_points:\n  main:\n    command: "sleep 1000"\n')
    with Cairn(home / "store") as server:
        client = MlflowClient(server.url)
        cairn("run", project, "--env-manager", "local", "--store", home / "store", "--detach")
        run = wait_for("the run", 60, lambda: client.search_runs(["0"], max_results=1))[0]
        supervisors = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and f"{home}/home/data/launches".encode() in read(entry / "cmdline")
        ]
        assert supervisors
        for pid in supervisors:
            os.kill(pid, signal.SIGKILL)
        wait_for("the end", 10, lambda: client.get_run(run.info.run_id).info.status == "FAILED")


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""
