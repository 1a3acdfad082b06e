"""Broken files, full disks, taken ports, wrong requests: each has words of its own, and nothing is harmed."""

import contextlib
import functools
import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

import facts
import stock
import write_shape
from cairn import Cairn, NotServing

API = "/api/2.0/mlflow"


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def refused(store, *options, **arguments):
    """Starts on a store that cannot be served; the text, which has no trace of a fault of Cairn's own."""
    with pytest.raises(NotServing) as caught:
        Cairn(store, *options, **arguments)
    assert caught.value.code == 1, caught.value.output
    text = caught.value.output
    assert "panicked" not in text and "Sqlite" not in text and "RUST_BACKTRACE" not in text
    return text


def says(text, *parts):
    for part in parts:
        assert str(part).lower() in text.lower(), f"{part!r} is not in:\n{text}"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with something in it, which no server has open."""
    store = tmp_path_factory.mktemp("filled") / "store"
    with Cairn(store) as cairn:
        write_shape.write(MlflowClient(cairn.url, cairn.url))
    assert sorted(path.name for path in store.iterdir() if path.name.startswith("mlflow.db")) == ["mlflow.db"]
    return store


@pytest.fixture
def store(filled, tmp_path):
    """A copy of it to break."""
    return Path(shutil.copytree(filled, tmp_path / "store"))


def rollback_journal(database):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


# Files


@pytest.mark.parametrize(
    "content", [b"this is a text, not a database\n" * 50, b"short", bytes(8192)], ids=["text", "short", "zeros"]
)
def test_file_that_is_no_database_is_refused_and_untouched(tmp_path, content):
    database = tmp_path / "mlflow.db"
    database.write_bytes(content)
    text = refused(tmp_path)
    says(text, database, "not an MLflow database", "not touched")
    assert database.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_database_of_another_program_is_refused_and_untouched(tmp_path):
    database = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE books (title TEXT)")
        connection.commit()
    before = digest(database)
    says(refused(tmp_path), database, "not an MLflow database", "not touched")
    assert digest(database) == before


def test_truncated_database_is_refused_and_untouched(store):
    database = store / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) * 6 // 10])
    before = digest(database)
    says(refused(store), database, "damaged", "backup", "not touched")
    assert digest(database) == before


def test_damaged_page_is_found_and_untouched(store):
    database = store / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'metrics'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(database.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 64] = b"\xa5" * 64
    database.write_bytes(content)
    before = digest(database)
    says(refused(store), database, "damaged", "backup", "not touched")
    assert digest(database) == before


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_unknown_newer_file_is_served_for_reading_only(store, journal):
    database = store / "mlflow.db"
    with Cairn(store) as cairn:
        expected = stock.comparable(facts.collect(MlflowClient(cairn.url, cairn.url)))
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffff00001111'")
        connection.commit()
    if journal == "delete":
        rollback_journal(database)
    before = digest(database)
    with Cairn(store) as cairn:
        says(cairn.output, "reading only", "ffff00001111")
        assert stock.comparable(facts.collect(MlflowClient(cairn.url, cairn.url))) == expected
        answer = requests.post(f"{cairn.url}{API}/runs/create", json={"experiment_id": "0"}, timeout=10)
        assert 400 <= answer.status_code < 500
        assert answer.json()["error_code"] == "PERMISSION_DENIED"
        says(answer.json()["message"], "reading only", "ffff00001111")
    assert digest(database) == before


def test_folder_named_like_the_database_is_refused(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    says(refused(tmp_path), tmp_path / "mlflow.db")
    assert list((tmp_path / "mlflow.db").iterdir()) == []


def test_store_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    says(refused(tmp_path / "file" / "store"), tmp_path / "file", "not a directory")


# Disks


@functools.cache
def namespace():
    """The command that gives a process mounts of its own: as a user where that is allowed, else as root."""
    for argv in (["unshare", "--user", "--map-root-user", "--mount"], ["unshare", "--mount"]):
        with contextlib.suppress(OSError):
            script = "mount -t tmpfs tmpfs /mnt"
            if subprocess.run([*argv, "sh", "-c", script], capture_output=True, timeout=20, check=False).returncode == 0:
                return argv
    return None


def mounted(*commands):
    """A prefix that runs a program after some mounts which only it sees."""
    if namespace() is None:
        pytest.skip("this system lets no process make mounts of its own")
    return [*namespace(), "sh", "-c", " && ".join([*commands, 'exec "$@"']), "sh"]


def read_only(folder):
    return mounted(f"mount --bind '{folder}' '{folder}'", f"mount -o remount,bind,ro '{folder}'")


def inside(cairn, path):
    """A path as the server's process sees it."""
    return Path(f"/proc/{cairn.process.pid}/root{path}")


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_read_only_folder_is_served_for_reading(store, journal):
    if journal == "delete":
        rollback_journal(store / "mlflow.db")
    before = digest(store / "mlflow.db")
    with Cairn(store, prefix=read_only(store)) as cairn:
        says(cairn.output, "reading only", store)
        client = MlflowClient(cairn.url, cairn.url)
        assert len(facts.collect(client)["runs"]) == 6
        answer = requests.post(f"{cairn.url}{API}/experiments/create", json={"name": "new"}, timeout=10)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
        says(answer.json()["message"], "reading only", store)
        upload = requests.put(f"{cairn.url}/api/2.0/mlflow-artifacts/artifacts/0/a.txt", data=b"x", timeout=10)
        assert upload.status_code in (403, 500, 507) and upload.json()["message"]
    assert digest(store / "mlflow.db") == before
    assert [path.name for path in store.iterdir() if "-" in path.name] == []


