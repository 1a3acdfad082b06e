"""Models: autologged, logged, loaded."""

import mlflow
import mlflow.sklearn
import numpy as np
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

# Given, since MLflow would otherwise load each model in another process to find them.
REQUIREMENTS = ["scikit-learn"]


@pytest.fixture
def autologging(client):
    mlflow.sklearn.autolog(log_input_examples=True, log_datasets=True)
    yield
    mlflow.sklearn.autolog(disable=True)


@pytest.fixture
def pipeline(iris):
    features, labels = iris
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(features, labels)


def test_autologging_records_a_training_with_its_model(client, experiment, autologging, iris):
    features, labels = iris
    with mlflow.start_run() as run:
        model = LogisticRegression(C=0.5, max_iter=500).fit(features, labels)
        accuracy = model.score(features, labels)
    read = client.get_run(run.info.run_id)
    assert read.info.status == "FINISHED"
    assert (read.data.params["C"], read.data.params["max_iter"]) == ("0.5", "500")
    assert read.data.metrics["training_accuracy_score"] == pytest.approx(accuracy)
    assert read.data.tags["estimator_name"] == "LogisticRegression"
    assert {entry.dataset.source_type for entry in read.inputs.dataset_inputs} == {"code"}
    files = [entry.path for entry in client.list_artifacts(run.info.run_id)]
    assert "training_confusion_matrix.png" in files and "estimator.html" in files
    (logged,) = mlflow.search_logged_models([experiment], output_format="list")
    assert logged.source_run_id == run.info.run_id and logged.status == "READY"
    assert [output.model_id for output in read.outputs.model_outputs] == [logged.model_id]
    loaded = mlflow.sklearn.load_model(f"models:/{logged.model_id}")
    assert np.array_equal(loaded.predict(features), model.predict(features))


def test_autologged_grid_search_makes_nested_runs(client, experiment, autologging, iris):
    features, labels = iris
    with mlflow.start_run() as run:
        GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3]}, cv=3).fit(features, labels)
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert sorted(child.data.params["max_depth"] for child in children) == ["1", "2", "3"]
    assert "best_cv_score" in client.get_run(run.info.run_id).data.metrics


def test_logged_model_is_loaded_and_predicts_the_same(client, experiment, iris, pipeline):
    features, _ = iris
    expected = pipeline.predict(features)
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(
            pipeline,
            name="flowers",
            signature=infer_signature(features, expected),
            input_example=features.head(2),
            pip_requirements=REQUIREMENTS,
            params={"C": "1"},
            tags={"origin": "test"},
        )
    for uri in (info.model_uri, f"runs:/{run.info.run_id}/flowers"):
        assert np.array_equal(mlflow.sklearn.load_model(uri).predict(features), expected)
        assert np.array_equal(mlflow.pyfunc.load_model(uri).predict(features), expected)
    logged = client.get_logged_model(info.model_id)
    assert (logged.name, logged.source_run_id, str(logged.status)) == ("flowers", run.info.run_id, "READY")
    assert logged.params["C"] == "1" and logged.tags["origin"] == "test"
    assert mlflow.models.get_model_info(info.model_uri).signature.inputs.input_names() == list(features.columns)


def test_metrics_and_tags_of_logged_models(client, experiment, iris, pipeline):
    features, labels = iris
    frame = features.assign(target=labels)
    dataset = mlflow.data.from_pandas(frame, name="iris", targets="target")
    ids = []
    for accuracy in (0.7, 0.9):
        with mlflow.start_run():
            info = mlflow.sklearn.log_model(pipeline, name="flowers", pip_requirements=REQUIREMENTS)
            mlflow.log_metric("accuracy", accuracy, step=1, model_id=info.model_id, dataset=dataset)
            ids.append(info.model_id)
    mlflow.set_logged_model_tags(ids[0], {"kept": "1", "gone": "2"})
    client.delete_logged_model_tag(ids[0], "gone")
    first = client.get_logged_model(ids[0])
    assert first.tags.get("kept") == "1" and "gone" not in first.tags
    (metric,) = first.metrics
    assert (metric.key, metric.value, metric.dataset_name, metric.dataset_digest) == ("accuracy", 0.7, "iris", dataset.digest)

    def find(filter_string="", order_by=None):
        found = mlflow.search_logged_models([experiment], filter_string, order_by=order_by, output_format="list")
        return [model.model_id for model in found]

    best_first = [{"field_name": "metrics.accuracy", "ascending": False}]
    assert find(order_by=best_first) == [ids[1], ids[0]]
    assert find("metrics.accuracy > 0.8") == [ids[1]]
    assert find("name = 'flowers' AND tags.kept = '1'") == [ids[0]]
    client.delete_logged_model(ids[1])
    assert find() == [ids[0]]


def test_model_that_fails_to_upload_is_marked(client, experiment):
    model = client.create_logged_model(experiment, name="half", tags={"a": "b"})
    assert str(model.status) == "PENDING"
    client.finalize_logged_model(model.model_id, "FAILED")
    assert str(client.get_logged_model(model.model_id).status) == "FAILED"


def test_custom_python_model_keeps_its_files(client, experiment, tmp_path):
    class Shift(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            with open(context.artifacts["shift"], encoding="utf-8") as file:
                self.shift = int(file.read())

        def predict(self, context, model_input, params=None):
            return model_input + self.shift

    (tmp_path / "shift.txt").write_text("40")
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="shift", python_model=Shift(), artifacts={"shift": str(tmp_path / "shift.txt")}, pip_requirements=["mlflow"]
        )
    assert list(mlflow.pyfunc.load_model(info.model_uri).predict(np.array([2, 3]))) == [42, 43]


def test_evaluation_logs_its_metrics_and_pictures(client, experiment, iris):
    features, labels = iris
    model = RandomForestClassifier(n_estimators=5, random_state=0).fit(features, labels)
    frame = features.assign(prediction=model.predict(features), target=labels)
    with mlflow.start_run() as run:
        result = mlflow.models.evaluate(
            data=frame, predictions="prediction", targets="target", model_type="classifier", evaluators="default"
        )
    read = client.get_run(run.info.run_id)
    assert read.data.metrics["accuracy_score"] == pytest.approx(result.metrics["accuracy_score"])
    assert any(entry.path.endswith(".png") for entry in client.list_artifacts(run.info.run_id))
