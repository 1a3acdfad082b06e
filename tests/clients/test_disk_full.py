"""A disk of eight megabytes runs full under a writing client: clear refusals, and full service once there is room."""

import contextlib
import http.client
import json
import shutil
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cairn import Cairn

JSON = {"Content-Type": "application/json"}
MOUNT = ["unshare", "-Urm", "--", "sh", "-c", 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"']
# What MLflow's client takes for an error with a reason; 507 is the one for a full disk.
REFUSALS = (500, 507)


@pytest.fixture
def small_disk(tmp_path):
    """A folder that is a small disk of its own for the program that is started with the prefix."""
    folder = tmp_path / "disk"
    folder.mkdir()
    prefix = [*MOUNT, str(folder)]
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")
    return folder, prefix


class Client:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def call(self, method, path, body=None):
        headers = JSON if isinstance(body, dict) else {}
        self.connection.request(method, path, json.dumps(body) if headers else body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            # Whatever happens, the answer is one that clients can read.
            assert response.status in REFUSALS, (path, response.status, answer)
            assert json.loads(answer)["error_code"], answer
        return response.status, answer

    def log(self, path, body):
        return self.call("POST", f"/api/2.0/mlflow/{path}", body)


def test_a_full_disk_refuses_clearly_and_is_forgotten_once_there_is_room(small_disk):
    folder, prefix = small_disk
    with Cairn(folder / "store", prefix=prefix) as cairn:
        client = Client(cairn.url)
        status, answer = client.log("runs/create", {"experiment_id": "0", "start_time": 1})
        assert status == 200
        run_id = json.loads(answer)["run"]["info"]["run_id"]
        # The disk as it is seen from here; something on it that can be removed again.
        disk = Path(f"/proc/{cairn.process.pid}/root") / folder.relative_to("/")
        (disk / "ballast").write_bytes(bytes(3_000_000))
        params, metrics, refused = {}, [], []

        def log(number):
            batch = [{"key": f"p{number}-{index}", "value": "x" * 5_000} for index in range(20)]
            status, _ = client.log("runs/log-batch", {"run_id": run_id, "params": batch})
            if status == 200:
                params.update({param["key"]: param["value"] for param in batch})
            return status

        def measure(number):
            status, _ = client.log(
                "runs/log-metric", {"run_id": run_id, "key": "m", "value": 1, "timestamp": number, "step": number}
            )
            if status == 200:
                metrics.append(number)
            return status

        for number in range(200):
            refused += [status for status in (log(number), measure(number)) if status != 200]
            if len(refused) >= 20:
                break
        assert 507 in refused, refused
        # Reading goes on.
        assert client.call("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}")[0] == 200

        # Files are refused long before, so that the database has room.
        assert client.call("PUT", f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/x", b"x")[0] == 507

        (disk / "ballast").unlink()
        for number in range(1_000, 1_005):
            assert (log(number), measure(number)) == (200, 200)

        run = json.loads(client.call("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}")[1])["run"]
        served = {param["key"]: param["value"] for param in run["data"]["params"]}
        assert served == params
        history = f"/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key=m"
        steps = [metric["step"] for metric in json.loads(client.call("GET", history)[1])["metrics"]]
        assert sorted(steps) == metrics
        sound(disk / "store", folder.parent)
        print(f"{len(params)} parameters, {len(metrics)} metrics kept; refused: {refused}")


def sound(store, folder):
    """SQLite finds the file sound, copied from the disk that only the program sees."""
    for name in ("mlflow.db", "mlflow.db-wal"):
        shutil.copy(store / name, folder / name)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
