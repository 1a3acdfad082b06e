"""Logging runs the way notebooks and scripts do."""

import math
import threading
import time

import mlflow
import mlflow.data
import pandas as pd
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException


def history(client, run_id, key):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]


def test_fluent_logging_is_read_back(client, experiment):
    started = int(time.time() * 1000)
    with mlflow.start_run(run_name="first", description="what it is *about*", tags={"stage": "draft"}) as run:
        mlflow.log_param("learning rate", 0.01)
        mlflow.log_params({"optimizer": "adam", "layers/hidden": 3, "empty": ""})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"accuracy": 0.5, "f1": 0.25}, step=2)
        mlflow.set_tag("stage", "final")
        mlflow.set_tags({"owner": "ä 漢字 🙂", "multi": "one\ntwo"})
        assert client.get_run(run.info.run_id).info.status == "RUNNING"
    read = client.get_run(run.info.run_id)
    assert read.info.run_name == "first"
    assert read.info.experiment_id == experiment
    assert read.info.status == "FINISHED"
    assert read.info.lifecycle_stage == "active"
    assert started <= read.info.start_time <= read.info.end_time <= time.time() * 1000
    assert read.info.artifact_uri.startswith("mlflow-artifacts:/") and run.info.run_id in read.info.artifact_uri
    assert read.data.params == {"learning rate": "0.01", "optimizer": "adam", "layers/hidden": "3", "empty": ""}
    assert read.data.metrics == {"loss": 0.2, "accuracy": 0.5, "f1": 0.25}
    tags = read.data.tags
    assert (tags["stage"], tags["owner"], tags["multi"]) == ("final", "ä 漢字 🙂", "one\ntwo")
    assert tags["mlflow.runName"] == "first"
    assert tags["mlflow.note.content"] == "what it is *about*"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert history(client, run.info.run_id, "loss") == [(step, 1 / (step + 1)) for step in range(5)]


def test_run_without_a_name_gets_one(client, experiment):
    with mlflow.start_run() as run:
        pass
    read = client.get_run(run.info.run_id)
    assert read.info.run_name and read.info.run_name == read.data.tags["mlflow.runName"]


def test_log_batch_writes_all_three_kinds(client, experiment):
    run_id = client.create_run(experiment).info.run_id
    metrics = [Metric(f"m{index % 10}", index / 3, 1_700_000_000_000 + index, index) for index in range(900)]
    params = [Param(f"p{index}", f"value {index}") for index in range(60)]
    tags = [RunTag(f"t{index}", f"tag {index}") for index in range(40)]
    client.log_batch(run_id, metrics, params, tags)
    read = client.get_run(run_id)
    assert read.data.params == {param.key: param.value for param in params}
    assert {key: read.data.tags[key] for key in (tag.key for tag in tags)} == {tag.key: tag.value for tag in tags}
    assert read.data.metrics == {f"m{index % 10}": index / 3 for index in range(890, 900)}
    assert history(client, run_id, "m3") == [(index, index / 3) for index in range(3, 900, 10)]


def test_numbers_that_are_not_finite_are_kept(client, experiment):
    with mlflow.start_run() as run:
        mlflow.log_metric("nan", math.nan)
        mlflow.log_metric("up", math.inf)
        mlflow.log_metric("down", -math.inf)
        mlflow.log_metric("tiny", 5e-324)
        mlflow.log_metric("gap", 1.0, step=0)
        mlflow.log_metric("gap", math.nan, step=1)
        mlflow.log_metric("gap", 3.0, step=2)
    metrics = client.get_run(run.info.run_id).data.metrics
    assert math.isnan(metrics["nan"])
    # MLflow's schema has no place for infinities: the largest double stands for them.
    assert (metrics["up"], metrics["down"]) == (1.7976931348623157e308, -1.7976931348623157e308)
    assert metrics["tiny"] == 5e-324
    gap = [value for _, value in history(client, run.info.run_id, "gap")]
    assert gap[0] == 1.0 and math.isnan(gap[1]) and gap[2] == 3.0


def test_latest_metric_is_the_one_of_the_latest_step(client, experiment):
    run_id = client.create_run(experiment).info.run_id
    client.log_metric(run_id, "m", 1.0, timestamp=3000, step=5)
    client.log_metric(run_id, "m", 2.0, timestamp=9000, step=4)
    client.log_metric(run_id, "m", 3.0, timestamp=1000, step=-7)
    assert client.get_run(run_id).data.metrics == {"m": 1.0}
    client.log_metric(run_id, "m", 4.0, timestamp=3001, step=5)
    assert client.get_run(run_id).data.metrics == {"m": 4.0}
    assert len(client.get_metric_history(run_id, "m")) == 4