def test_new_store_in_a_read_only_folder_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    text = refused(folder / "store", prefix=read_only(folder))
    says(text, folder, "cannot be created", "permissions")
    assert list(folder.iterdir()) == []


def test_new_store_on_a_full_disk_is_refused(tmp_path):
    text = refused(tmp_path / "store", prefix=mounted(f"mount -t tmpfs -o size=64k tmpfs '{tmp_path}'"))
    says(text, tmp_path, "disk", "full", "free some space")


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_full_disk_refuses_writes_keeps_what_was_acknowledged_and_goes_on_when_there_is_space(tmp_path, journal):
    store = tmp_path / "disk" / "store"
    store.mkdir(parents=True)
    prefix = mounted(f"mount -t tmpfs -o size=12m tmpfs '{tmp_path}/disk'")
    if journal == "delete":
        with Cairn(tmp_path / "made"):
            pass
        rollback_journal(tmp_path / "made/mlflow.db")
        prefix = mounted(
            f"mount -t tmpfs -o size=12m tmpfs '{tmp_path}/disk'", f"cp -r '{tmp_path}/made' '{store}'"
        )
    with Cairn(store, prefix=prefix) as cairn:
        session = requests.Session()

        def post(path, body):
            return session.post(f"{cairn.url}{API}/{path}", json=body, timeout=30)

        run_id = post("runs/create", {"experiment_id": "0", "start_time": 1}).json()["run"]["info"]["run_id"]
        ballast = inside(cairn, store.parent) / "ballast"
        ballast.write_bytes(bytes(5 << 20))
        acknowledged = []
        for index in range(5000):
            tags = [{"key": f"t{index}.{part}", "value": "x" * 4000} for part in range(10)]
            answer = post("runs/log-batch", {"run_id": run_id, "tags": tags})
            if answer.status_code != 200:
                break
            acknowledged += [tag["key"] for tag in tags]
        assert answer.status_code == 507, answer.text
        assert answer.json()["error_code"] == "RESOURCE_EXHAUSTED"
        says(answer.json()["message"], "disk", "full", store, "free some space")
        assert len(acknowledged) > 50

        upload = session.put(f"{cairn.url}/api/2.0/mlflow-artifacts/artifacts/0/large.bin", data=bytes(16 << 20), timeout=60)
        assert upload.status_code == 507, upload.text
        says(upload.json()["message"], "disk", "full")
        listed = session.get(f"{cairn.url}/api/2.0/mlflow-artifacts/artifacts?path=0", timeout=30).json()
        assert listed == {}, "nothing of a broken upload is seen"

        def present():
            tags = session.get(f"{cairn.url}{API}/runs/get", params={"run_id": run_id}, timeout=30).json()["run"]["data"]["tags"]
            return {tag["key"] for tag in tags}

        assert set(acknowledged) <= present()
        assert not {tag["key"] for tag in tags} & present(), "nothing of a refused write is kept"
        ballast.unlink()
        answer = post("runs/log-batch", {"run_id": run_id, "tags": tags})
        assert answer.status_code == 200, answer.text
        assert set(acknowledged) | {tag["key"] for tag in tags} <= present()
        # A copy, since SQLite would follow the link of the process out of its mounts.
        copy = Path(shutil.copytree(inside(cairn, store), tmp_path / "copy"))
        with contextlib.closing(sqlite3.connect(copy / "mlflow.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# Ports


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_taken_port_is_named(tmp_path, family, address):
    try:
        taken = socket.socket(family)
        taken.bind((address, 0))
    except OSError:
        pytest.skip(f"this system has no {address}")
    with taken:
        taken.listen()
        port = taken.getsockname()[1]
        text = refused(tmp_path / "store", port=port)
        says(text, port, "taken", "--port")


def test_second_server_on_the_same_port_is_refused_and_the_first_goes_on(tmp_path):
    with Cairn(tmp_path / "first") as cairn:
        port = int(cairn.url.rsplit(":", 1)[1])
        says(refused(tmp_path / "second", port=port), port)
        assert requests.get(f"{cairn.url}/health", timeout=10).text == "OK"


# Requests


@pytest.fixture(scope="module")
def served(filled, tmp_path_factory):
    with Cairn(shutil.copytree(filled, tmp_path_factory.mktemp("served") / "store")) as cairn:
        client = MlflowClient(cairn.url, cairn.url)
        run_id = client.create_run("0").info.run_id
        before = stock.comparable(facts.collect(client))
        yield cairn.url, run_id
        assert stock.comparable(facts.collect(client)) == before, "a refused request changed something"


NUMBER = {"key": "m", "timestamp": 1, "step": 0}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("runs/log-metric", {**NUMBER, "value": "abc"}, "value"),
        ("runs/log-metric", {**NUMBER, "value": [1]}, "value"),
        ("runs/log-metric", {**NUMBER, "value": None}, "value"),
        ("runs/log-metric", {**NUMBER, "value": 1, "timestamp": 1.5}, "timestamp"),
        ("runs/log-metric", {**NUMBER, "value": 1, "timestamp": -1}, "timestamp"),
        ("runs/log-metric", {**NUMBER, "value": 1, "step": "first"}, "step"),
        ("runs/log-metric", {**NUMBER, "value": 1, "step": 2**63}, "step"),
        ("runs/log-metric", {**NUMBER, "value": 1, "key": 7}, "key"),
        ("runs/log-metric", {"timestamp": 1, "value": 1}, "key"),
        ("runs/log-parameter", {"key": "p", "value": {"a": 1}}, "value"),
        ("runs/log-batch", {"metrics": {"m": 1}}, "metrics"),
        ("runs/log-batch", {"metrics": [{**NUMBER, "value": "abc"}]}, "metrics[0]"),
        ("runs/log-batch", {"params": [{"key": "a", "value": "1"}, "b"]}, "params"),
        ("runs/log-batch", {"tags": "t"}, "tags"),
        ("runs/update", {"status": "DONE"}, "status"),
        ("runs/search", {"experiment_ids": "0"}, "experiment_ids"),
        ("runs/search", {"experiment_ids": ["0"], "max_results": "many"}, "max_results"),
        ("runs/search", {"experiment_ids": ["0"], "max_results": 50001}, "max_results"),
        ("runs/search", {"experiment_ids": ["0"], "page_token": "%%%"}, "page token"),
        ("runs/create", {"experiment_id": "0", "start_time": 1.5}, "start_time"),
        ("experiments/create", {"name": ["x"]}, "name"),
        ("registered-models/create", {"name": 1}, "name"),
    ],
)
def test_wrong_type_is_refused_by_name(served, path, body, named):
    url, run_id = served
    if path.startswith("runs/") and path not in ("runs/search", "runs/create"):
        body = {**body, "run_id": run_id}
    answer = requests.post(f"{url}{API}/{path}", json=body, timeout=10)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    says(answer.json()["message"], named)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[1, 2]"),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[" * 100_000),
        ("text/plain", b'{"experiment_id": "0"}'),
        ("application/x-www-form-urlencoded", b"experiment_id=0"),
    ],
)
def test_body_that_is_no_json_object_is_refused(served, content_type, body):
    answer = requests.post(f"{served[0]}{API}/runs/create", data=body, headers={"Content-Type": content_type}, timeout=10)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error_code"] in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST") and len(answer.json()["message"]) > 20


