"""`cairn import`: folders that real file stores wrote, read by real MLflow afterwards."""

import contextlib
import json
import math
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

import stock
from cairn import Cairn, program

RELEASES = ["2.9.2", "2.22.4", "3.1.4", "3.17.2"]
# As the folder is written by hand where it has to be large: runs, metrics, steps.
LARGE = (60, 5, 400)
KILLS = 12
# Longer than anything here takes on a busy machine.
PATIENCE_SECONDS = 60


def import_command(folder, store, *more):
    return [program(), "import", str(folder), "--store", str(store), *more]


def run_import(folder, store, *more):
    """Imports to the end; its exit code and output."""
    done = subprocess.run(import_command(folder, store, *more), capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def clamped(value):
    """Infinities as every SQL store of MLflow keeps them."""
    return math.copysign(sys.float_info.max, value) if isinstance(value, float) and math.isinf(value) else value


def normal(facts):
    """Facts without what an import changes on purpose: where files are, and how infinities are kept."""
    facts = json.loads(json.dumps(facts))
    # The store had an experiment of that name and number before.
    facts["experiments"].pop("0", None)
    for experiment in facts["experiments"].values():
        del experiment["location"]
    for run in facts["runs"].values():
        del run["artifact_uri"]
        run["metrics"] = {key: clamped(value) for key, value in run["metrics"].items()}
        run["history"] = {
            key: sorted(([time, step, clamped(value)] for time, step, value in points), key=str)
            for key, points in run["history"].items()
        }
    for model in facts.get("logged_models", {}).values():
        del model["location"]
    return facts


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("release", RELEASES)
def test_folder_that_a_release_wrote_is_the_same_in_the_store(release, tmp_path):
    python = sys.executable if release == mlflow.__version__ else stock.python_with(release)
    folder, store = tmp_path / "mlruns", tmp_path / "store"
    stock.run(python, "write_files.py", folder, tmp_path / "written.json", cwd=tmp_path)
    written = json.loads((tmp_path / "written.json").read_text(encoding="utf-8"))
    # The addresses inside are those of the place where it was written.
    moved = tmp_path / "moved" / "mlruns"
    moved.parent.mkdir()
    folder.rename(moved)
    code, output = run_import(moved, store)
    assert code == 0, output
    read = stock.read_facts(store / "mlflow.db", tmp_path)
    expected = normal(written)
    found = normal(read)
    # What a release before 3.0 does not know of, it did not write.
    if "logged_models" not in expected:
        assert found.pop("logged_models") == {}
    assert found == expected

    full = next(run_id for run_id, run in written["runs"].items() if run["name"] == "full")
    experiment = written["runs"][full]["experiment_id"]
    logged = files_below(moved / experiment / full / "artifacts")
    assert len(logged) == 3
    assert files_below(store / "mlartifacts" / experiment / full / "artifacts") == logged
    with Cairn(store) as cairn:
        mlflow.set_tracking_uri(cairn.url)
        local = mlflow.artifacts.download_artifacts(run_id=full, artifact_path="model", dst_path=str(tmp_path / "down"))
        assert files_below(Path(local).parent) == logged


def write_large(folder):
    """Many runs of the file store's own form."""
    runs, keys, steps = LARGE
    (folder / "0").mkdir(parents=True)
    (folder / "0/meta.yaml").write_text("artifact_location: /gone/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n")
    for number in range(runs):
        run_id = f"{number:032x}"
        run = folder / "0" / run_id
        for kind in ("metrics", "params", "tags", "artifacts/deep"):
            (run / kind).mkdir(parents=True)
        start = 1_700_000_000_000 + number * 60_000
        (run / "meta.yaml").write_text(
            f"artifact_uri: /gone/0/{run_id}/artifacts\nend_time: {start + 1}\nexperiment_id: '0'\nlifecycle_stage: active\n"
            f"run_id: {run_id}\nrun_name: run {number}\nsource_type: 4\nstart_time: {start}\nstatus: 3\nuser_id: ada\n"
        )
        (run / "params/number").write_text(str(number))
        (run / "tags/mlflow.runName").write_text(f"run {number}")
        (run / "artifacts/deep/file").write_bytes(random.Random(number).randbytes(20_000))
        for key in range(keys):
            lines = (f"{start + step} {step / (key + 1)} {step}\n" for step in range(steps))
            (run / f"metrics/metric {key}").write_text("".join(lines))


def rows(store):
    """All rows that an import makes, without what is made up at random."""
    with contextlib.closing(sqlite3.connect(f"file:{store / 'mlflow.db'}?mode=ro", uri=True)) as connection:
        return {
            table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}").fetchall()
            for table, columns in {
                "runs": "run_uuid, name, status, start_time, end_time, artifact_uri, experiment_id",
                "params": "key, value, run_uuid",
                "tags": "key, value, run_uuid",
                "metrics": "key, value, timestamp, run_uuid, step, is_nan",
                "latest_metrics": "key, value, timestamp, step, is_nan, run_uuid",
            }.items()
        }


