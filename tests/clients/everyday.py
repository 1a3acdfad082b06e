"""What people do with MLflow, call by call, and what each call answers, as JSON.

Runs with every release of MLflow from 2.9 on, which must not notice which server it talks to:
python everyday.py <tracking URI> <output file>

Ids and times are replaced: an id by a number that says when it was first seen, a time of now by `now`.
"""

import datetime
import enum
import json
import math
import os
import re
import sys
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
COMMIT = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
GENERATED_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")
# An hour ago, since the server may have begun before.
BEGAN_MS = int(time.time() * 1000) - 3_600_000
FIXED_MS = 1_700_000_000_000


class Transcript:
    """The calls made so far and what they answered."""

    def __init__(self, uri):
        self.uri = uri
        self.ids = {}
        self.calls = []

    def __call__(self, name, call, /, *arguments, **options):
        """Makes a call and notes its answer, or the code of its refusal; the answer."""
        answer = None
        try:
            answer = call(*arguments, **options)
        except MlflowException as error:
            noted = {"refused": error.error_code}
        except Exception as error:
            noted = {"raised": type(error).__name__}
        else:
            noted = self.plain(answer)
        self.calls.append([self.text(name), noted])
        return answer

    def text(self, text):
        if GENERATED_NAME.fullmatch(text):
            return "a generated name"
        for known, name in ((self.uri, "<uri>"), (os.getcwd(), "<folder>")):
            text = text.replace(known, name) if known else text
        # Of the folder that this script lies in.
        text = COMMIT.sub("<commit>", text)
        return ID.sub(lambda found: self.ids.setdefault(found.group(), f"id {len(self.ids) + 1}"), text)

    def plain(self, value):
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, (bool, type(None))):
            return value
        if isinstance(value, (int, float)):
            if isinstance(value, float) and math.isnan(value):
                return "NaN"
            return "now" if BEGAN_MS <= value <= BEGAN_MS + 7_200_000 else value
        if isinstance(value, (str, os.PathLike)):
            return self.text(str(value))
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, dict):
            return {self.text(str(key)): self.plain(item) for key, item in sorted(value.items(), key=lambda item: str(item[0]))}
        if isinstance(value, datetime.datetime):
            return "a time"
        # MLflow's entities list their properties.
        if hasattr(value, "_properties"):
            fields = {name: self.plain(item) for name, item in sorted(dict(value).items()) if not name.startswith("_")}
            if versions := fields.get("latest_versions"):
                # In no order that means anything.
                versions.sort(key=lambda version: int(version["version"]))
            return fields
        items = [self.plain(item) for item in value]
        return {"items": items, "more": True} if getattr(value, "token", None) else items


def by_key(items):
    return sorted(items, key=lambda item: (item.key, item.step, item.timestamp))


