"""Files that older releases of MLflow wrote: read, logged into, and read by their writer again."""

import contextlib
import json
import sqlite3

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException

import facts
import stock
from cairn import Cairn

# Each with what its files lack, and since when MLflow has it.
RELEASES = {
    "1.30.1": {"datasets": "2.4", "aliases": "2.3", "logged models": "3.0"},
    "2.9.2": {"logged models": "3.0"},
    "2.22.4": {"logged models": "3.0"},
    "3.0.1": {},
    "3.1.4": {},
    "3.5.1": {},
    "3.9.0": {},
    "3.10.1": {},
    "3.14.0": {},
    "3.17.2": {},
}
WINE = Dataset("wine", "d1g35t", "local", '{"uri": "wine.csv"}', '{"mlflow_colspec": []}', '{"num_rows": 3}')


def shape(database):
    """The revision of a file, and all of its schema."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return revision, connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()


def without(facts_read, kind):
    return {key: value for key, value in facts_read.items() if key != kind}


def log_more(client, known):
    """Goes on where the older release stopped, in its experiments, runs and models; the run that it makes."""
    by_name = {run["name"]: run_id for run_id, run in known["runs"].items()}
    experiments = {found["name"]: found_id for found_id, found in known["experiments"].items()}
    running = by_name["still running"]
    client.log_batch(running, [Metric("loss", 0.25, 100, 3), Metric("loss", float("nan"), 101, 4)], [Param("late", "yes")], [])
    client.set_tag(running, "by", "cairn")
    client.set_terminated(running)
    child = client.create_run(experiments["second"], run_name="made here", tags={"mlflow.parentRunId": by_name["full"]})
    run_id = child.info.run_id
    client.log_metric(run_id, "score", float("inf"), timestamp=5, step=1)
    client.set_terminated(run_id, "FAILED")
    client.restore_run(by_name["child 2"])
    client.create_run(client.create_experiment("third", tags={"new": "yes"}), run_name="in the third")
    client.restore_experiment(experiments["gone"])
    client.create_model_version("flowers", f"runs:/{run_id}/model", run_id)
    client.transition_model_version_stage("flowers", "4", "Staging")
    client.set_registered_model_tag("flowers", "kind", "changed")
    client.set_model_version_tag("flowers", "1", "checked", "yes")
    client.delete_registered_model("empty")
    return run_id


def log_newer_kinds(client, run_id, experiment_id, lacking):
    """What not every file has tables for: logged, or refused with the release that brought it."""

    def attempt(kind, call):
        if kind not in lacking:
            return call()
        with pytest.raises(MlflowException, match=f"no tables for .*older than {lacking[kind]}.*mlflow db upgrade") as caught:
            call()
        assert caught.value.get_http_status_code() in (400, 501), caught.value.error_code

    attempt("datasets", lambda: client.log_inputs(run_id, [DatasetInput(WINE, [InputTag("mlflow.data.context", "test")])]))
    attempt("aliases", lambda: client.set_registered_model_alias("flowers", "champion", "4"))
    model = attempt("logged models", lambda: client.create_logged_model(experiment_id, "another", run_id, params={"depth": "4"}))
    if model:
        client.finalize_logged_model(model.model_id, "READY")


@pytest.mark.parametrize("release", RELEASES)
def test_file_of_an_older_release_is_served_and_logged_into_in_place(release, tmp_path):
    python, lacking = stock.python_with(release), RELEASES[release]
    store = tmp_path / "store"
    store.mkdir()
    database = store / "mlflow.db"
    stock.run(python, "write_shape.py", database, tmp_path / "facts.json", cwd=tmp_path)
    expected = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert len(expected["runs"]) == 6 and len(expected["experiments"]) == 4 and len(expected["versions"]) == 2
    assert bool(expected["models"]["flowers"]["aliases"]) == ("aliases" not in lacking)
    before = shape(database)

    with Cairn(store) as cairn:
        client = MlflowClient(cairn.url, cairn.url)
        served = stock.comparable(facts.collect(client))
        assert without(served, "logged_models") == without(expected, "logged_models")
        # Releases before 3 know no logged models; then there are none.
        assert served["logged_models"] == expected.get("logged_models", {})

        made = log_more(client, expected)
        log_newer_kinds(client, made, "1", lacking)
        served = stock.comparable(facts.collect(client))
        assert len(served["runs"]) == 8 and len(served["versions"]) == 3
        if "aliases" not in lacking:
            assert served["models"]["flowers"]["aliases"] == {"champion": 4}
        assert stock.read_facts(database, tmp_path, python) == without(served, "" if "logged_models" in expected else "logged_models")
        assert shape(database) == before
    assert shape(database) == before
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        # A file that someone else made keeps its journal mode.
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
