"""`cairn rerun --check` on real projects in real environments: what reproduces, and what is named when something does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cairn import program
from test_projects import RUN_SECONDS, data_url, git, home, projects, run, variables  # noqa: F401, the fixtures of projects


@pytest.fixture
def check(variables, client, tmp_path):  # noqa: F811
    """Runs a run again; the exit code, what was printed, and the report that is kept with the new run."""

    def go(run_id, *more, env=None):
        argv = [program(), "rerun", run_id, "--check", *map(str, more)]
        done = subprocess.run(argv, env={**variables, **(env or {})}, cwd=tmp_path, text=True, capture_output=True, timeout=RUN_SECONDS, check=False)
        output = done.stdout + done.stderr
        lines = [line for line in output.splitlines() if line.startswith("Run ") and len(line) == 36]
        assert lines, output
        again = client.get_run(lines[-1][4:])
        assert again.data.tags["cairn.rerun.of"] == run_id
        report = json.loads(
            Path(client.download_artifacts(again.info.run_id, "cairn/reproduction.json", str(tmp_path))).read_text(encoding="utf-8")
        )
        assert again.data.tags["cairn.reproduction.verdict"] == report["verdict"]
        page = Path(client.download_artifacts(again.info.run_id, "cairn/reproduction.html", str(tmp_path))).read_text(encoding="utf-8")
        assert "<script" not in page and "Reproduction report" in page
        assert (done.returncode == 0) == (report["verdict"] != "differs"), output
        return report, again, output

    return go


def original(ran):
    assert ran.code == 0, ran.output
    return next(run for run in ran.runs if "mlflow.parentRunId" not in run.data.tags).info.run_id


def kinds(report):
    return [cause["kind"] for cause in report["causes"]]


def test_elastic_net_reproduces_and_each_change_is_named(run, projects, check):  # noqa: F811
    folder = projects / "elastic-net"
    first = original(run(folder, "-P", "alpha=0.1"))
    report, again, output = check(first)
    assert report["verdict"] == "reproduced", output
    assert report["code"]["is_same"] and report["environment"]["is_known"] and not report["environment"]["packages"]
    assert {artifact["outcome"] for artifact in report["runs"][0]["artifacts"]} == {"same"}

    # A rerun of a rerun is one too.
    report, _, output = check(again.info.run_id)
    assert report["verdict"] == "reproduced", output

    report, _, output = check(first, "-P", "seed=43")
    assert report["verdict"] == "differs", output
    assert report["causes"][0] == {"kind": "seed", "text": "The seed changed: seed was 42, is 43"}
    assert {metric["outcome"] for metric in report["runs"][0]["metrics"]} == {"differs"}

    requirements = folder / "requirements.txt"
    requirements.write_text(requirements.read_text(encoding="utf-8").replace("pandas==2.3.3", "pandas==2.3.2"), encoding="utf-8")
    report, _, output = check(first, "--current-code", "--current-environment")
    assert [package["name"] for package in report["environment"]["packages"]] == ["pandas"], output
    assert report["verdict"] == "reproduced" and kinds(report) == ["code", "package"], output
    # Of the two alone: the captured files, made anew.
    report, _, output = check(first, "--current-environment")
    assert report["verdict"] == "reproduced" and not report["causes"], output

    train = folder / "train.py"
    train.write_text(train.read_text(encoding="utf-8").replace("test_size=0.25", "test_size=0.3"), encoding="utf-8")
    report, _, output = check(first, "--current-code")
    assert report["verdict"] == "differs", output
    assert report["causes"][0]["kind"] == "code" and "train.py" in report["causes"][0]["text"], output
    # What lies in the folder today is of no importance to the captured code.
    report, _, output = check(first)
    assert report["verdict"] == "reproduced", output


def test_a_project_of_steps_reproduces_with_its_children(run, projects, check, data_url):  # noqa: F811
    first = original(run(projects / "multistep", "-P", f"url={data_url}"))
    report, _, output = check(first)
    assert report["verdict"] == "reproduced", output
    assert sorted(one["label"] for one in report["runs"]) == ["", "clean", "download", "train"], output
    report, _, output = check(first, "-P", "seed=8")
    assert report["verdict"] == "differs", output
    assert report["causes"][0]["kind"] == "seed", output


def test_a_search_with_a_failing_trial_reproduces(run, projects, check):  # noqa: F811
    first = original(run(projects / "search", "-P", "trials=3"))
    report, _, output = check(first)
    assert report["verdict"] == "reproduced", output
    assert len(report["runs"]) == 4
    report, _, output = check(first, "-P", "seed=2")
    assert report["verdict"] == "differs", output
    assert report["causes"][0]["kind"] == "seed", output


def test_a_dirty_repository_reproduces_after_it_went_on(run, projects, check):  # noqa: F811
    folder = projects / "elastic-net"
    git(projects, "init", "-q")
    git(projects, "add", ".")
    git(projects, "commit", "-qm", "first")
    train = folder / "train.py"
    train.write_text(train.read_text(encoding="utf-8").replace("test_size=0.25", "test_size=0.35"), encoding="utf-8")
    first = original(run(folder))
    git(projects, "checkout", "-q", "--", ".")
    before = (git(projects, "status", "--porcelain"), (projects / ".git" / "index").read_bytes())
    report, _, output = check(first)
    assert report["verdict"] == "reproduced", output
    assert "with 1 changed file" in output
    assert before == (git(projects, "status", "--porcelain"), (projects / ".git" / "index").read_bytes())


def test_a_changed_data_file_is_named(run, projects, check, tmp_path):  # noqa: F811
    from sklearn.datasets import load_diabetes

    table = load_diabetes(as_frame=True).frame
    data = tmp_path / "diabetes.csv"
    table.to_csv(data, index=False)
    first = original(run(projects / "elastic-net", "-e", "validate", "-P", f"data={data}"))
    table["target"] = table["target"] * 2
    table.to_csv(data, index=False)
    report, _, output = check(first)
    assert report["verdict"] == "differs", output
    assert report["causes"][0]["kind"] == "data" and str(data) in report["causes"][0]["text"], output


def test_runs_of_mlflow_run_and_of_scripts_run_again_from_what_is_recorded(run, projects, check, client, experiment, variables):  # noqa: F811
    # `python` is the one that MLflow is installed in.
    env = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])}
    ran = run(projects / "search", "-e", "train", "-P", "depth=2", "-P", "rate=0.1", "--env-manager", "local", who="mlflow", env=env)
    report, again, output = check(original(ran), env=env)
    assert report["verdict"] == "reproduced", output
    assert again.data.params["depth"] == "2"

    script = projects / "script.py"
    script.write_text(
        "import argparse, mlflow\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', default='0.1')\n"
        "given = parser.parse_args()\n"
        "with mlflow.start_run():\n"
        "    mlflow.log_param('lr', given.lr)\n"
        "    mlflow.log_metric('loss', float(given.lr) * 2)\n",
        encoding="utf-8",
    )
    subprocess.run([sys.executable, str(script), "--lr", "0.25"], env={**variables, "MLFLOW_EXPERIMENT_ID": experiment}, check=True)
    (logged,) = client.search_runs([experiment])
    report, again, output = check(logged.info.run_id, env=env)
    assert "Not known: Command line" in output
    assert again.data.metrics["loss"] == 0.5, output
    assert report["verdict"] == "reproduced", output
