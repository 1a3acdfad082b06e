"""Trains small models on scikit-learn's bundled data sets and logs them with MLflow.

Every number is real: the models are trained here, epoch by epoch, and what they reach is logged
while they train. Nothing is downloaded. The tracking server is the one in MLFLOW_TRACKING_URI.

Lines of the form "PROGRESS <fraction from 0 to 1> <what is being done>" tell how far it is.
"""

import itertools
import os
import sys
import warnings

import matplotlib

matplotlib.use("Agg")

import mlflow
import mlflow.data
import mlflow.sklearn
import numpy as np
import sklearn
import skops
from matplotlib import pyplot as plt
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn import datasets
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    accuracy_score,
    classification_report,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# The data sets have no missing values, which is all that this hint is about.
warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer column")

SEED = 7
CLASSIFIERS = "Sample classifiers"
REGRESSORS = "Sample regressors"
MODEL_NAME = "sample-digits"

# One entry per run, so that progress is a fraction of the work.
RUN_COUNT = 12
finished_runs = 0


def progress(words, within_run=0.0):
    fraction = min((finished_runs + within_run) / RUN_COUNT, 1.0)
    print(f"PROGRESS {fraction:.3f} {words}", flush=True)


class Data:
    """A bundled data set, split and scaled the same way for every model."""

    def __init__(self, name, loaded, target):
        self.name = name
        self.frame = loaded.frame.rename(columns={"target": target})
        self.target = target
        self.target_names = getattr(loaded, "target_names", None)
        features = loaded.frame.drop(columns="target").to_numpy(dtype=float)
        labels = loaded.frame["target"].to_numpy()
        self.raw_train, self.raw_test, self.y_train, self.y_test = train_test_split(
            features, labels, test_size=0.25, random_state=SEED
        )
        self.scaler = StandardScaler().fit(self.raw_train)
        self.x_train = self.scaler.transform(self.raw_train)
        self.x_test = self.scaler.transform(self.raw_test)
        self.classes = np.unique(labels)

    def log(self):
        dataset = mlflow.data.from_pandas(self.frame, name=self.name, targets=self.target)
        mlflow.log_input(dataset, context="training")


class Run:
    """A run of the active experiment that counts towards progress."""

    def __init__(self, name, data, parameters, description, nested=False):
        self.name = name
        self.data = data
        self.active = mlflow.start_run(run_name=name, nested=nested, description=description)
        progress(f"Training {name}")
        mlflow.log_params({**parameters, "data": data.name, "random_state": SEED})
        mlflow.set_tags({"sample": "true", "data": data.name, "sklearn": sklearn.__version__})
        data.log()

    def __enter__(self):
        self.active.__enter__()
        return self

    def __exit__(self, kind, value, trace):
        global finished_runs
        finished_runs += 1
        return self.active.__exit__(kind, value, trace)

    def log_epoch(self, epoch, epochs, metrics):
        mlflow.log_metrics({key: float(value) for key, value in metrics.items()}, step=epoch)
        if epoch % 20 == 0:
            progress(f"Training {self.name}: step {epoch} of {epochs}", epoch / epochs)


def classification_metrics(data, train_probability, test_probability):
    test_prediction = data.classes[np.argmax(test_probability, axis=1)]
    return {
        "train_loss": log_loss(data.y_train, train_probability, labels=data.classes),
        "test_loss": log_loss(data.y_test, test_probability, labels=data.classes),
        "test_accuracy": accuracy_score(data.y_test, test_prediction),
    }


def regression_metrics(data, train_prediction, test_prediction):
    return {
        "train_rmse": root_mean_squared_error(data.y_train, train_prediction),
        "test_rmse": root_mean_squared_error(data.y_test, test_prediction),
        "test_mae": mean_absolute_error(data.y_test, test_prediction),
        "test_r2": r2_score(data.y_test, test_prediction),
    }


def log_report(data, prediction):
    """The final scores, a text report and a picture of the confusion matrix."""
    mlflow.log_metric("test_f1_macro", f1_score(data.y_test, prediction, average="macro"))
    names = None if data.target_names is None else [str(name) for name in data.target_names]
    report = classification_report(data.y_test, prediction, target_names=names, zero_division=0)
    mlflow.log_text(report, "report/classification_report.txt")
    figure, axes = plt.subplots(figsize=(5.5, 5), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        data.y_test, prediction, display_labels=names, cmap="Blues", colorbar=False, ax=axes,
        xticks_rotation=0 if names is None or len(names) > 3 else 20,
    )
    axes.set_title(f"{data.name}: confusion matrix")
    mlflow.log_figure(figure, "figures/confusion_matrix.png")
    plt.close(figure)