@pytest.mark.parametrize(
    ("filter_string", "parts"),
    [
        ("metrics.accuracy >", [">", "value"]),
        ("foo.bar = 1", ["foo"]),
        ("metrics.a > 1 OR metrics.b > 1", ["OR"]),
        ("attributes.nothing = 'x'", ["nothing", "run_name"]),
        ("params.depth > '3'", ["'>'"]),
        ("metrics.a = 'text'", ["text"]),
    ],
)
def test_broken_filter_is_refused_with_its_place(served, filter_string, parts):
    body = {"experiment_ids": ["0"], "filter": filter_string}
    answer = requests.post(f"{served[0]}{API}/runs/search", json=body, timeout=10)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    says(answer.json()["message"], *parts)


@pytest.mark.parametrize("path", ["%2e%2e/%2e%2e/etc/passwd", "a/%2e%2e/%2e%2e/b", "%252e%252e/x", "a%00b/../c", "/etc/passwd"])
def test_artifact_path_never_leaves_its_tree(served, path):
    for method in ("GET", "PUT"):
        request = requests.Request(method, served[0], data=b"x" if method == "PUT" else None).prepare()
        request.url = f"{served[0]}/api/2.0/mlflow-artifacts/artifacts/{path}"
        answer = requests.Session().send(request, timeout=10)
        assert 400 <= answer.status_code < 500, answer.text
        assert "root:" not in answer.text


def test_unknown_route_says_so(served):
    answer = requests.get(f"{served[0]}{API}/nothing/here", timeout=10)
    assert answer.status_code == 404
    assert os.environ.get("HOME", "/root") not in answer.text