def test_asynchronous_logging_arrives_completely(client, experiment):
    with mlflow.start_run() as run:
        operations = [mlflow.log_metric("loss", step * 0.5, step=step, synchronous=False) for step in range(300)]
        operations.append(mlflow.log_params({f"p{index}": index for index in range(50)}, synchronous=False))
        operations.append(mlflow.set_tags({"kind": "asynchronous"}, synchronous=False))
        operations.append(mlflow.log_metrics({"a": 1, "b": 2}, step=1, synchronous=False))
        for operation in operations:
            operation.wait()
    read = client.get_run(run.info.run_id)
    assert history(client, run.info.run_id, "loss") == [(step, step * 0.5) for step in range(300)]
    assert read.data.params == {f"p{index}": str(index) for index in range(50)}
    assert read.data.tags["kind"] == "asynchronous"
    assert (read.data.metrics["a"], read.data.metrics["b"]) == (1, 2)


def test_flushing_asynchronous_logging_leaves_nothing_behind(client, experiment):
    with mlflow.start_run() as run:
        for step in range(100):
            mlflow.log_metric("loss", step, step=step, synchronous=False)
        mlflow.flush_async_logging()
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 100


def test_runs_of_many_threads_do_not_mix(client, experiment):
    def work(index):
        run_id = client.create_run(experiment, run_name=f"thread {index}").info.run_id
        for step in range(30):
            client.log_metric(run_id, "value", index * 1000 + step, step=step)
        client.set_terminated(run_id)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = client.search_runs([experiment])
    assert sorted(run.info.run_name for run in runs) == [f"thread {index}" for index in range(6)]
    for run in runs:
        index = int(run.info.run_name.split()[1])
        assert history(client, run.info.run_id, "value") == [(step, index * 1000 + step) for step in range(30)]


def test_parameter_cannot_be_changed_but_repeated(client, experiment):
    with mlflow.start_run() as run:
        mlflow.log_param("depth", 3)
        mlflow.log_param("depth", 3)
        with pytest.raises(MlflowException, match="Changing param values is not allowed") as caught:
            mlflow.log_param("depth", 4)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert client.get_run(run.info.run_id).data.params == {"depth": "3"}


def test_tags_are_replaced_and_deleted(client, experiment):
    with mlflow.start_run() as run:
        mlflow.set_tag("a", 1)
        mlflow.set_tag("a", 2)
        mlflow.set_tag("b", 3)
        mlflow.delete_tag("b")
        with pytest.raises(MlflowException) as caught:
            mlflow.delete_tag("b")
        assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    tags = client.get_run(run.info.run_id).data.tags
    assert tags["a"] == "2" and "b" not in tags


def test_renamed_run_has_one_name(client, experiment):
    run_id = client.create_run(experiment, run_name="before").info.run_id
    client.update_run(run_id, name="after")
    read = client.get_run(run_id)
    assert (read.info.run_name, read.data.tags["mlflow.runName"]) == ("after", "after")
    client.set_tag(run_id, "mlflow.runName", "again")
    assert client.get_run(run_id).info.run_name == "again"


def test_datasets_are_read_back_with_their_context(client, experiment, iris):
    features, labels = iris
    frame = pd.concat([features, labels], axis=1)
    training = mlflow.data.from_pandas(frame, name="iris", targets="target")
    array = mlflow.data.from_numpy(features.to_numpy(), name="iris array", targets=labels.to_numpy())
    with mlflow.start_run() as run:
        mlflow.log_input(training, context="training", tags={"split": "full"})
        mlflow.log_input(array, context="validation")
    inputs = {entry.dataset.name: entry for entry in client.get_run(run.info.run_id).inputs.dataset_inputs}
    assert set(inputs) == {"iris", "iris array"}
    read = inputs["iris"].dataset
    assert (read.digest, read.source_type) == (training.digest, "code")
    expected = training.to_dict()
    assert (read.schema, read.profile, read.source) == (expected["schema"], expected["profile"], expected["source"])
    assert {tag.key: tag.value for tag in inputs["iris"].tags} == {"mlflow.data.context": "training", "split": "full"}
    assert [tag.value for tag in inputs["iris array"].tags] == ["validation"]
    found = client.search_runs([experiment], "dataset.name = 'iris' AND dataset.context = 'training'")
    assert [entry.info.run_id for entry in found] == [run.info.run_id]


