"""A store that Cairn made opens in every minor release of MLflow 3; each may migrate it, and Cairn goes on with it."""

import contextlib
import json
import shutil
import sqlite3

import pytest
from mlflow import MlflowClient

import facts
import stock
import write_shape
from cairn import Cairn


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store that Cairn made and filled, and everything that is in it."""
    store = tmp_path_factory.mktemp("made") / "store"
    with Cairn(store) as cairn:
        client = MlflowClient(cairn.url, cairn.url)
        write_shape.write(client)
        return store, stock.comparable(facts.collect(client))


def revision(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@pytest.mark.parametrize("release", stock.RELEASES_OF_3)
def test_store_of_cairns_opens_in_a_release_and_then_in_cairn(made, release, tmp_path):
    original, expected = made
    store = shutil.copytree(original, tmp_path / "store")
    database = store / "mlflow.db"
    with Cairn(store) as cairn:
        # Underneath the open store, which is where it happens to people.
        stock.run(stock.python_with(release), "use_store.py", database, tmp_path / "facts.json", cwd=tmp_path)
        assert json.loads((tmp_path / "facts.json").read_text(encoding="utf-8")) == expected
        migrated = revision(database)

        client = MlflowClient(cairn.url, cairn.url)
        (theirs,) = client.search_runs([client.get_experiment_by_name(f"of {release}").experiment_id])
        assert (theirs.info.run_name, theirs.data.params) == (release, {"p": "v"})
        assert theirs.data.metrics["m"] == 2 and theirs.data.metrics["nan"] != theirs.data.metrics["nan"]
        assert len(client.search_model_versions("name = 'flowers'")) == 3
        run_id = client.create_run(theirs.info.experiment_id, run_name="by Cairn").info.run_id
        client.log_metric(run_id, "m", 1.5, step=1)
        client.create_model_version("flowers", f"runs:/{run_id}/model", run_id)
        client.set_registered_model_alias("flowers", "newest", "5")
        model = client.create_logged_model(theirs.info.experiment_id, "by cairn", run_id)
        client.log_metric(run_id, "of the model", 0.5, model_id=model.model_id)
        assert client.get_model_version_by_alias("flowers", "newest").run_id == run_id
        assert len(client.search_logged_models([theirs.info.experiment_id])) == 2
        assert revision(database) == migrated
        assert "reading only" not in cairn.output.lower()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
