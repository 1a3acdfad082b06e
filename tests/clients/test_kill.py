"""SIGKILL under writing clients, again and again: what was answered is there, the rest is whole or absent."""

import contextlib
import http.client
import json
import random
import sqlite3
import threading
import time
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from cairn import Cairn

CYCLES = 200
WRITERS = 5
BATCH_KEYS = [f"b{index}" for index in range(10)]


class Writer(threading.Thread):
    """Writes with raw requests, one after the other, until the server is gone.

    Each write has a number of its own, which is also its value; so what is found in the file can be
    told to be that write.
    """

    def __init__(self, url, number):
        super().__init__(daemon=True)
        self.address = urlsplit(url).netloc
        self.number = number
        self.run_id = None
        self.acknowledged = []
        self.unanswered = None
        self.refused = None
        self.has_written = threading.Event()

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                for kind in ("create", "metric", "batch", "tag", "param", "metric", "batch"):
                    if not self.write(connection, kind):
                        return

    def write(self, connection, kind):
        self.number += 1
        path, body = getattr(self, kind)(self.number)
        self.unanswered = (kind, self.run_id, self.number)
        connection.request("POST", f"/api/2.0/mlflow/runs/{path}", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            self.refused = f"{path} {body}: {response.status} {answer!r}"
            return False
        if kind == "create":
            self.run_id = json.loads(answer)["run"]["info"]["run_id"]
        self.acknowledged.append((kind, self.run_id, self.number))
        self.unanswered = None
        self.has_written.set()
        return True

    def create(self, number):
        tags = [{"key": "number", "value": str(number)}]
        return "create", {"experiment_id": "0", "run_name": f"run {number}", "start_time": number, "tags": tags}

    def metric(self, number):
        return "log-metric", {"run_id": self.run_id, "key": "m", "value": number, "timestamp": number, "step": number}

    def batch(self, number):
        metrics = [{"key": key, "value": number, "timestamp": number, "step": number} for key in BATCH_KEYS]
        params = [{"key": f"bp{number}", "value": str(number)}]
        tags = [{"key": f"bt{number}", "value": str(number)}]
        return "log-batch", {"run_id": self.run_id, "metrics": metrics, "params": params, "tags": tags}

    def tag(self, number):
        return "set-tag", {"run_id": self.run_id, "key": f"t{number}", "value": str(number)}

    def param(self, number):
        return "log-parameter", {"run_id": self.run_id, "key": f"p{number}", "value": str(number)}


def parts_found(connection, kind, run_id, number):
    """How many parts of a write are in the file, and how many it has."""

    def count(statement, *values):
        return connection.execute(f"SELECT count(*) FROM {statement}", values).fetchone()[0]

    def pair(table, key):
        return count(f"{table} WHERE run_uuid = ? AND key = ? AND value = ?", run_id, key, str(number))

    def metric(key):
        history = count(
            "metrics WHERE key = ? AND timestamp = ? AND step = ? AND run_uuid = ? AND value = ?",
            key, number, number, run_id, number,
        )
        # Steps only grow here, so a later write of the same run may have taken the place.
        latest = count("latest_metrics WHERE run_uuid = ? AND key = ? AND step >= ?", run_id, key, number)
        return history + (latest if history else 0)

    if kind == "create":
        # Found by its number, since an unanswered one has no known id.
        run = "runs JOIN tags USING (run_uuid) WHERE start_time = ? AND name = ? AND key = ? AND value = ?"
        return (
            count(run, number, f"run {number}", "number", str(number))
            + count(run, number, f"run {number}", "mlflow.runName", f"run {number}"),
            2,
        )
    if kind == "metric":
        return metric("m"), 2
    if kind == "batch":
        return sum(map(metric, BATCH_KEYS)) + pair("params", f"bp{number}") + pair("tags", f"bt{number}"), 22
    if kind == "tag":
        return pair("tags", f"t{number}"), 1
    return pair("params", f"p{number}"), 1


def check(database, writers):
    """Every acknowledged write is whole; the one that each writer had no answer for is whole or absent."""
    # Not opened read-only: after a kill, whoever comes first rolls back what was half-written.
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute("PRAGMA query_only = ON")
        for writer in writers:
            assert writer.refused is None
            for write in writer.acknowledged:
                found, parts = parts_found(connection, *write)
                assert found == parts, f"{write} was acknowledged, and {found} of its {parts} parts are in the file"
            if writer.unanswered:
                found, parts = parts_found(connection, *writer.unanswered)
                assert found in (0, parts), f"{writer.unanswered} is torn: {found} of its {parts} parts are in the file"


def sound(database):
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute("PRAGMA query_only = ON")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.fixture(params=["wal", "delete"])
def store(request, tmp_path):
    """A store in each of the two journal modes that Cairn meets: its own, and that of MLflow's files."""
    with Cairn(tmp_path / "store") as cairn:
        assert MlflowClient(cairn.url).get_experiment("0")
    if request.param == "delete":
        with contextlib.closing(sqlite3.connect(tmp_path / "store/mlflow.db")) as connection:
            assert connection.execute("PRAGMA journal_mode = DELETE").fetchall() == [("delete",)]
    return tmp_path / "store"


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(store):
    chance = random.Random(20261121)
    numbers = [writer * 1_000_000 for writer in range(1, WRITERS + 1)]
    acknowledged, unanswered, previous = 0, 0, []
    for cycle in range(CYCLES):
        cairn = Cairn(store)
        check(cairn.database, previous)
        writers = [Writer(cairn.url, number) for number in numbers]
        for writer in writers:
            writer.start()
        for writer in writers:
            assert writer.has_written.wait(30), writer.refused or cairn.output
        time.sleep(chance.uniform(0, 0.1))
        cairn.kill()
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive()
        numbers = [writer.number for writer in writers]
        acknowledged += sum(len(writer.acknowledged) for writer in writers)
        unanswered += sum(writer.unanswered is not None for writer in writers)
        previous = writers
        if cycle % 25 == 0:
            check(store / "mlflow.db", writers)
            sound(store / "mlflow.db")
    with Cairn(store) as cairn:
        check(cairn.database, previous)
        client = MlflowClient(cairn.url)
        for writer in previous:
            if runs := [run_id for kind, run_id, _ in writer.acknowledged if kind == "metric"]:
                steps = [number for kind, run_id, number in writer.acknowledged if (kind, run_id) == ("metric", runs[-1])]
                served = [metric.step for metric in client.get_metric_history(runs[-1], "m")]
                assert set(steps) <= set(served)
    sound(store / "mlflow.db")
    print(f"{CYCLES} kills, {acknowledged} acknowledged writes, {unanswered} unanswered ones")
    assert acknowledged >= CYCLES * WRITERS
    # Otherwise the server was never killed at work, and this proved nothing.
    assert unanswered > CYCLES
