"""Everything that MLflow knows about a store, as JSON that can be compared.

Runs with every release of MLflow from 1.30 on, so that two releases, or a server and a file, can be
asked the same: python facts.py <tracking URI> <output file>
"""

import json
import math
import sys

from mlflow import MlflowClient
from mlflow.entities import ViewType


def number(value):
    """JSON has no NaN."""
    return "NaN" if math.isnan(value) else value


def all_pages(search, *arguments, **options):
    """Everything that a search finds. Some searches of old releases have no pages."""
    found, page = [], search(*arguments, **options)
    while True:
        found.extend(page)
        token = getattr(page, "token", None)
        if not token:
            return found
        page = search(*arguments, page_token=token, **options)


def run_facts(client, run):
    history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    inputs = getattr(run, "inputs", None)
    inputs = inputs.dataset_inputs if inputs else []
    return {
        "name": run.info.run_name,
        "experiment_id": run.info.experiment_id,
        "status": run.info.status,
        "stage": run.info.lifecycle_stage,
        "times": [run.info.start_time, run.info.end_time],
        "artifact_uri": run.info.artifact_uri,
        "user": run.info.user_id,
        "params": dict(run.data.params),
        "tags": dict(run.data.tags),
        "metrics": {key: number(value) for key, value in run.data.metrics.items()},
        "history": {
            key: sorted(([m.timestamp, m.step, number(m.value)] for m in points), key=str) for key, points in history.items()
        },
        "datasets": sorted(
            (
                {
                    "name": entry.dataset.name,
                    "digest": entry.dataset.digest,
                    "source_type": entry.dataset.source_type,
                    "source": entry.dataset.source,
                    "schema": entry.dataset.schema,
                    "profile": entry.dataset.profile,
                    "tags": {tag.key: tag.value for tag in entry.tags},
                }
                for entry in inputs
            ),
            key=str,
        ),
    }


def version_facts(version):
    return {
        "stage": version.current_stage,
        "description": version.description or "",
        "run_id": version.run_id or "",
        "run_link": version.run_link or "",
        "source": version.source,
        "status": version.status,
        "tags": dict(version.tags),
        "aliases": sorted(getattr(version, "aliases", [])),
        "times": [version.creation_timestamp, version.last_updated_timestamp],
    }


def logged_model_facts(client, model):
    model = client.get_logged_model(model.model_id)
    return {
        "name": model.name,
        "experiment_id": model.experiment_id,
        "run_id": model.source_run_id or "",
        "status": str(model.status),
        "type": model.model_type or "",
        "location": model.artifact_location,
        "params": dict(model.params),
        "tags": dict(model.tags),
        "metrics": sorted(([m.key, number(m.value), m.step, m.timestamp] for m in model.metrics or []), key=str),
        "times": [model.creation_timestamp, model.last_updated_timestamp],
    }


def collect(client):
    """All facts of a store, by kind and id."""
    experiments = all_pages(client.search_experiments, view_type=ViewType.ALL)
    ids = [found.experiment_id for found in experiments]
    runs = all_pages(client.search_runs, experiment_ids=ids, run_view_type=ViewType.ALL)
    models = all_pages(client.search_registered_models)
    # By name, since old releases ask for a filter.
    versions = [version for model in models for version in all_pages(client.search_model_versions, f"name = '{model.name}'")]
    facts = {
        "experiments": {
            found.experiment_id: {
                "name": found.name,
                "stage": found.lifecycle_stage,
                "location": found.artifact_location,
                "tags": dict(found.tags),
                "times": [found.creation_time, found.last_update_time],
            }
            for found in experiments
        },
        "runs": {run.info.run_id: run_facts(client, client.get_run(run.info.run_id)) for run in runs},
        "models": {
            model.name: {
                "description": model.description or "",
                "tags": dict(model.tags),
                "aliases": {alias: int(version) for alias, version in getattr(model, "aliases", {}).items()},
                "times": [model.creation_timestamp, model.last_updated_timestamp],
            }
            for model in (client.get_registered_model(model.name) for model in models)
        },
        "versions": {
            f"{version.name}/{int(version.version)}": version_facts(client.get_model_version(version.name, str(version.version)))
            for version in versions
        },
    }
    if hasattr(client, "search_logged_models"):
        logged = all_pages(client.search_logged_models, experiment_ids=ids)
        facts["logged_models"] = {model.model_id: logged_model_facts(client, model) for model in logged}
    return facts


def dump(client, output):
    with open(output, "w", encoding="utf-8") as file:
        json.dump(collect(client), file, indent=1, sort_keys=True)


def main():
    uri, output = sys.argv[1:]
    dump(MlflowClient(uri, uri), output)


if __name__ == "__main__":
    main()
