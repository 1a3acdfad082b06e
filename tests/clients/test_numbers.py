"""Numbers and times at their limits: kept and answered as MLflow does, through the server and the file, both ways."""

import math
import sys
import time

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from cairn import Cairn

I64 = 2**63
VALUES = [
    math.nan, -math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, -5e-324, sys.float_info.max, -sys.float_info.max, sys.float_info.min,
    2.0**53, 2.0**53 + 1, 2.0**53 + 2, -(2.0**63), 0.1, 0.1 + 0.2, 1 / 3, 1e22, 1e23, 123456789012345680.0, 1.0000000000000002,
]  # fmt: skip
STEPS = [-I64, -I64 + 1, -(2**53) - 1, -1, 0, 1, 2**31, 2**53 + 1, I64 - 1]
# A time of 0, in seconds instead of milliseconds, of now, far ahead.
TIMES = [0, 1, 1_700_000_000, 1_700_000_000_123, 2**53 + 1, 10**18, I64 - 1]


def bits(value):
    """A double as it is, since -0.0 equals 0.0 and NaN nothing."""
    return "NaN" if math.isnan(value) else value.hex()


def everything(client, run_id, keys):
    """All that is answered of a run's metrics."""
    run = client.get_run(run_id)
    history = {
        key: sorted((metric.step, metric.timestamp, bits(metric.value)) for metric in client.get_metric_history(run_id, key))
        for key in keys
    }
    return history, {key: bits(value) for key, value in run.data.metrics.items()}, run.info.start_time, run.info.end_time


def fill(client, experiment):
    """A run with every value, step and time; its id and keys."""
    run_id = client.create_run(experiment, start_time=10**18).info.run_id
    metrics = [Metric(f"value {index}", value, 5, 0) for index, value in enumerate(VALUES)]
    metrics += [Metric("values", value, 5, index) for index, value in enumerate(VALUES)]
    metrics += [Metric("steps", float(index), 5, step) for index, step in enumerate(STEPS)]
    metrics += [Metric("times", float(index), at, 0) for index, at in enumerate(TIMES)]
    # The clock goes back, then ten years ahead: the step decides, then the time.
    for index, at in enumerate([1_700_000_000_000, 1_699_992_800_000, 2_015_000_000_000, 1_700_000_001_000]):
        metrics.append(Metric("stepped clock", float(index), at, index))
        metrics.append(Metric("same step", float(index), at, 3))
    client.log_batch(run_id, metrics)
    for value in (math.nan, math.inf, -0.0):
        client.log_metric(run_id, "alone", value, timestamp=TIMES[-1], step=STEPS[0])
    # It ended before it began.
    client.set_terminated(run_id, end_time=1)
    return run_id, sorted({metric.key for metric in metrics} | {"alone"})


@pytest.fixture
def both(tmp_path):
    """Clients of Cairn and of MLflow straight on the same file."""
    with Cairn(tmp_path / "store") as cairn:
        # Migrates the file.
        SqlAlchemyStore(f"sqlite:///{cairn.database}", str(tmp_path))
        yield MlflowClient(cairn.url), MlflowClient(f"sqlite:///{cairn.database}")


def test_numbers_are_the_same_through_server_and_file_both_ways(both):
    ours, theirs = both
    experiment = ours.create_experiment("numbers")
    told = []
    for writer in (ours, theirs):
        run_id, keys = fill(writer, experiment)
        answers = [everything(reader, run_id, keys) for reader in (ours, theirs)]
        assert answers[0] == answers[1]
        told.append(answers[0])
    # And it does not matter who wrote.
    assert told[0] == told[1]
    history, latest, start, end = told[0]
    assert len(history["steps"]) == len(STEPS) and len(history["times"]) == len(TIMES)
    assert [step for step, _, _ in history["steps"]] == sorted(STEPS)
    assert latest["stepped clock"] == bits(3.0) and latest["same step"] == bits(2.0)
    assert (start, end) == (10**18, 1)


def test_servers_own_times_are_milliseconds_of_now(both):
    ours, theirs = both
    before = int(time.time() * 1000)
    experiment = ours.get_experiment(ours.create_experiment("times"))
    model = ours.create_registered_model("times")
    after = int(time.time() * 1000)
    for at in (experiment.creation_time, experiment.last_update_time, model.creation_timestamp, model.last_updated_timestamp):
        assert before <= at <= after
    assert theirs.get_experiment(experiment.experiment_id).creation_time == experiment.creation_time


@pytest.mark.parametrize("bad", [-1, -(2**63)])
def test_time_before_1970_is_refused_by_both(both, bad):
    for client in both:
        run_id = client.create_run("0").info.run_id
        with pytest.raises(Exception, match="nonnegative") as caught:
            client.log_metric(run_id, "m", 1.0, timestamp=bad)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