def test_nested_runs_know_their_parent(client, experiment):
    with mlflow.start_run(run_name="sweep") as parent:
        for depth in (1, 2, 3):
            with mlflow.start_run(run_name=f"depth {depth}", nested=True):
                mlflow.log_param("depth", depth)
                with mlflow.start_run(run_name="inner", nested=True):
                    pass
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert sorted(run.data.params["depth"] for run in children) == ["1", "2", "3"]
    assert {client.get_parent_run(run.info.run_id).info.run_id for run in children} == {parent.info.run_id}
    assert len(client.search_runs([experiment])) == 7


def test_exception_fails_the_run(client, experiment):
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        mlflow.log_metric("before", 1)
        raise ZeroDivisionError
    read = client.get_run(run.info.run_id)
    assert read.info.status == "FAILED" and read.info.end_time
    assert read.data.metrics == {"before": 1}


def test_killed_run_is_killed(client, experiment):
    run_id = client.create_run(experiment).info.run_id
    client.set_terminated(run_id, "KILLED", end_time=1_800_000_000_000)
    info = client.get_run(run_id).info
    assert (info.status, info.end_time) == ("KILLED", 1_800_000_000_000)


def test_ended_run_can_be_resumed(client, experiment):
    with mlflow.start_run() as first:
        mlflow.log_metric("loss", 1.0, step=0)
    with mlflow.start_run(run_id=first.info.run_id):
        assert client.get_run(first.info.run_id).info.status == "RUNNING"
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_param("late", "yes")
    read = client.get_run(first.info.run_id)
    assert (read.info.status, read.data.metrics, read.data.params) == ("FINISHED", {"loss": 0.5}, {"late": "yes"})
    assert history(client, first.info.run_id, "loss") == [(0, 1.0), (1, 0.5)]


def test_deleted_run_takes_nothing_and_comes_back(client, experiment):
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1)
    run_id = run.info.run_id
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment]) == []
    assert len(client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)) == 1
    assert len(client.search_runs([experiment], run_view_type=ViewType.ALL)) == 1
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        client.log_metric(run_id, "m", 2)
    client.restore_run(run_id)
    client.log_metric(run_id, "m", 2, step=1)
    assert client.search_runs([experiment])[0].data.metrics == {"m": 2}


def test_experiment_is_deleted_with_its_runs_and_comes_back(client, name):
    experiment_id = client.create_experiment(name, tags={"team": "a"})
    run_id = client.create_run(experiment_id).info.run_id
    client.delete_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert name not in [found.name for found in client.search_experiments()]
    with pytest.raises(MlflowException) as caught:
        client.create_experiment(name)
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"
    with pytest.raises(MlflowException, match="deleted"):
        mlflow.set_experiment(name)
    client.restore_experiment(experiment_id)
    assert client.get_experiment_by_name(name).lifecycle_stage == "active"
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def test_experiment_is_renamed_and_tagged(client, name):
    experiment_id = client.create_experiment(name)
    client.rename_experiment(experiment_id, f"{name} renamed")
    client.set_experiment_tag(experiment_id, "mlflow.note.content", "about *this*")
    client.set_experiment_tag(experiment_id, "gone", "1")
    client.delete_experiment_tag(experiment_id, "gone")
    read = client.get_experiment(experiment_id)
    assert read.name == f"{name} renamed"
    assert read.tags == {"mlflow.note.content": "about *this*"}
    assert client.get_experiment_by_name(name) is None


def test_missing_things_are_said_to_be_missing(client, experiment):
    with pytest.raises(MlflowException, match="not found") as caught:
        client.get_run("0" * 32)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(MlflowException, match="No Experiment with id=987654") as caught:
        client.get_experiment("987654")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.get_metric_history(client.create_run(experiment).info.run_id, "never") == []


def test_long_values_are_cut_as_mlflow_cuts_them(client, experiment):
    with mlflow.start_run() as run:
        mlflow.log_param("long", "x" * 7000)
        mlflow.set_tag("long", "y" * 9000)
    data = client.get_run(run.info.run_id).data
    assert data.params["long"] == "x" * 6000
    assert data.tags["long"] == "y" * 8000


@pytest.mark.parametrize("key", ["../a", "a//b", "/a", "a#b", "a" * 251])
def test_key_that_is_not_allowed_is_refused(client, experiment, key):
    run_id = client.create_run(experiment).info.run_id
    for log in (client.log_metric, client.log_param):
        with pytest.raises(MlflowException) as caught:
            log(run_id, key, 1)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert client.get_run(run_id).data.params == {}
