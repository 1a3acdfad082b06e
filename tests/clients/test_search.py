"""Finding runs and experiments by MLflow's filter language."""

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException


@pytest.fixture(scope="module")
def searched(serve):
    """An experiment, and its eight runs, named a to h, whose facts follow from their number."""
    client = MlflowClient(serve.url, serve.url)
    experiment = client.create_experiment("searched")
    runs = {}
    for index, name in enumerate("abcdefgh"):
        run = client.create_run(experiment, run_name=name, start_time=1000 + index)
        runs[name] = run.info.run_id
        metrics = [Metric("accuracy", index / 10, 1, 0), Metric("loss/val", 1 - index / 10, 1, 0)]
        if name == "h":
            metrics = [Metric("accuracy", float("nan"), 1, 0)]
        params = [Param("depth", str(index)), Param("Model", "Forest" if index % 2 else "linear")]
        tags = [RunTag("team", "red" if index < 4 else "blue"), RunTag("a/b: c", 'it is "b"')]
        if name == "g":
            params.append(Param("only", "here"))
        client.log_batch(run.info.run_id, metrics, params, tags)
        client.set_terminated(run.info.run_id, "FAILED" if name == "c" else "FINISHED", end_time=2000 + index)
    return experiment, runs


@pytest.fixture
def find(client, searched):
    """The names of the runs found, in order."""

    def find(filter_string="", order_by=None, **options):
        found = client.search_runs([searched[0]], filter_string, order_by=order_by, **options)
        return "".join(run.info.run_name for run in found)

    return find


@pytest.mark.parametrize(
    ("filter_string", "expected"),
    [
        ("", "hgfedcba"),
        ("metrics.accuracy > 0.3", "gfe"),
        ("metrics.accuracy >= 0.3 and metrics.accuracy < 0.5", "ed"),
        ("metrics.accuracy != 0.1", "hgfedca"),
        ("metrics.`loss/val` <= 0.5", "gf"),
        ('metrics."loss/val" = 1', "a"),
        ("metric.accuracy = 2e-1", "c"),
        ("metrics.accuracy > -1", "gfedcba"),
        ("params.Model = 'Forest'", "hfdb"),
        ("params.Model != 'Forest'", "geca"),
        ("params.Model LIKE 'F%'", "hfdb"),
        ("params.Model LIKE 'f%'", ""),
        ("params.Model ILIKE 'f%'", "hfdb"),
        ("param.depth = '3'", "d"),
        ("params.only IS NOT NULL", "g"),
        ("params.only IS NULL and tags.team = 'blue'", "hfe"),
        ("tags.team = 'red' AND attributes.status = 'FINISHED'", "dba"),
        ("tags.mlflow.runName = 'b'", "b"),
        ("tags.`a/b: c` = 'it is \"b\"'", "hgfedcba"),
        ("status = 'FAILED'", "c"),
        ("attributes.run_name LIKE '%'", "hgfedcba"),
        ("run_name = 'e'", "e"),
        ("attributes.`Run name` = 'e'", "e"),
        ("start_time >= 1006", "hg"),
        ("attributes.end_time < 2002", "ba"),
        ("created > 1005 AND", "hg"),
    ],
)
def test_filter_finds_exactly(find, filter_string, expected):
    assert find(filter_string) == expected


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (["metrics.accuracy DESC"], "gfedcbah"),
        (["metrics.accuracy ASC"], "abcdefgh"),
        (["metrics.`loss/val`"], "gfedcbah"),
        (["params.Model", "params.depth DESC"], "hfdbgeca"),
        (["tags.team DESC", "start_time ASC"], "abcdefgh"),
        (["attributes.run_name DESC"], "hgfedcba"),
        (["params.only"], "ghfedcba"),
        (["params.only DESC"], "ghfedcba"),
        (["end_time"], "abcdefgh"),
        (["status", "start_time"], "cabdefgh"),
    ],
)
def test_order_is_kept_and_missing_values_come_last(find, order_by, expected):
    assert find(order_by=order_by) == expected


def test_run_ids_are_found_in_lists(find, searched):
    runs = searched[1]
    listed = f"('{runs['b']}', '{runs['f']}')"
    assert find(f"attributes.run_id IN {listed}") == "fb"
    assert find(f"attributes.run_id NOT IN {listed}") == "hgedca"
    assert find(f"run_id = '{runs['d']}'") == "d"


def test_pages_join_to_the_whole(client, searched):
    names, token = "", None
    while True:
        page = client.search_runs([searched[0]], order_by=["metrics.accuracy DESC"], max_results=3, page_token=token)
        assert len(page) <= 3
        names += "".join(run.info.run_name for run in page)
        token = page.token
        if not token:
            break
    assert names == "gfedcbah"


def test_data_frame_of_runs_has_a_column_per_key(client, searched):
    frame = mlflow.search_runs([searched[0]], "tags.team = 'blue'", order_by=["start_time"])
    assert list(frame["params.depth"]) == ["4", "5", "6", "7"]
    assert list(frame["metrics.accuracy"][:3]) == [0.4, 0.5, 0.6]
    assert list(frame["status"]) == ["FINISHED"] * 4


def test_several_experiments_are_searched_together(client, searched, name):
    other = client.create_experiment(name)
    client.create_run(other, run_name="z", start_time=5000)
    found = client.search_runs([searched[0], other], "start_time > 1006")
    assert [run.info.run_name for run in found] == ["z", "h"]
    assert client.search_runs(["999999"]) == []


@pytest.mark.parametrize(
    "filter_string",
    [
        "metrics.accuracy >",
        "metrics.accuracy > 'text'",
        "params.depth > '3'",
        "foo.bar = 1",
        "attributes.nothing = 'x'",
        "status == 'FAILED'",
        "status = 'FAILED' OR status = 'FINISHED'",
        "(status = 'FAILED')",
        "status = FAILED",
        "'FAILED' = status",
        "; DROP TABLE runs",
    ],
)
def test_broken_filter_is_refused_in_words(client, searched, filter_string):
    with pytest.raises(MlflowException) as caught:
        client.search_runs([searched[0]], filter_string)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert len(str(caught.value)) > 20


def test_broken_order_is_refused(client, searched):
    for order_by in (["metrics"], ["foo.bar"], ["metrics.a UPWARDS"]):
        with pytest.raises(MlflowException) as caught:
            client.search_runs([searched[0]], order_by=order_by)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_experiments_are_found_by_name_tag_and_order(client, name):
    ids = [client.create_experiment(f"{name} {letter}", tags={"kind": letter}) for letter in "ABC"]
    client.delete_experiment(ids[1])

    def find(filter_string, **options):
        return [found.experiment_id for found in client.search_experiments(filter_string=filter_string, **options)]

    mine = f"name LIKE '{name}%'"
    assert find(mine, order_by=["name DESC"]) == [ids[2], ids[0]]
    assert find(mine, order_by=["name"], view_type=ViewType.ALL) == ids
    assert find(mine, view_type=ViewType.DELETED_ONLY) == [ids[1]]
    assert find(f"name = '{name} C'") == [ids[2]]
    assert find(f"name ILIKE '{name.upper()} a'") == [ids[0]]
    assert find(f"{mine} AND tags.kind = 'C'") == [ids[2]]
    assert find(f"{mine} AND tags.kind != 'C'") == [ids[0]]
    first = client.search_experiments(filter_string=mine, max_results=1, order_by=["experiment_id"])
    second = client.search_experiments(filter_string=mine, max_results=1, order_by=["experiment_id"], page_token=first.token)
    assert [found.experiment_id for found in [*first, *second]] == [ids[0], ids[2]]
