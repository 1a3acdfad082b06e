"""Registered models: versions, aliases, stages, tags."""

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from sklearn.dummy import DummyClassifier


@pytest.fixture
def log(client, experiment):
    """Logs a model that always answers the same label."""

    def log(label, **options):
        model = DummyClassifier(strategy="constant", constant=label).fit([[0], [1]], [label, label + 1])
        with mlflow.start_run() as run:
            info = mlflow.sklearn.log_model(model, name="dummy", pip_requirements=["scikit-learn"], **options)
        return run.info.run_id, info

    return log


def answer(uri):
    return int(mlflow.sklearn.load_model(uri).predict([[5]])[0])


def test_versions_count_up_and_load_by_number_alias_stage_and_latest(client, log, name):
    _, first = log(10, registered_model_name=name)
    run_id, second = log(20)
    version = mlflow.register_model(second.model_uri, name, tags={"how": "by hand"})
    assert (int(first.registered_model_version), int(version.version)) == (1, 2)
    client.set_registered_model_alias(name, "champion", "2")
    client.transition_model_version_stage(name, "1", "Production")
    assert answer(f"models:/{name}/1") == 10
    assert answer(f"models:/{name}/2") == 20
    assert answer(f"models:/{name}@champion") == 20
    assert answer(f"models:/{name}/Production") == 10
    assert answer(f"models:/{name}/latest") == 20
    read = client.get_model_version(name, "2")
    assert (read.run_id, read.status, read.aliases, read.tags) == (run_id, "READY", ["champion"], {"how": "by hand"})
    assert client.get_model_version_download_uri(name, "2")


def test_version_from_a_path_of_a_run(client, log, name):
    run_id, _ = log(7)
    version = mlflow.register_model(f"runs:/{run_id}/dummy", name)
    assert version.run_id == run_id
    assert answer(f"models:/{name}/{version.version}") == 7


def test_registered_model_is_described_tagged_renamed_and_deleted(client, name):
    client.create_registered_model(name, tags={"a": "1"}, description="first words")
    with pytest.raises(MlflowException) as caught:
        client.create_registered_model(name)
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.update_registered_model(name, "second words")
    client.set_registered_model_tag(name, "b", "2")
    client.delete_registered_model_tag(name, "a")
    read = client.get_registered_model(name)
    assert (read.description, read.tags) == ("second words", {"b": "2"})
    assert read.creation_timestamp <= read.last_updated_timestamp
    client.rename_registered_model(name, f"{name}-renamed")
    assert client.get_registered_model(f"{name}-renamed").tags == {"b": "2"}
    with pytest.raises(MlflowException, match="not found") as caught:
        client.get_registered_model(name)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    client.delete_registered_model(f"{name}-renamed")
    assert client.search_registered_models(f"name LIKE '{name}%'") == []


def test_versions_are_described_tagged_and_deleted(client, log, name):
    for label in (1, 2, 3):
        log(label, registered_model_name=name)
    client.update_model_version(name, "2", "the middle one")
    client.set_model_version_tag(name, "2", "checked", "yes")
    client.set_model_version_tag(name, "2", "gone", "1")
    client.delete_model_version_tag(name, "2", "gone")
    read = client.get_model_version(name, "2")
    assert (read.description, read.tags) == ("the middle one", {"checked": "yes"})
    client.delete_model_version(name, "3")
    with pytest.raises(MlflowException) as caught:
        client.get_model_version(name, "3")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    # A number is never given twice.
    _, info = log(4, registered_model_name=name)
    assert int(info.registered_model_version) == 4
    versions = client.search_model_versions(f"name = '{name}'", order_by=["version_number ASC"])
    assert [int(version.version) for version in versions] == [1, 2, 4]


def test_aliases_move_and_go_with_their_version(client, log, name):
    log(1, registered_model_name=name)
    log(2, registered_model_name=name)
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "challenger", "2")
    client.set_registered_model_alias(name, "champion", "2")
    assert client.get_registered_model(name).aliases == {"champion": "2", "challenger": "2"}
    assert sorted(client.get_model_version(name, "2").aliases) == ["challenger", "champion"]
    assert client.get_model_version(name, "1").aliases == []
    client.delete_registered_model_alias(name, "challenger")
    with pytest.raises(MlflowException, match="challenger not found"):
        client.get_model_version_by_alias(name, "challenger")
    client.delete_model_version(name, "2")
    assert client.get_registered_model(name).aliases == {}
    for reserved in ("latest", "v3"):
        with pytest.raises(MlflowException, match="reserved"):
            client.set_registered_model_alias(name, reserved, "1")
    with pytest.raises(MlflowException):
        client.set_registered_model_alias(name, "nobody", "9")


def test_stages_move_and_archive(client, log, name):
    for label in (1, 2):
        log(label, registered_model_name=name)
    client.transition_model_version_stage(name, "1", "staging")
    client.transition_model_version_stage(name, "2", "Staging", archive_existing_versions=True)
    stages = {version.version: version.current_stage for version in client.search_model_versions(f"name = '{name}'")}
    assert {int(version): stage for version, stage in stages.items()} == {1: "Archived", 2: "Staging"}
    latest = client.get_latest_versions(name, ["Staging", "Archived"])
    assert sorted((int(version.version), version.current_stage) for version in latest) == [(1, "Archived"), (2, "Staging")]
    with pytest.raises(MlflowException) as caught:
        client.transition_model_version_stage(name, "1", "Nowhere")
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_version_is_copied_to_another_model(client, log, name):
    log(33, registered_model_name=name)
    copied = client.copy_model_version(f"models:/{name}/1", f"{name}-copy")
    assert (copied.name, int(copied.version)) == (f"{name}-copy", 1)
    assert copied.source == f"models:/{name}/1"
    assert answer(f"models:/{name}-copy/1") == 33


def test_registry_is_searched(client, log, name):
    run_id, _ = log(1, registered_model_name=f"{name}-a")
    log(2, registered_model_name=f"{name}-b")
    client.set_registered_model_tag(f"{name}-b", "team", "blue")
    client.set_model_version_tag(f"{name}-b", "1", "team", "blue")

    def models(filter_string, **options):
        return [found.name[-1] for found in client.search_registered_models(filter_string, **options)]

    mine = f"name LIKE '{name}%'"
    assert models(mine) == ["a", "b"]
    assert models(mine, order_by=["name DESC"]) == ["b", "a"]
    assert models(f"{mine} AND tags.team = 'blue'") == ["b"]
    assert models(f"name ILIKE '{name.upper()}-A'") == ["a"]
    first = client.search_registered_models(mine, max_results=1)
    second = client.search_registered_models(mine, max_results=1, page_token=first.token)
    assert [found.name[-1] for found in [*first, *second]] == ["a", "b"] and not second.token
    assert [found.name[-1] for found in client.search_model_versions(f"run_id = '{run_id}'")] == ["a"]
    assert [found.name[-1] for found in client.search_model_versions(f"{mine} AND tags.team = 'blue'")] == ["b"]


@pytest.mark.parametrize("bad", ["a/b", "a:b", " ", "..", ""])
def test_name_that_is_not_allowed_is_refused(client, bad):
    with pytest.raises(MlflowException) as caught:
        client.create_registered_model(bad)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_loading_what_was_never_registered_says_so(client, name):
    with pytest.raises(MlflowException) as caught:
        mlflow.pyfunc.load_model(f"models:/{name}/1")
    assert name in str(caught.value)
    assert client.search_model_versions(f"name = '{name}'") == []
