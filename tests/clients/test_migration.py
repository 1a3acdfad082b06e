"""The file is migrated by another program while Cairn has it open, step by step, at once, or only half."""

import contextlib
import math
import random
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import requests
from alembic import command
from alembic.script import ScriptDirectory
from mlflow import MlflowClient
from mlflow.store.db.utils import _get_alembic_config

import facts
import stock
import write_shape
from cairn import Cairn
from chance import SEED, rounds

API = "/api/2.0/mlflow"
KILLS = rounds(6)


def alembic(database):
    return _get_alembic_config(f"sqlite:///{database}")


def revision(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@pytest.fixture
def filled(tmp_path):
    """A server on a new store, which has the shape of MLflow 3.0, with something in it."""
    with Cairn(tmp_path / "store") as cairn:
        write_shape.write(MlflowClient(cairn.url, cairn.url))
        yield cairn


class Logger(threading.Thread):
    """Logs a metric again and again, and reads, until it is told to stop; what was answered."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.steps, self.refused, self.slowest = url, [], [], 0.0
        self.stopping = threading.Event()
        self.run_id = MlflowClient(url, url).create_run("0", run_name="meanwhile").info.run_id

    def run(self):
        session = requests.Session()
        while not self.stopping.is_set():
            step = len(self.steps)
            body = {"run_id": self.run_id, "key": "m", "value": step, "timestamp": step, "step": step}
            began = time.monotonic()
            answer = session.post(f"{self.url}{API}/runs/log-metric", json=body, timeout=60)
            self.slowest = max(self.slowest, time.monotonic() - began)
            if answer.status_code != 200:
                self.refused.append(answer.text)
                return
            self.steps.append(step)
            answer = session.post(f"{self.url}{API}/runs/search", json={"experiment_ids": ["0"], "max_results": 5}, timeout=60)
            if answer.status_code != 200:
                self.refused.append(answer.text)
                return

    def stop(self):
        self.stopping.set()
        self.join(60)

    def check(self, client):
        assert self.refused == [] and len(self.steps) > 3
        assert [metric.step for metric in client.get_metric_history(self.run_id, "m")] == self.steps


def test_every_revision_between_two_releases_is_written_to(filled):
    """Releases may stop anywhere in this list, and a migration that was broken off as well."""
    client = MlflowClient(filled.url, filled.url)
    before = stock.comparable(facts.collect(client))
    config = alembic(filled.database)
    steps = list(ScriptDirectory.from_config(config).iterate_revisions("head", revision(filled.database)))
    assert len(steps) > 30
    run_id = client.create_run("0", run_name="through all").info.run_id
    for number, step in enumerate(reversed(steps)):
        client.log_metric(run_id, "m", number, timestamp=1, step=2 * number)
        command.upgrade(config, step.revision)
        assert revision(filled.database) == step.revision
        client.log_metric(run_id, "m", number, timestamp=1, step=2 * number + 1)
        client.set_experiment_tag("0", "at", step.revision)
        client.set_registered_model_tag("flowers", "at", step.revision)
        client.set_registered_model_alias("flowers", "champion", "2")
        assert client.get_experiment("0").tags["at"] == step.revision, step
        assert client.search_registered_models(f"tags.at = '{step.revision}'")[0].name == "flowers"
    assert len(client.get_metric_history(run_id, "m")) == 2 * len(steps)
    after = stock.comparable(facts.collect(client))
    assert {run: after["runs"][run] for run in before["runs"]} == before["runs"]
    assert after["versions"] == before["versions"] and after["logged_models"] == before["logged_models"]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_logging_goes_on_before_during_and_after_a_migration(tmp_path, journal):
    store = tmp_path / "store"
    with Cairn(store) as cairn:
        write_shape.write(MlflowClient(cairn.url, cairn.url))
    if journal == "delete":
        with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    with Cairn(store) as cairn:
        client = MlflowClient(cairn.url, cairn.url)
        logger = Logger(cairn.url)
        logger.start()
        before = revision(cairn.database)
        # Opening it is what migrates it, as it does for everyone who upgrades MLflow.
        read = stock.read_facts(cairn.database, tmp_path)
        assert revision(cairn.database) != before
        seen = len(logger.steps)
        while len(logger.steps) < seen + 5 and logger.is_alive():
            time.sleep(0.01)
        logger.stop()
        logger.check(client)
        assert logger.slowest < 20
        assert len(read["runs"]) == 7


def test_migration_that_is_killed_leaves_a_file_that_is_served(tmp_path):
    """Whatever is left: what was answered is there, and writes go on or are refused in words."""
    chance = random.Random(SEED)
    script = f"import sys; sys.path.insert(0, {str(stock.HERE)!r})\n" + (
        "from alembic import command\n"
        "from mlflow.store.db.utils import _get_alembic_config\n"
        "config = _get_alembic_config(f'sqlite:///{sys.argv[1]}')\n"
        "print('ready', flush=True)\n"
        "command.upgrade(config, 'head')\n"
    )
    written = 0
    for number in range(KILLS):
        with Cairn(tmp_path / f"store {number}") as cairn:
            client = MlflowClient(cairn.url, cairn.url)
            logger = Logger(cairn.url)
            logger.start()
            argv = [sys.executable, "-c", script, str(cairn.database)]
            process = subprocess.Popen(
                argv, env=stock.environment(), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            assert process.stdout.readline() == "ready\n"
            # The whole of it takes about a second.
            time.sleep(chance.uniform(0, 1.5))
            process.kill()
            process.wait()
            seen = len(logger.steps)
            while len(logger.steps) < seen + 3 and logger.is_alive():
                time.sleep(0.01)
            logger.stop()
            for refusal in logger.refused:
                assert "revision" in refusal, refusal
            acknowledged = [metric.step for metric in client.get_metric_history(logger.run_id, "m")]
            assert logger.steps == acknowledged
            written += not logger.refused
        with contextlib.closing(sqlite3.connect(cairn.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("SELECT count(*) FROM metrics WHERE key = 'm'").fetchone()[0] == len(acknowledged)
    assert written > KILLS / 2


def test_tables_of_other_programs_are_left_alone(filled):
    client = MlflowClient(filled.url, filled.url)
    with contextlib.closing(sqlite3.connect(filled.database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, run_uuid TEXT)")
        connection.execute("INSERT INTO notes (text) VALUES ('mine')")
        connection.execute("CREATE VIEW finished AS SELECT run_uuid FROM runs WHERE status = 'FINISHED'")
        connection.execute("CREATE INDEX of_mine ON runs (user_id)")
        connection.execute("CREATE TABLE alembic_version_of_mine (version_num TEXT)")
    run_id = client.create_run("0").info.run_id
    client.set_terminated(run_id)
    assert client.get_run(run_id).info.status == "FINISHED"
    filled.stop()
    with Cairn(filled.store) as again, contextlib.closing(sqlite3.connect(filled.database)) as connection:
        MlflowClient(again.url).log_metric(run_id, "m", 1)
        assert connection.execute("SELECT text FROM notes").fetchall() == [("mine",)]
        assert (run_id,) in connection.execute("SELECT * FROM finished").fetchall()


def test_large_file_opens_soon_and_is_written_to(filled):
    """Some hundred megabytes, nearly all of them metrics."""
    points = rounds(1_500_000)
    client = MlflowClient(filled.url, filled.url)
    run_id = client.create_run("0", run_name="long").info.run_id
    filled.stop()
    with contextlib.closing(sqlite3.connect(filled.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1) "
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) SELECT 'long', i / 7.0, i, ?, i, 0 FROM n",
            (points, run_id),
        )
        connection.execute(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ('long', ?, ?, ?, 0, ?)",
            ((points - 1) / 7, points - 1, points - 1, run_id),
        )
    print(f"{filled.database.stat().st_size / 1e6:.0f} MB")
    began = time.monotonic()
    with Cairn(filled.store) as again:
        client = MlflowClient(again.url, again.url)
        (run,) = client.search_runs(["0"], "metrics.long > 0")
        opened = time.monotonic() - began
        client.log_metric(run_id, "long", 1.5, step=points)
        page = requests.get(
            f"{again.url}{API}/metrics/get-history", params={"run_id": run_id, "metric_key": "long", "max_results": 1000}, timeout=60
        ).json()
        assert len(page["metrics"]) == 1000 and math.isclose(page["metrics"][7]["value"], 1)
        assert run.data.metrics["long"] == (points - 1) / 7 and client.get_run(run_id).data.metrics["long"] == 1.5
    assert opened < 10, f"{opened:.1f} s until the first answer"
