"""SIGKILL under writing clients, again and again: what was answered is there, the rest is whole or absent."""

import contextlib
import http.client
import json
import os
import random
import sqlite3
import threading
import time
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from cairn import Cairn

# For each journal mode; CAIRN_TEST_SCALE multiplies it.
CYCLES = 250 * int(os.environ.get("CAIRN_TEST_SCALE", "1"))
WRITERS = 5
BATCH_KEYS = [f"b{index}" for index in range(10)]
# The first one comes first in each life of the server: the others write to its run.
KINDS = ("create", "metric", "batch", "artifact", "model", "version", "alias", "tag", "param", "batch", "version")
JSON = {"Content-Type": "application/json"}


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
        self.model_name = None
        self.version_number = None
        self.acknowledged = []
        self.unanswered = None
        self.refused = None
        self.has_written = threading.Event()

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        # A life may be too short for all kinds: each begins with others.
        others = random.Random(self.number).sample(KINDS[1:], len(KINDS) - 1)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                for kind in (KINDS[0], *others):
                    if self.can(kind) and not self.write(connection, kind):
                        return

    def can(self, kind):
        """Whether what the write is about is there."""
        needed = {"version": self.model_name, "alias": self.version_number}
        return needed.get(kind, "nothing") is not None

    def write(self, connection, kind):
        self.number += 1
        self.unanswered = (kind, self.run_id, self.number)
        if kind == "artifact":
            path = f"/api/2.0/mlflow-artifacts/artifacts/0/{self.run_id}/artifacts/{self.number}/file"
            connection.request("PUT", path, content(self.number))
        else:
            path, body = getattr(self, kind)(self.number)
            connection.request("POST", f"/api/2.0/mlflow/{path}", json.dumps(body), JSON)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            self.refused = f"{path}: {response.status} {answer!r}"
            return False
        if kind == "create":
            self.run_id = json.loads(answer)["run"]["info"]["run_id"]
        elif kind == "model":
            self.model_name = json.loads(answer)["registered_model"]["name"]
            self.version_number = None
        elif kind == "version":
            self.version_number = json.loads(answer)["model_version"]["version"]
        self.acknowledged.append((kind, self.run_id, self.number))
        self.unanswered = None
        self.has_written.set()
        return True

    def create(self, number):
        tags = [{"key": "number", "value": str(number)}]
        return "runs/create", {"experiment_id": "0", "run_name": f"run {number}", "start_time": number, "tags": tags}

    def metric(self, number):
        return "runs/log-metric", {"run_id": self.run_id, "key": "m", "value": number, "timestamp": number, "step": number}

    def batch(self, number):
        metrics = [{"key": key, "value": number, "timestamp": number, "step": number} for key in BATCH_KEYS]
        params = [{"key": f"bp{number}", "value": str(number)}]
        tags = [{"key": f"bt{number}", "value": str(number)}]
        return "runs/log-batch", {"run_id": self.run_id, "metrics": metrics, "params": params, "tags": tags}

    def tag(self, number):
        return "runs/set-tag", {"run_id": self.run_id, "key": f"t{number}", "value": str(number)}

    def param(self, number):
        return "runs/log-parameter", {"run_id": self.run_id, "key": f"p{number}", "value": str(number)}

    def model(self, number):
        return "registered-models/create", {"name": f"model {number}", "tags": [{"key": "number", "value": str(number)}]}

    def version(self, number):
        tags = [{"key": "number", "value": str(number)}]
        return "model-versions/create", {"name": self.model_name, "source": f"s3://bucket/{number}", "tags": tags}

    def alias(self, number):
        return "registered-models/alias", {"name": self.model_name, "alias": f"a{number}", "version": self.version_number}


def content(number):
    """The bytes of the file that has this number: some fit into one write, some do not."""
    return random.Random(number).randbytes(number % 5 * 40_000 + 17)


def parts_found(store, connection, kind, run_id, number):
    """How many parts of a write are in the store, and how many it has."""

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
    if kind == "artifact":
        path = store / f"mlartifacts/0/{run_id}/artifacts/{number}/file"
        # Half a file is neither whole nor absent, and a file belongs to a run that is there.
        whole = path.exists() and path.read_bytes() == content(number)
        return int(path.exists()) + int(whole), 2
    if kind == "model":
        name = f"model {number}"
        return count("registered_models WHERE name = ?", name) + count("registered_model_tags WHERE name = ?", name), 2
    if kind == "version":
        version = "model_versions JOIN model_version_tags USING (name, version) WHERE source = ? AND key = ? AND value = ?"
        return (
            count(version, f"s3://bucket/{number}", "number", str(number))
            + count("model_versions WHERE source = ?", f"s3://bucket/{number}"),
            2,
        )
    if kind == "alias":
        alias = "registered_model_aliases JOIN model_versions USING (name, version) WHERE alias = ?"
        return count(alias, f"a{number}"), 1
    return pair("params", f"p{number}"), 1


def check(store, writers):
    """Every acknowledged write is whole; the one that each writer had no answer for is whole or absent."""
    # Not opened read-only: after a kill, whoever comes first rolls back what was half-written.
    with contextlib.closing(sqlite3.connect(store / "mlflow.db", timeout=20)) as connection:
        connection.execute("PRAGMA query_only = ON")
        for writer in writers:
            assert writer.refused is None
            for write in writer.acknowledged:
                found, parts = parts_found(store, connection, *write)
                assert found == parts, f"{write} was acknowledged, and {found} of its {parts} parts are in the store"
            if writer.unanswered:
                found, parts = parts_found(store, connection, *writer.unanswered)
                assert found in (0, parts), f"{writer.unanswered} is torn: {found} of its {parts} parts are in the store"


def sound(store):
    """SQLite finds the file sound, and every folder of files has its run."""
    with contextlib.closing(sqlite3.connect(store / "mlflow.db", timeout=20)) as connection:
        connection.execute("PRAGMA query_only = ON")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        runs = {run_id for (run_id,) in connection.execute("SELECT run_uuid FROM runs")}
        assert {folder.name for folder in (store / "mlartifacts/0").glob("*")} <= runs


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
    acknowledged, unanswered, previous, kinds = 0, 0, [], set()
    for cycle in range(CYCLES):
        cairn = Cairn(store)
        check(store, previous)
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
        kinds.update(kind for writer in writers for kind, _, _ in writer.acknowledged)
        if cycle % 25 == 0:
            check(store, writers)
            sound(store)
    with Cairn(store) as cairn:
        check(store, previous)
        client = MlflowClient(cairn.url)
        for writer in previous:
            if runs := [run_id for kind, run_id, _ in writer.acknowledged if kind == "metric"]:
                steps = [number for kind, run_id, number in writer.acknowledged if (kind, run_id) == ("metric", runs[-1])]
                served = [metric.step for metric in client.get_metric_history(runs[-1], "m")]
                assert set(steps) <= set(served)
    sound(store)
    print(f"{CYCLES} kills, {acknowledged} acknowledged writes, {unanswered} unanswered ones")
    assert acknowledged >= CYCLES * WRITERS
    assert kinds == set(KINDS)
    # Otherwise the server was never killed at work, and this proved nothing.
    assert unanswered > CYCLES