def files_below(folder):
    """Path and content of every file."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                found[os.path.relpath(os.path.join(path, name), folder)] = file.read()
    return found


def experiments(call, client):
    """Made, found, renamed, tagged, deleted, restored; the ids of two."""
    first = call("create an experiment", client.create_experiment, "first", tags={"team": "a", "ä": "漢字"})
    second = call("set an experiment that is new", mlflow.set_experiment, "second").experiment_id
    call("create it again", client.create_experiment, "first")
    call("create one without a name", client.create_experiment, "")
    call("get it", client.get_experiment, first)
    call("get it by name", client.get_experiment_by_name, "second")
    call("get one that is not there", client.get_experiment, "987654")
    call("get a name that is not there", client.get_experiment_by_name, "never")
    call("set its tag", client.set_experiment_tag, first, "mlflow.note.content", "about *this*")
    call("rename it", client.rename_experiment, first, "first renamed")
    call("rename one that is not there", client.rename_experiment, "987654", "x")
    gone = call("create a third", client.create_experiment, "gone", artifact_location="mlflow-artifacts:/elsewhere")
    call("delete it", client.delete_experiment, gone)
    call("delete it again", client.delete_experiment, gone)
    call("set one that is deleted", mlflow.set_experiment, "gone")
    call("run in one that is deleted", client.create_run, gone)
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
        call(f"search experiments in view {view}", client.search_experiments, view, order_by=["name ASC"])
    call("restore it", client.restore_experiment, gone)
    call("search experiments by a filter", client.search_experiments, filter_string="name LIKE '%first%' AND tags.team = 'a'")
    call("search experiments by page", client.search_experiments, max_results=2, order_by=["experiment_id ASC"])
    call("search experiments by nonsense", client.search_experiments, filter_string="nothing = 'x'")
    mlflow.set_experiment("second")
    return first, second


def fluent(call, client):
    """A run and those inside it, by the fluent functions; its id."""
    with mlflow.start_run(run_name="outer", tags={"kind": "fluent"}, description="about it") as run:
        call("the active run", mlflow.active_run)
        call("log a param", mlflow.log_param, "depth", 3)
        call("log it again", mlflow.log_param, "depth", 3)
        call("log it changed", mlflow.log_param, "depth", 4)
        call("log params", mlflow.log_params, {"lr": 0.1, "name": "tree", "none": None, "long": "x" * 400})
        call("log a metric", mlflow.log_metric, "loss", 0.5)
        for step in range(5):
            mlflow.log_metric("curve", 1 / (step + 1), step=step)
        call("log metrics", mlflow.log_metrics, {"a": 1, "b": 2.5}, step=7)
        call("log a metric that is not finite", mlflow.log_metrics, {"nan": math.nan, "up": math.inf, "down": -math.inf})
        call("log a metric that is no number", mlflow.log_metric, "text", "abc")
        call("set a tag", mlflow.set_tag, "release.candidate", "yes")
        call("set tags", mlflow.set_tags, {"one": 1, "two": "2", "gone": ""})
        call("delete a tag", mlflow.delete_tag, "gone")
        call("delete it again", mlflow.delete_tag, "gone")
        for name in ("inner 1", "inner 2"):
            with mlflow.start_run(run_name=name, nested=True) as inner:
                mlflow.log_metric("score", len(name) / 10)
            call("the parent", client.get_parent_run, inner.info.run_id)
        call("start a run in a run", mlflow.start_run)
    call("the ended run", client.get_run, run.info.run_id)
    try:
        with mlflow.start_run(run_name="failing"):
            raise ZeroDivisionError
    except ZeroDivisionError:
        call("the failed run", mlflow.last_active_run)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("curve", 9, step=9)
    call("the resumed run", client.get_run, run.info.run_id)
    return run.info.run_id


def runs(call, client, experiment):
    """Runs by the client; their ids."""
    run = call("create a run", client.create_run, experiment, FIXED_MS, {"team": "red"}, "by hand")
    run_id = run.info.run_id
    nameless = call("create one with nothing", client.create_run, experiment)
    call("and delete it", client.delete_run, nameless.info.run_id)
    call("get one that is not there", client.get_run, "0" * 32)
    metrics = [Metric("acc", value, FIXED_MS + step, step) for step, value in enumerate([0.1, math.nan, math.inf, -math.inf, -0.0])]
    metrics += [Metric("steps", float(step), 5, step) for step in (-(2**63), -3, 0, 2**53 + 1, 2**63 - 1)]
    metrics += [Metric("times", 1.0, at, 0) for at in (0, 1_700_000_000, 10**18)]
    metrics += [Metric("exact", value, 1, step) for step, value in enumerate([2.0**53 + 1, 5e-324, 1.7976931348623157e308, 0.1 + 0.2])]
    params = [Param("p", "v"), Param("a/b", "c d"), Param("empty", "")]
    call("log a batch", client.log_batch, run_id, metrics, params, [RunTag("t", "ü\n🙂"), RunTag("empty", "")])
    for key in ("acc", "steps", "times", "exact", "never"):
        call(f"the history of {key}", lambda key=key: by_key(client.get_metric_history(run_id, key)))
    call("a batch with a changed param", client.log_batch, run_id, [Metric("late", 1.0, 1, 0)], [Param("p", "w")], [])
    call("a batch with a param twice", client.log_batch, run_id, [], [Param("q", "1"), Param("q", "2")], [])
    call("a batch that is too large", client.log_batch, run_id, [], [Param(f"p{index}", "") for index in range(101)], [])
    call("an empty batch", client.log_batch, run_id, [], [], [])
    call("a metric before all time", client.log_metric, run_id, "m", 1.0, -1)
    for key in ("../a", "a//b", "/a", "a#b", ""):
        call(f"a metric named {key}", client.log_metric, run_id, key, 1.0)
        call(f"a param named {key}", client.log_param, run_id, key, 1)
    # On a run of their own, since releases have other limits.
    limits = client.create_run(experiment, FIXED_MS, run_name="limits").info.run_id
    call("a metric with a long name", client.log_metric, limits, "k" * 251, 1.0)
    call("a param with a long name", client.log_param, limits, "k" * 251, 1)
    call("a param that is too long", lambda: client.log_param(limits, "very long", "x" * 6001) and None)
    call("a tag that is too long", client.set_tag, limits, "very long", "y" * 8001)
    client.delete_run(limits)
    call("a metric of no run", client.log_metric, "0" * 32, "m", 1.0)
    call("rename the run", client.update_run, run_id, name="renamed")
    call("end it", client.set_terminated, run_id, "KILLED", FIXED_MS + 60_000)
    call("set its status", client.update_run, run_id, status="RUNNING")
    call("the whole run", client.get_run, run_id)
    others = []
    for index, name in enumerate("abcdef"):
        other = client.create_run(experiment, FIXED_MS + index // 2, {"group": "xyz"[index % 3]}, name).info.run_id
        client.log_metric(other, "score", [0.5, math.nan, 0.1, math.inf, 0.5, 2][index], 1, 0)
        client.log_param(other, "depth", str(index * 5))
        client.set_terminated(other, "FAILED" if name == "c" else "FINISHED", FIXED_MS + 100)
        others.append(other)
    call("delete a run", client.delete_run, others[5])
    call("log to it", client.log_metric, others[5], "m", 1.0)
    call("the deleted run", client.get_run, others[5])
    call("delete one that is not there", client.delete_run, "0" * 32)
    call("restore another", client.delete_run, others[4])
    call("and restore it", client.restore_run, others[4])
    return run_id, others


def search(call, client, experiment, found):
    """Filters, orders, pages."""

    def names(*arguments, **options):
        return [run.info.run_name for run in client.search_runs([experiment], *arguments, **options)]

    for text in (
        "", "metrics.score > 0.1", "metrics.score != 0.5", "params.depth = '5'", "params.depth LIKE '1%'", "tags.group ILIKE 'X'",
        "attributes.status = 'FAILED'", "run_name = 'b'", f"attributes.start_time >= {FIXED_MS + 1}", "tags.`group` != 'x' and metrics.score < 1",
        f"attributes.run_id IN ('{found[0]}', '{found[1]}')", "metrics.score >", "nothing.a = 1", "params.depth > '3'", "status = FAILED",
        "metrics.a = 1 OR metrics.b = 1",
    ):  # fmt: skip
        call(f"runs where {text}", lambda text=text: sorted(map(str, names(text))) if not text else names(text, order_by=["run_name"]))
    for order in (
        ["metrics.score ASC", "run_name"], ["metrics.score DESC", "run_name"], ["params.depth"], ["tags.group DESC", "run_name DESC"],
        ["start_time DESC", "run_name ASC"], ["end_time", "run_name"], ["nothing.x"], ["metrics"],
    ):  # fmt: skip
        call(f"runs by {order}", lambda order=order: names("tags.group LIKE '%'", order_by=order))
    for view in (ViewType.DELETED_ONLY, ViewType.ALL):
        call(f"runs in view {view}", names, "tags.group LIKE '%'", view, order_by=["run_name"])
    pages, token = [], None
    while True:
        page = client.search_runs([experiment], "tags.group LIKE '%'", max_results=2, order_by=["run_name"], page_token=token)
        pages.append([run.info.run_name for run in page])
        token = page.token
        if not token:
            break
    call("runs by page", lambda: pages)
    call("runs of no experiment", client.search_runs, ["987654"])
    call("runs by a wrong token", client.search_runs, [experiment], page_token="abc")
    call("too many runs", client.search_runs, [experiment], max_results=50001)
    call("runs as data", mlflow.search_runs, [experiment], "params.depth = '0'", output_format="list")


def datasets(call, client, experiment):
    import numpy as np

    mlflow.set_experiment(experiment_id=experiment)
    array = mlflow.data.from_numpy(np.arange(12.0).reshape(4, 3), name="numbers", targets=np.arange(4))
    with mlflow.start_run(run_name="with data") as run:
        call("log a dataset", mlflow.log_input, array, context="training")
        call("log it again", mlflow.log_input, array, context="training")
    call("the run with data", client.get_run, run.info.run_id)
    for text in ("dataset.name = 'numbers'", "dataset.context = 'training'", "dataset.name = 'x'"):
        call(f"runs where {text}", lambda text=text: [run.info.run_name for run in client.search_runs([experiment], text)])


def artifacts(call, client, run_id):
    """Files up and down again."""
    os.makedirs("up/sub/deeper", exist_ok=True)
    for path, content in {"up/a.txt": b"a\n", "up/sub/b ü.bin": bytes(range(256)), "up/sub/deeper/empty": b"", "up/+&%.txt": b"x"}.items():
        with open(path, "wb") as file:
            file.write(content)
    call("a file", client.log_artifact, run_id, "up/a.txt")
    call("a file into a folder", client.log_artifact, run_id, "up/a.txt", "folder/inner")
    call("a folder", client.log_artifacts, run_id, "up", "tree")
    call("text", client.log_text, run_id, "text ü", "notes/text.txt")
    call("a dictionary as JSON", client.log_dict, run_id, {"a": [1, None, "ü"]}, "dict.json")
    call("a dictionary as YAML", client.log_dict, run_id, {"b": 2}, "dict.yaml")
    call("an image", client.log_image, run_id, __import__("numpy").zeros((3, 3, 3), dtype="uint8"), "image.png")
    call("a file that is not there", client.log_artifact, run_id, "up/never")
    call("overwrite one", client.log_text, run_id, "again", "notes/text.txt")
    for path in (None, "tree", "tree/sub", "notes", "a.txt", "never"):
        call(f"the files at {path}", lambda path=path: sorted(client.list_artifacts(run_id, path), key=lambda file: file.path))
    call("read text", mlflow.artifacts.load_text, f"runs:/{run_id}/notes/text.txt")
    call("read a dictionary", mlflow.artifacts.load_dict, f"runs:/{run_id}/dict.json")
    call("download a file", lambda: files_below(os.path.dirname(client.download_artifacts(run_id, "a.txt"))).get("a.txt"))
    call("download a folder", lambda: files_below(client.download_artifacts(run_id, "tree")))
    call("download by URI", lambda: files_below(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/folder")))
    call("download what is not there", client.download_artifacts, run_id, "never")
    call("escape upwards", client.log_artifact, run_id, "up/a.txt", "../../outside")


def registry(call, client, run_id):
    call("create a model", client.create_registered_model, "flowers", {"kind": "tree"}, "about flowers")
    call("create it again", client.create_registered_model, "flowers")
    call("create one without a name", client.create_registered_model, "")
    for index in range(4):
        source = f"runs:/{run_id}/model"
        call("create a version", client.create_model_version, "flowers", source, run_id, {"index": str(index)}, None, f"number {index}")
    call("a version of no model", client.create_model_version, "never", f"runs:/{run_id}/model", run_id)
    call("get a version", client.get_model_version, "flowers", "2")
    call("get one that is not there", client.get_model_version, "flowers", "99")
    call("get one that is no number", client.get_model_version, "flowers", "two")
    call("describe a version", client.update_model_version, "flowers", "2", "described")
    call("describe the model", client.update_registered_model, "flowers", "new words")
    call("its download URI", client.get_model_version_download_uri, "flowers", "1")
    call("to Staging", client.transition_model_version_stage, "flowers", "1", "Staging")
    call("another to Staging", client.transition_model_version_stage, "flowers", "2", "staging", archive_existing_versions=True)
    call("to no stage", client.transition_model_version_stage, "flowers", "2", "Nowhere")
    call("the latest", lambda: sorted(client.get_latest_versions("flowers"), key=lambda version: int(version.version)))
    call("the latest in a stage", client.get_latest_versions, "flowers", ["Staging"])
    call("set an alias", client.set_registered_model_alias, "flowers", "champion", "2")
    call("move it", client.set_registered_model_alias, "flowers", "champion", "3")
    call("set another", client.set_registered_model_alias, "flowers", "other", "3")
    call("set a bad one", client.set_registered_model_alias, "flowers", "v1", "3")
    call("set one to nothing", client.set_registered_model_alias, "flowers", "lost", "99")
    call("get by alias", client.get_model_version_by_alias, "flowers", "champion")
    call("get by no alias", client.get_model_version_by_alias, "flowers", "never")
    call("delete an alias", client.delete_registered_model_alias, "flowers", "other")
    call("tag the model", client.set_registered_model_tag, "flowers", "colour", "red")
    call("tag a version", client.set_model_version_tag, "flowers", "1", "checked", "yes")
    call("untag the model", client.delete_registered_model_tag, "flowers", "kind")
    call("untag a version", client.delete_model_version_tag, "flowers", "1", "index")
    call("untag it again", client.delete_model_version_tag, "flowers", "1", "index")
    call("delete a version", client.delete_model_version, "flowers", "4")
    call("delete it again", client.delete_model_version, "flowers", "4")
    call("the model", client.get_registered_model, "flowers")
    call("a model that is not there", client.get_registered_model, "never")
    for text in ("", "name = 'flowers'", "tags.colour = 'red'", "name ILIKE 'FLOW%'", "nothing = 1"):
        call(f"models where {text}", client.search_registered_models, text)
    for text in ("name = 'flowers'", f"run_id = '{run_id}'", "tags.checked = 'yes'", "nothing = 1"):
        call(f"versions where {text}", client.search_model_versions, text, order_by=["version_number ASC"])
    call("versions by page", client.search_model_versions, "name = 'flowers'", 2, ["version_number DESC"])
    call("rename the model", client.rename_registered_model, "flowers", "blossoms")
    call("by its old name", client.get_registered_model, "flowers")
    call("its alias after that", client.get_model_version_by_alias, "blossoms", "champion")
    call("delete it", client.delete_registered_model, "blossoms")
    call("delete it again", client.delete_registered_model, "blossoms")
    call("models in the end", client.search_registered_models)


def logged_models(call, client, experiment, run_id):
    if not hasattr(client, "create_logged_model"):
        return
    model = call("log a model", client.create_logged_model, experiment, "tree", run_id, {"kind": "a"}, {"depth": "3"}, "sklearn")
    model_id = model.model_id
    call("one with a bad name", client.create_logged_model, experiment, "a/b")
    call("its artifacts", client.log_model_artifacts, model_id, "up")
    call("its files", lambda: sorted(client.list_logged_model_artifacts(model_id), key=lambda file: file.path))
    call("its metric", client.log_metric, run_id, "of the model", 0.75, FIXED_MS, 2, None, "data", "d1g35t", model_id)
    call("finish it", client.finalize_logged_model, model_id, "READY")
    call("tag it", client.set_logged_model_tags, model_id, {"colour": "red", "gone": "1"})
    call("untag it", client.delete_logged_model_tag, model_id, "gone")
    call("the logged model", client.get_logged_model, model_id)
    call("one that is not there", client.get_logged_model, "m-" + "0" * 32)
    client.create_logged_model(experiment, "pending")
    for text in (None, "name = 'tree'", "metrics.`of the model` > 0.5", "params.depth = '3'", "tags.kind = 'b'"):
        call(f"logged models where {text}", client.search_logged_models, [experiment], text, order_by=[{"field_name": "name"}])
    call("the run and its model", client.get_run, run_id)
    call("delete the model", client.delete_logged_model, model_id)
    call("logged models in the end", client.search_logged_models, [experiment])


def main():
    uri, output = sys.argv[1:]
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client, call = MlflowClient(), Transcript(uri)
    first, second = experiments(call, client)
    fluent_run = fluent(call, client)
    run_id, others = runs(call, client, first)
    search(call, client, first, others)
    datasets(call, client, second)
    artifacts(call, client, run_id)
    registry(call, client, fluent_run)
    logged_models(call, client, second, fluent_run)
    with open(output, "w", encoding="utf-8") as file:
        json.dump(call.calls, file, indent=1)


if __name__ == "__main__":
    main()
