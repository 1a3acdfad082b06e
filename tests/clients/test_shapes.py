"""Files that older releases of MLflow wrote: read, logged into, and read by their writer again."""

import contextlib
import shutil
import sqlite3

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

import facts
import stock
from cairn import Cairn

RELEASES = ["2.22.4", "3.1.4", "3.9.0", "3.17.2"]


def revision(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def tables(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()


def without(facts_read, kind):
    return {key: value for key, value in facts_read.items() if key != kind}


def log_more(client, known):
    """Goes on where the older release stopped, in its experiments, runs and models."""
    by_name = {run["name"]: run_id for run_id, run in known["runs"].items()}
    experiments = {found["name"]: found_id for found_id, found in known["experiments"].items()}
    running = by_name["still running"]
    client.log_batch(running, [Metric("loss", 0.25, 100, 3), Metric("loss", float("nan"), 101, 4)], [Param("late", "yes")], [])
    client.set_tag(running, "by", "cairn")
    client.set_terminated(running)
    child = client.create_run(experiments["second"], run_name="made here", tags={"mlflow.parentRunId": by_name["full"]})
    client.log_metric(child.info.run_id, "score", float("inf"), timestamp=5, step=1)
    wine = Dataset("wine", "d1g35t", "local", '{"uri": "wine.csv"}', '{"mlflow_colspec": []}', '{"num_rows": 3}')
    client.log_inputs(child.info.run_id, [DatasetInput(wine, [InputTag("mlflow.data.context", "test")])])
    client.set_terminated(child.info.run_id, "FAILED")
    client.restore_run(by_name["child 2"])
    client.create_run(client.create_experiment("third", tags={"new": "yes"}), run_name="in the third")
    client.restore_experiment(experiments["gone"])
    client.create_model_version("flowers", f"runs:/{child.info.run_id}/model", child.info.run_id)
    client.set_registered_model_alias("flowers", "champion", "4")
    client.set_registered_model_tag("flowers", "kind", "changed")
    client.set_model_version_tag("flowers", "1", "checked", "yes")
    client.delete_registered_model("empty")
    if known.get("logged_models"):
        model = client.create_logged_model(experiments["first"], "another", running, params={"depth": "4"})
        client.finalize_logged_model(model.model_id, "READY")


@pytest.mark.parametrize("release", RELEASES)
def test_file_of_an_older_release_is_served_and_logged_into_in_place(release, tmp_path):
    python = stock.python_with(release)
    written = tmp_path / "written.db"
    stock.run(python, "write_shape.py", written, cwd=tmp_path)
    expected = stock.read_facts(written, tmp_path, python)
    assert len(expected["runs"]) == 6 and len(expected["experiments"]) == 4 and len(expected["versions"]) == 2

    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(written, store / "mlflow.db")
    before = (revision(written), tables(written))
    with Cairn(store) as cairn:
        client = MlflowClient(cairn.url, cairn.url)
        served = stock.comparable(facts.collect(client))
        assert without(served, "logged_models") == without(expected, "logged_models")
        # Releases before 3 know no logged models; then there are none.
        assert served["logged_models"] == expected.get("logged_models", {})

        log_more(client, expected)
        served = stock.comparable(facts.collect(client))
        assert len(served["runs"]) == 8 and served["models"]["flowers"]["aliases"] == {"champion": 4}
        assert stock.read_facts(store / "mlflow.db", tmp_path, python) == without(
            served, "" if "logged_models" in expected else "logged_models"
        )
        assert (revision(cairn.database), tables(cairn.database)) == before
    assert stock.read_facts(store / "mlflow.db", tmp_path, python)["runs"] == served["runs"]
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        # A file that someone else made keeps its journal mode.
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
