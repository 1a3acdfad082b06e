"""Cairn, a real `mlflow server`, and clients straight on the file, all writing one database at the same time."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient
from mlflow.store.db.utils import _verify_schema, create_sqlalchemy_engine

import stock
from cairn import Cairn
from chance import SCALE

# Ten minutes at a scale of 30.
SECONDS = 20 * SCALE
DIRECT = 4
# What every writer is promised to wait for the others.
LOCK_SECONDS = 20


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_nobody_is_locked_out_and_nothing_is_lost(tmp_path, journal):
    store = tmp_path / "store"
    database = store / "mlflow.db"
    with Cairn(store) as cairn:
        MlflowClient(cairn.url).create_experiment("shared")
    # Migrates the file, before anyone has it open.
    stock.read_facts(database, tmp_path)
    if journal == "delete":
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    stop = tmp_path / "stop"
    # Stores are in WAL; the other mode is that of files which MLflow made.
    seconds = SECONDS if journal == "wal" else SECONDS / 2

    (tmp_path / "server").mkdir()
    with Cairn(store) as cairn, stock.Server(sys.executable, database, tmp_path / "server") as server:
        uris = {"by cairn": cairn.url, "also by cairn": cairn.url, "by mlflow": server.wait()}
        uris |= {f"direct {index}": f"sqlite:///{database}" for index in range(DIRECT)}
        argv = [sys.executable, str(stock.HERE / "share_writer.py"), str(tmp_path), str(stop)]
        for name, uri in uris.items():
            argv += [name, uri]
        env = {**stock.environment(), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        log = tmp_path / "writers.log"
        with open(log, "w", encoding="utf-8") as errors:
            writers = subprocess.Popen(argv, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert writers.stdout.readline() == "ready\n", log.read_text()
            time.sleep(seconds)
        finally:
            stop.touch()
        assert writers.wait(120) == 0, log.read_text()[-3000:]
        notes = {name: json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in uris}
        for name, noted in notes.items():
            print(f"{journal}: {name}: {noted['calls']} writes, the slowest {noted['slowest']:.2f} s, {len(noted['refused'])} refused")
        for name, noted in notes.items():
            assert noted["refused"] == [], name
            assert noted["slowest"] < LOCK_SECONDS, name
            assert noted["calls"] >= 3, name
        served_alike(cairn, server, notes)
    whole(database, notes, journal)


def served_alike(cairn, server, notes):
    """Both servers tell the same about a run of each writer."""
    for noted in notes.values():
        run_id = next(iter(noted["runs"]))
        ours, theirs = (MlflowClient(uri).get_run(run_id).data.to_dictionary() for uri in (cairn.url, server.url))
        assert ours == theirs


def whole(database, notes, journal):
    """Everything that was answered is in the file, which is sound and as it was."""
    engine = create_sqlalchemy_engine(f"sqlite:///{database}")
    _verify_schema(engine)
    engine.dispose()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [(journal,)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

        def found(statement, run_id):
            return {row[0] for row in connection.execute(statement, (run_id,))}

        for noted in notes.values():
            for run_id, answered in noted["runs"].items():
                for key in "abc":
                    steps = found(f"SELECT step FROM metrics WHERE key = '{key}' AND value = step AND run_uuid = ?", run_id)
                    assert set(answered["steps"]) <= steps
                    (latest,) = found(f"SELECT step FROM latest_metrics WHERE key = '{key}' AND run_uuid = ?", run_id) or {0}
                    assert latest == max(steps, default=0)
                assert set(answered["params"]) <= found("SELECT key FROM params WHERE run_uuid = ?", run_id)
                assert set(answered["tags"]) <= found("SELECT key FROM tags WHERE run_uuid = ?", run_id)