def test_import_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    folder, whole, store = tmp_path / "mlruns", tmp_path / "whole", tmp_path / "store"
    write_large(folder)
    started = time.monotonic()
    assert run_import(folder, whole)[0] == 0
    took = time.monotonic() - started
    chance = random.Random(5)
    for _ in range(KILLS):
        process = subprocess.Popen(import_command(folder, store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.02, took))
        process.send_signal(signal.SIGKILL)
        process.wait()
    code, output = run_import(folder, store)
    assert code == 0, output
    assert rows(store) == rows(whole)
    assert files_below(store / "mlartifacts") == files_below(whole / "mlartifacts")
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_import_is_stopped_by_a_signal_and_goes_on(tmp_path):
    folder, store = tmp_path / "mlruns", tmp_path / "store"
    write_large(folder)
    process = subprocess.Popen(import_command(folder, store), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout.readline().startswith("Importing ")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, output
    assert "goes on where this ended" in output
    code, output = run_import(folder, store)
    assert code == 0, output
    assert len(rows(store)["metrics"]) == math.prod(LARGE)


def test_what_is_left_out_is_told_and_changes_the_exit_code(tmp_path):
    folder, store = tmp_path / "mlruns", tmp_path / "store"
    write_large(folder)
    (folder / "0" / f"{0:032x}" / "meta.yaml").write_text("run_id: [broken\n")
    code, output = run_import(folder, store)
    assert code == 3, output
    assert "Left out:" in output
    assert f"0/{0:032x}/meta.yaml" in output
    code, output = run_import(tmp_path / "nothing here", store)
    assert code == 1, output
    code, output = run_import(store, tmp_path / "other store")
    assert code == 1
    assert "open the folder of the mlflow.db as a store" in output


def waits_for(what, is_so):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come in"
        time.sleep(0.05)


def test_followed_folder_brings_in_what_a_client_logs_meanwhile(tmp_path):
    folder, store = tmp_path / "mlruns", tmp_path / "store"
    write_large(folder)
    process = subprocess.Popen(
        import_command(folder, store, "--follow"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for line in process.stdout:
            if line.startswith("Following"):
                break
        training = subprocess.Popen(
            [sys.executable, str(stock.HERE / "log_files.py"), str(folder), "0.2"],
            stdout=subprocess.PIPE,
            text=True,
            env=stock.environment(),
            cwd=tmp_path,
        )
        run_id = training.stdout.readline().strip()

        def values():
            with contextlib.closing(sqlite3.connect(f"file:{store / 'mlflow.db'}?mode=ro", uri=True)) as connection:
                sql = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = 'loss' ORDER BY step"
                return connection.execute(sql, [run_id]).fetchall()

        waits_for("the first value", values)
        training.communicate(timeout=PATIENCE_SECONDS)
        assert training.returncode == 0
        waits_for("every value", lambda: values() == [(step, 1 / (step + 1)) for step in range(10)])

        def status():
            with contextlib.closing(sqlite3.connect(f"file:{store / 'mlflow.db'}?mode=ro", uri=True)) as connection:
                return connection.execute("SELECT status FROM runs WHERE run_uuid = ?", [run_id]).fetchone()

        waits_for("the end of the run", lambda: status() == ("FINISHED",))
        waits_for("the file", lambda: any((store / "mlartifacts").glob(f"*/{run_id}/artifacts/notes/end.txt")))
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