def train_by_epoch(run, model, epochs):
    """Calls partial_fit once per epoch; answers the model."""
    data = run.data
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng(SEED + epoch).permutation(len(data.y_train))
        model.partial_fit(data.x_train[order], data.y_train[order], classes=data.classes)
        run.log_epoch(
            epoch,
            epochs,
            classification_metrics(data, model.predict_proba(data.x_train), model.predict_proba(data.x_test)),
        )
    return model


def sgd_classifier(data, epochs, alpha):
    parameters = {"model": "SGDClassifier", "loss": "log_loss", "alpha": alpha, "epochs": epochs}
    with Run(f"{data.name}-sgd", data, parameters, "Logistic regression by stochastic gradient descent.") as run:
        model = SGDClassifier(loss="log_loss", alpha=alpha, random_state=SEED)
        train_by_epoch(run, model, epochs)
        log_report(data, model.predict(data.x_test))


def boosted_classifier(data, stages, learning_rate, max_depth):
    parameters = {
        "model": "GradientBoostingClassifier",
        "n_estimators": stages,
        "learning_rate": learning_rate,
        "max_depth": max_depth,
    }
    with Run(f"{data.name}-boosting", data, parameters, "Gradient boosting; one step is one more tree per class.") as run:
        model = GradientBoostingClassifier(
            n_estimators=1, learning_rate=learning_rate, max_depth=max_depth, warm_start=True, random_state=SEED
        )
        for stage in range(1, stages + 1):
            model.set_params(n_estimators=stage).fit(data.x_train, data.y_train)
            run.log_epoch(
                stage,
                stages,
                classification_metrics(data, model.predict_proba(data.x_train), model.predict_proba(data.x_test)),
            )
        log_report(data, model.predict(data.x_test))


def digits_sweep(data, epochs):
    """A parent run with one nested run per setting; the best one becomes the registered model."""
    progress("Training a sweep over digits")
    with mlflow.start_run(run_name="digits-mlp-sweep", description="Four settings of one network, each a nested run.") as parent:
        mlflow.set_tags({"sample": "true", "data": data.name})
        mlflow.log_params({"learning_rates": "0.001, 0.01", "hidden_sizes": "32, 64", "epochs": epochs})
        best = None
        for learning_rate, hidden in itertools.product([0.001, 0.01], [32, 64]):
            parameters = {
                "model": "MLPClassifier", "learning_rate_init": learning_rate, "hidden_layer_sizes": hidden, "epochs": epochs,
            }
            name = f"digits-mlp-{hidden}-{learning_rate}"
            with Run(name, data, parameters, "One hidden layer, trained by Adam.", nested=True) as run:
                model = MLPClassifier(
                    hidden_layer_sizes=(hidden,), learning_rate_init=learning_rate, batch_size=128, random_state=SEED
                )
                train_by_epoch(run, model, epochs)
                prediction = model.predict(data.x_test)
                log_report(data, prediction)
                accuracy = accuracy_score(data.y_test, prediction)
                if best is None or accuracy > best[0]:
                    best = (accuracy, name, model)
        accuracy, name, model = best
        mlflow.log_metric("best_test_accuracy", accuracy)
        mlflow.set_tag("best_run", name)
        register(data, model, name)
    return parent


def register(data, model, run_name):
    progress("Registering the best digits model")
    pipeline = make_pipeline(data.scaler, model)
    columns = data.raw_test[:5]
    # The requirements are given, since MLflow would otherwise load the model once more to find them.
    logged = mlflow.sklearn.log_model(
        pipeline,
        name="model",
        signature=infer_signature(columns, pipeline.predict(columns)),
        pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"numpy=={np.__version__}", f"skops=={skops.__version__}"],
        # The network carries the state of its optimizer along; it was made a moment ago, right here.
        skops_trusted_types=["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"],
        registered_model_name=MODEL_NAME,
    )
    client = MlflowClient()
    version = logged.registered_model_version or client.search_model_versions(f"name = '{MODEL_NAME}'")[0].version
    client.set_registered_model_alias(MODEL_NAME, "champion", str(version))
    client.update_registered_model(MODEL_NAME, "Reads handwritten digits of 8 by 8 pixels.")
    client.set_model_version_tag(MODEL_NAME, str(version), "chosen_from", run_name)


