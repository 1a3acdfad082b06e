"""Stock MLflow on the file that Cairn made, while Cairn serves it and after."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest
from mlflow import MlflowClient

import facts
import stock
import write_shape
from cairn import Cairn


@pytest.fixture
def filled(tmp_path):
    """A server whose new store was filled over HTTP."""
    with Cairn(tmp_path / "store") as cairn:
        write_shape.write(MlflowClient(cairn.url, cairn.url))
        yield cairn


def revision(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_stock_mlflow_reads_the_same_facts_while_cairn_serves_and_goes_on(filled, tmp_path):
    client = MlflowClient(filled.url, filled.url)
    before = stock.comparable(facts.collect(client))
    made_at = revision(filled.database)

    # Opening it migrates the file to the newest shape, underneath the running server.
    assert stock.read_facts(filled.database, tmp_path) == before
    assert revision(filled.database) != made_at

    assert stock.comparable(facts.collect(client)) == before
    experiment_id = client.create_experiment("after the migration")
    run_id = client.create_run(experiment_id, run_name="later").info.run_id
    for step in range(20):
        client.log_metric(run_id, "m", step, step=step)
    client.log_param(run_id, "p", "v")
    client.set_terminated(run_id)
    client.create_registered_model("later")
    client.create_model_version("later", f"runs:/{run_id}/model", run_id)
    client.set_registered_model_alias("later", "now", "1")
    after = stock.comparable(facts.collect(client))
    assert len(after["runs"]) == len(before["runs"]) + 1
    assert stock.read_facts(filled.database, tmp_path) == after

    assert filled.stop() == 0
    assert stock.read_facts(filled.database, tmp_path) == after
    with Cairn(filled.store) as again:
        assert stock.comparable(facts.collect(MlflowClient(again.url, again.url))) == after


def test_stock_mlflow_reads_the_same_facts_after_cairn_stopped(filled, tmp_path):
    expected = stock.comparable(facts.collect(MlflowClient(filled.url, filled.url)))
    assert filled.stop() == 0
    assert stock.read_facts(filled.database, tmp_path) == expected


def test_what_stock_mlflow_writes_meanwhile_is_served(filled, tmp_path):
    script = f"""
import mlflow
mlflow.set_tracking_uri("sqlite:///{filled.database}")
mlflow.set_experiment("from the outside")
with mlflow.start_run(run_name="outside"):
    for step in range(50):
        mlflow.log_metric("m", step / 7, step=step)
    mlflow.log_params({{"a": 1, "b": "two"}})
"""
    (tmp_path / "outside.py").write_text(script)
    client = MlflowClient(filled.url, filled.url)
    inside = client.create_run("0", run_name="inside").info.run_id
    client.log_metric(inside, "m", 1, step=0)
    stock.run(sys.executable, tmp_path / "outside.py", cwd=tmp_path)
    experiment = client.get_experiment_by_name("from the outside")
    (run,) = client.search_runs([experiment.experiment_id], "params.b = 'two' AND metrics.m > 6")
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("outside", "FINISHED", {"m": 7.0})
    history = client.get_metric_history(run.info.run_id, "m")
    assert [(point.step, point.value) for point in history] == [(step, step / 7) for step in range(50)]
    client.log_metric(inside, "m", 2, step=1)
    assert client.get_run(inside).data.metrics == {"m": 2}


def test_two_writers_at_a_time_lose_nothing(filled, tmp_path):
    """Stock MLflow on the file and clients of the server, each with its own run, in turns of milliseconds."""
    script = f"""
import mlflow
from mlflow import MlflowClient
client = MlflowClient("sqlite:///{filled.database}")
run_id = client.create_run("0", run_name="outside").info.run_id
print("ready", flush=True)
for step in range(100):
    client.log_metric(run_id, "m", step, step=step)
"""
    (tmp_path / "outside.py").write_text(script)
    # First, since this is what migrates the file.
    stock.read_facts(filled.database, tmp_path)
    client = MlflowClient(filled.url, filled.url)
    inside = client.create_run("0", run_name="inside").info.run_id

    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "outside.py")], env=stock.environment(), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    step = 0
    while process.poll() is None:
        client.log_metric(inside, "m", step, step=step)
        step += 1
    assert process.returncode == 0 and step > 10
    runs = {run.info.run_name: run.info.run_id for run in client.search_runs(["0"])}
    assert [point.step for point in client.get_metric_history(runs["outside"], "m")] == list(range(100))
    assert [point.step for point in client.get_metric_history(inside, "m")] == list(range(step))


def test_half_written_change_of_a_killed_program_is_rolled_back(filled, tmp_path):
    """A file of MLflow's own, whose journal is left behind: only a program that may write can go on from there."""
    client = MlflowClient(filled.url, filled.url)
    before = stock.comparable(facts.collect(client))
    assert filled.stop() == 0
    with contextlib.closing(sqlite3.connect(filled.database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    script = f"""
import sqlite3, time
connection = sqlite3.connect("{filled.database}", isolation_level=None)
# So small a cache that the change reaches the file before it is complete.
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE runs SET name = 'torn'")
connection.execute("UPDATE tags SET value = 'torn' || hex(randomblob(2000))")
print("half", flush=True)
time.sleep(600)
"""

    def die_half_way():
        process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "half\n"
        process.kill()
        process.wait()
        assert filled.database.with_name("mlflow.db-journal").stat().st_size > 0

    die_half_way()
    with Cairn(filled.store) as cairn:
        client = MlflowClient(cairn.url, cairn.url)
        assert stock.comparable(facts.collect(client)) == before
        die_half_way()
        assert stock.comparable(facts.collect(client)) == before
        die_half_way()
        client.create_run("0", run_name="afterwards")
        assert len(facts.collect(client)["runs"]) == len(before["runs"]) + 1