def boosted_regressor(data, stages, learning_rate, max_depth):
    parameters = {
        "model": "GradientBoostingRegressor",
        "n_estimators": stages,
        "learning_rate": learning_rate,
        "max_depth": max_depth,
    }
    with Run(f"{data.name}-boosting-depth-{max_depth}", data, parameters, "Gradient boosting; one step is one more tree.") as run:
        model = GradientBoostingRegressor(
            n_estimators=stages, learning_rate=learning_rate, max_depth=max_depth, random_state=SEED
        )
        model.fit(data.x_train, data.y_train)
        staged = zip(model.staged_predict(data.x_train), model.staged_predict(data.x_test))
        for stage, (train_prediction, test_prediction) in enumerate(staged, start=1):
            run.log_epoch(stage, stages, regression_metrics(data, train_prediction, test_prediction))
        log_residuals(data, model.predict(data.x_test))


def mlp_regressor(data, epochs):
    parameters = {"model": "MLPRegressor", "hidden_layer_sizes": 64, "learning_rate_init": 0.003, "epochs": epochs}
    with Run(f"{data.name}-mlp", data, parameters, "One hidden layer, trained by Adam.") as run:
        model = MLPRegressor(hidden_layer_sizes=(64,), learning_rate_init=0.003, batch_size=32, random_state=SEED)
        for epoch in range(1, epochs + 1):
            model.partial_fit(data.x_train, data.y_train)
            run.log_epoch(
                epoch, epochs, regression_metrics(data, model.predict(data.x_train), model.predict(data.x_test))
            )
        log_residuals(data, model.predict(data.x_test))


def diverging_regressor(data, epochs):
    """A learning rate that is far too large: scikit-learn gives up, and the run fails for real."""
    parameters = {
        "model": "MLPRegressor", "solver": "sgd", "hidden_layer_sizes": 64, "learning_rate_init": 0.003, "epochs": epochs,
    }
    description = "Plain gradient descent with too large a learning rate: the weights grow until scikit-learn gives up."
    name = f"{data.name}-mlp-diverging"
    try:
        with Run(name, data, parameters, description) as run, np.errstate(all="ignore"):
            model = MLPRegressor(
                hidden_layer_sizes=(64,), solver="sgd", learning_rate_init=0.003, batch_size=32, random_state=SEED
            )
            for epoch in range(1, epochs + 1):
                model.partial_fit(data.x_train, data.y_train)
                run.log_epoch(
                    epoch, epochs, regression_metrics(data, model.predict(data.x_train), model.predict(data.x_test))
                )
    except ValueError as error:
        print(f"{name} failed, as meant: {error}", flush=True)


def log_residuals(data, prediction):
    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    axes.scatter(prediction, data.y_test - prediction, s=14, alpha=0.7)
    axes.axhline(0, linewidth=1, color="grey")
    axes.set(title=f"{data.name}: residuals", xlabel="predicted", ylabel="actual − predicted")
    mlflow.log_figure(figure, "figures/residuals.png")
    plt.close(figure)


def describe_experiment(name, text):
    experiment = mlflow.set_experiment(name)
    MlflowClient().set_experiment_tag(experiment.experiment_id, "mlflow.note.content", text)


def main():
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        sys.exit("MLFLOW_TRACKING_URI is not set: it names the server that the sample runs are logged to.")
    progress("Loading scikit-learn's data sets")
    wine = Data("wine", datasets.load_wine(as_frame=True), "cultivar")
    cancer = Data("breast-cancer", datasets.load_breast_cancer(as_frame=True), "diagnosis")
    digits = Data("digits", datasets.load_digits(as_frame=True), "digit")
    diabetes = Data("diabetes", datasets.load_diabetes(as_frame=True), "progression")

    describe_experiment(CLASSIFIERS, "Classifiers on the wine, breast cancer and digits data sets of scikit-learn.")
    sgd_classifier(wine, epochs=120, alpha=0.01)
    boosted_classifier(wine, stages=60, learning_rate=0.1, max_depth=2)
    sgd_classifier(cancer, epochs=150, alpha=0.001)
    boosted_classifier(cancer, stages=80, learning_rate=0.1, max_depth=3)
    digits_sweep(digits, epochs=60)

    describe_experiment(REGRESSORS, "Predicting the progression of diabetes after one year.")
    boosted_regressor(diabetes, stages=200, learning_rate=0.05, max_depth=2)
    boosted_regressor(diabetes, stages=200, learning_rate=0.05, max_depth=5)
    mlp_regressor(diabetes, epochs=150)
    diverging_regressor(diabetes, epochs=100)
    print("PROGRESS 1.000 Done", flush=True)


if __name__ == "__main__":
    main()
