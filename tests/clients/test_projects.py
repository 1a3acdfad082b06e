"""`cairn run` beside `mlflow run`: the same projects, the same tags, parameters, variables and ends."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.projects._project_spec import load_project

from cairn import program
from stock import Server, uv

FIXTURES = Path(__file__).parent.parent / "fixtures" / "projects"
# An environment of a few packages is made in the first test that needs it.
RUN_SECONDS = 600


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Where `cairn run` keeps environments and launches; shared, so that equal environments are made once."""
    return tmp_path_factory.mktemp("cairn-home")


@pytest.fixture
def projects(tmp_path):
    """A copy of the projects, outside any repository."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "projects"))


@pytest.fixture
def variables(serve, home):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "CAIRN_", "VIRTUAL_ENV"))}
    path = [str(Path(uv()).parent), str(Path(sys.executable).parent), kept.get("PATH", "")]
    return {
        **kept,
        "PATH": os.pathsep.join(path),
        "CAIRN_HOME": str(home),
        "MLFLOW_TRACKING_URI": serve.url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class Ran:
    """How a run ended, and what the server knows of it."""

    def __init__(self, done, client, experiment):
        self.code = done.returncode
        self.output = done.stdout + done.stderr
        self.runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"]) if experiment else []

    @property
    def run(self):
        assert len(self.runs) == 1, self.output
        return self.runs[0]


@pytest.fixture
def run(client, variables, tmp_path, name):
    """Runs a project with `cairn run` or, for `who="mlflow"`, with MLflow's own; each in an experiment of its own."""
    count = 0

    def go(uri, *more, who="cairn", cwd=tmp_path, env=None):
        nonlocal count
        count += 1
        experiment = f"{name}-{count}"
        start = [program(), "run"] if who == "cairn" else [sys.executable, "-m", "mlflow", "run"]
        argv = [*start, str(uri), "--experiment-name", experiment, *map(str, more)]
        done = subprocess.run(
            argv, env={**variables, **(env or {})}, cwd=cwd, text=True, capture_output=True, timeout=RUN_SECONDS, check=False
        )
        found = client.get_experiment_by_name(experiment)
        return Ran(done, client, found.experiment_id if found else None)

    return go


def both(run, *arguments, **more):
    """The same run by MLflow and by Cairn, with the environment that is there."""
    theirs = run(*arguments, "--env-manager", "local", who="mlflow", **more)
    ours = run(*arguments, "--env-manager", "local", **more)
    return theirs, ours


def tags(run):
    """MLflow's tags, without what differs from run to run."""
    own = ("cairn.", "mlflow.runName", "mlflow.log-model")
    return {key: value for key, value in run.data.tags.items() if not key.startswith(own)}


def test_a_run_has_the_tags_parameters_and_output_of_mlflow(run, projects):
    theirs, ours = both(run, projects / "shell", "-P", "text=a b", "-P", "extra-one=x y", cwd=projects / "shell")
    assert (theirs.code, ours.code) == (0, 0), ours.output
    assert tags(ours.run) == tags(theirs.run)
    assert ours.run.info.status == theirs.run.info.status == "FINISHED"
    # MLflow logs what it quoted for the shell; Cairn logs the values.
    assert ours.run.data.params == {
        "text": "a b", "number": "1e-3", "file": "in.txt", "address": "s3://bucket/key", "extra-one": "x y",
    }  # fmt: skip
    assert set(theirs.run.data.params) == {"text", "number", "file", "address", "extra-one"}
    lines = ["a b", "1e-3", str(projects / "shell" / "in.txt"), "s3://bucket/key", "{braces}", "--extra-one", "x y"]
    for line in lines:
        assert line in theirs.output.splitlines()
        assert line in ours.output.splitlines()


def test_the_child_has_mlflows_variables_and_folder(run, projects, serve):
    theirs, ours = both(run, projects / "shell", "-e", "variables", env={"MLFLOW_EXPERIMENT_NAME": ""})
    for ran in (theirs, ours):
        assert ran.code == 0, ran.output
        lines = ran.output.splitlines()
        assert f"MLFLOW_RUN_ID={ran.run.info.run_id}" in lines
        assert f"MLFLOW_EXPERIMENT_ID={ran.run.info.experiment_id}" in lines
        assert f"MLFLOW_TRACKING_URI={serve.url}" in lines
        assert str(projects / "shell") in lines


@pytest.mark.parametrize("entry_point", ["show.sh", "show.py"])
def test_scripts_are_entry_points(run, projects, entry_point):
    theirs, ours = both(run, projects / "shell", "-e", entry_point, "-P", "a=b c")
    assert (theirs.code, ours.code) == (0, 0), ours.output
    printed = [line for line in theirs.output.splitlines() if line.startswith("script")]
    assert printed and printed == [line for line in ours.output.splitlines() if line.startswith("script")]
    assert tags(ours.run) == tags(theirs.run)


def test_a_failing_command_ends_with_its_own_code(run, projects):
    theirs, ours = both(run, projects / "shell", "-e", "fail", "-P", "code=7")
    assert theirs.code == 1
    assert ours.code == 7, ours.output
    assert ours.run.info.status == theirs.run.info.status == "FAILED"
    assert ours.run.info.end_time >= ours.run.info.start_time


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["-e", "nothing"], 1),
        (["-e", "fail", "-v", "main"], 1),
        (["-P", "novalue"], 2),
        (["-P", "a=1", "-P", "a=2"], 2),
        (["--experiment-id", "0"], 2),
        (["--backend-config", "{no json"], 2),
        (["--nonsense"], 2),
    ],
)
def test_what_is_wrong_is_told_without_a_run(run, projects, more, code):
    theirs, ours = both(run, projects / "shell", *more)
    assert (theirs.code, ours.code) == (code, code), ours.output
    assert not ours.runs
    assert ours.output.strip()


@pytest.mark.parametrize("more", [["-P", "file=none.txt"], ["-P", "address=nothing"], ["-P", "number=abc"]])
def test_a_wrong_value_leaves_no_run_behind(run, projects, more):
    """MLflow leaves a run RUNNING after the first two, and passes the third one on."""
    ours = run(projects / "shell", *more)
    assert ours.code == 1, ours.output
    assert not ours.runs
    assert more[1].split("=")[0] in ours.output


def test_an_environment_that_cannot_be_made_fails_the_run(run, projects):
    (projects / "shell" / "requirements.txt").write_text("no-such-package-of-anybody==99.99\n", encoding="utf-8")
    ours = run(projects / "shell", "-e", "variables")
    assert ours.code == 1, ours.output
    assert ours.run.info.status == "FAILED"
    assert ours.run.info.end_time
    assert "no-such-package-of-anybody" in ours.output


STRINGS = [
    "", "plain", "a b", "it's", '"', "\\", "$HOME", "$(id)", "`id`", "a;b", "a|b", "a&b", "a\nb", "a\tb", "*", "?", "[a]", "~", "~root",
    "#x", "!x", "{x}", "{{x}}", "-x", "--y=z", "a=b", "a:b", "a/b", "a,b", "a+b", "a%b", "a@b", "a_b", "a.b", "a-b", "ü", "😀", "\u00a0",
    "''", "'a'b'", "'\"'\"'", "a'\\''b", "<x>", "(a)", "a\u2028b", "\x7f", "x" * 3000, "0", "1e-3", "True", "None", "$'a'", "%s", "a\\nb",
]  # fmt: skip


def test_commands_are_those_of_mlflow(variables, tmp_path):
    """Substitution and quoting, by every string as value, as extra value and as extra name."""
    (tmp_path / "MLproject").write_text(
        "entry_points:\n"
        "  main:\n"
        "    parameters:\n"
        "      a: string\n"
        "      b: {type: string, default: \"it's {a}\"}\n"
        "      c: {default: 1.50}\n"
        "      d: {default: yes}\n"
        "      e f: {type: uri, default: 'x:1'}\n"
        '    command: "run {a} {b} --c={c} {d} {{a}} {e f} {a}{a}"\n',
        encoding="utf-8",
    )
    entry_point = load_project(str(tmp_path)).get_entry_point("main")
    for at, text in enumerate(STRINGS):
        other = STRINGS[-at - 1]
        params = {"a": text, "extra": other}
        if text and text not in "abcd" and "=" not in text:
            params[text] = other
        argv = [program(), "run", str(tmp_path), "--plan", "--json"]
        for key, value in params.items():
            argv += ["-P", f"{key}={value}"]
        done = subprocess.run(argv, env=variables, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["command"] == entry_point.compute_command(params, str(tmp_path))


SCALARS = [
    "0.5", "1.50", "1e-3", "1.0e-3", "1.0e+20", "1.0e-5", "010", "0o10", "0x1F", "0b11", "1_000", "12:30", "12:30.5", "-0", "+7", "-0.0", "yes",
    "Off", "TRUE", "on", "'yes'", ".inf", "-.inf", ".nan", "2020-01-02", "1.2.3", "1.", ".5", "1e5", "1.5e5", "123456789012345678.0", "0.1e-10",
    "99999999999999999999", "!!str 010", "\"010\"", "|-\n          text", ">-\n          a\n          b", "~x", "a: b", "'a: b'", "0.00001",
    "1234567.0", "1e16", "1.0e+16", "5e-324", "4.9e-324",
]  # fmt: skip


def test_defaults_are_shown_as_mlflow_shows_them(variables, tmp_path):
    for text in SCALARS:
        (tmp_path / "MLproject").write_text(
            f"entry_points:\n  main:\n    parameters:\n      a:\n        default: {text}\n    command: \"run {{a}}\"\n", encoding="utf-8"
        )
        argv = [program(), "run", str(tmp_path), "--plan", "--json"]
        done = subprocess.run(argv, env=variables, text=True, capture_output=True, timeout=60, check=False)
        try:
            expected = load_project(str(tmp_path)).get_entry_point("main").compute_command({}, str(tmp_path))
        except Exception:  # MLflow's own failures have many types; Cairn names the line.
            assert done.returncode == 1 and "line 5" in done.stderr, (text, done.stdout)
            continue
        assert done.returncode == 0, (text, done.stderr)
        assert json.loads(done.stdout)["command"] == expected, text


def test_ctrl_c_stops_the_run(variables, projects, client, name):
    argv = [program(), "run", str(projects / "shell"), "-e", "slow", "--env-manager", "local", "--experiment-name", name]
    running = subprocess.Popen(argv, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in running.stdout:
        if line.strip() == "started":
            break
    running.send_signal(signal.SIGINT)
    rest = running.stdout.read()
    assert running.wait(60) == 130, rest
    assert "stopped" in rest
    (run,) = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert run.info.status == "KILLED"


def test_an_existing_run_is_used(client, run, projects, experiment):
    given = client.create_run(experiment, tags={"mlflow.source.name": "mine"})
    ours = run(projects / "shell", "-e", "variables", "--run-id", given.info.run_id)
    assert ours.code == 0, ours.output
    assert not ours.runs
    found = client.get_run(given.info.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.source.name"] == "mine"
    assert found.data.tags["mlflow.project.backend"] == "local"
    assert f"MLFLOW_RUN_ID={given.info.run_id}" in ours.output


def test_a_stock_server_can_be_logged_to(variables, projects, tmp_path):
    with Server(sys.executable, tmp_path / "stock.db", tmp_path) as server:
        env = {**variables, "MLFLOW_TRACKING_URI": server.wait()}
        argv = [program(), "run", str(projects / "shell"), "-e", "fail", "-P", "code=5", "--experiment-name", "by cairn"]
        done = subprocess.run(argv, env=env, text=True, capture_output=True, timeout=120, check=False)
        assert done.returncode == 5, done.stdout + done.stderr
        stock = MlflowClient(server.url)
        (run,) = stock.search_runs([stock.get_experiment_by_name("by cairn").experiment_id])
        assert run.info.status == "FAILED"
        assert run.data.params == {"code": "5"}
        names = {file.path for file in stock.list_artifacts(run.info.run_id, "cairn")}
        assert {"cairn/capture.json", "cairn/source.bundle", "cairn/output.log"} <= names


def test_a_store_that_nobody_serves_is_served_for_the_run(variables, projects, tmp_path):
    store = tmp_path / "store of its own"
    env = {key: value for key, value in variables.items() if key != "MLFLOW_TRACKING_URI"}
    argv = [program(), "run", str(projects / "shell"), "-e", "show.py", "--store", str(store)]
    done = subprocess.run(argv, env=env, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as database:
        assert database.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]


def test_content_that_changed_after_it_was_allowed_does_not_run(variables, home, projects, run):
    first = run(projects / "shell", "-e", "show.sh", "--run-name", "allowed")
    launch = Path(home) / "data" / "launches" / first.run.data.tags["cairn.launch.id"]
    folder = Path(shutil.copytree(launch, launch.with_name("f" * 32)))
    spec = json.loads((folder / "launch.json").read_text(encoding="utf-8"))
    for name in ("child.json", "failure.json"):
        (folder / name).unlink(missing_ok=True)
    spec["request"]["allowed_content"] = "0" * 64
    (folder / "launch.json").write_text(json.dumps(spec), encoding="utf-8")
    done = subprocess.run([program(), "launch", "prepare", str(folder)], env=variables, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "changed after they were allowed" in json.loads((folder / "failure.json").read_text(encoding="utf-8"))["message"]
    assert "Created run" not in done.stdout
    assert not (folder / "child.json").exists()
    shutil.rmtree(folder)


def git(folder, *arguments):
    own = ["-c", "user.name=A Person", "-c", "user.email=person@localhost", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"]
    return subprocess.run(["git", *own, *arguments], cwd=folder, text=True, capture_output=True, check=True).stdout.strip()


def test_a_dirty_repository_is_captured_and_left_alone(client, run, projects, tmp_path):
    folder = projects / "shell"
    git(projects, "init", "-q")
    git(projects, "add", ".")
    git(projects, "commit", "-qm", "first")
    git(projects, "remote", "add", "origin", "https://me:secret@host/p.git")
    (folder / "show.sh").write_text("echo changed\n", encoding="utf-8")
    (folder / "new.txt").write_text("untracked\n", encoding="utf-8")
    (folder / ".env").write_text("TOKEN=1\n", encoding="utf-8")
    before = (git(projects, "status", "--porcelain"), (projects / ".git" / "index").read_bytes(), git(projects, "rev-parse", "HEAD"))
    theirs, ours = both(run, folder, "-e", "show.sh")
    assert (theirs.code, ours.code) == (0, 0), ours.output
    assert tags(ours.run) == tags(theirs.run)
    assert ours.run.data.tags["mlflow.source.git.repoURL"] == "https://host/p.git"
    assert before == (git(projects, "status", "--porcelain"), (projects / ".git" / "index").read_bytes(), before[2])
    run_id = ours.run.info.run_id
    capture = json.loads(Path(client.download_artifacts(run_id, "cairn/capture.json", str(tmp_path))).read_text(encoding="utf-8"))
    assert capture["source"]["commit"] == before[2]
    assert [file["path"] for file in capture["source"]["changed"]] == ["shell/new.txt", "shell/show.sh"]
    assert capture["source"]["left_out"] == [{"path": "shell/.env", "why": "secret"}]
    bundle = client.download_artifacts(run_id, "cairn/source.bundle", str(tmp_path))
    git(tmp_path, "clone", "-q", "-b", "cairn", bundle, "restored")
    assert (tmp_path / "restored" / "shell" / "show.sh").read_text(encoding="utf-8") == "echo changed\n"
    assert not (tmp_path / "restored" / "shell" / ".env").exists()
    log = Path(client.download_artifacts(run_id, "cairn/output.log", str(tmp_path))).read_text(encoding="utf-8")
    assert "changed" in log


def test_a_version_of_a_local_repository_runs_without_touching_it(run, projects):
    git(projects, "init", "-q")
    git(projects, "add", ".")
    git(projects, "commit", "-qm", "first")
    git(projects, "branch", "side")
    (projects / "shell" / "show.sh").write_text("echo later\n", encoding="utf-8")
    git(projects, "commit", "-qam", "second")
    ours = run(f"{projects}#shell", "-e", "show.sh", "-v", "side", "-P", "a=b")
    assert ours.code == 0, ours.output
    assert "script 2 --a b" in ours.output
    assert ours.run.data.tags["mlflow.source.git.branch"] == "side"
    assert ours.run.data.tags["mlflow.source.git.commit"] == git(projects, "rev-parse", "side")
    assert git(projects, "remote") == ""


def test_elastic_net_runs_in_an_environment_made_by_uv(client, run, projects, tmp_path):
    first = run(projects / "elastic-net", "-P", "alpha=0.1")
    assert first.code == 0, first.output
    assert first.run.data.params == {"alpha": "0.1", "l1_ratio": "0.1", "seed": "42"}
    assert first.run.data.tags["mlflow.project.env"] == "virtualenv"
    assert first.run.data.metrics["rmse"] > 0
    lock = Path(client.download_artifacts(first.run.info.run_id, "cairn/environment.lock.txt", str(tmp_path)))
    assert "scikit-learn==1.8.0" in lock.read_text(encoding="utf-8")
    # The same again takes the environment that is there.
    begin = time.monotonic()
    again = run(projects / "elastic-net", "-P", "alpha=0.1")
    assert again.code == 0, again.output
    assert "Building" not in again.output, f"{time.monotonic() - begin:.1f} s"
    own = [{key: value for key, value in ran.run.data.metrics.items() if not key.startswith("system/")} for ran in (first, again)]
    assert own[0] == own[1]


class Data(http.server.BaseHTTPRequestHandler):
    """Serves one small table."""

    def do_GET(self):
        rows = "".join(f"{n / 10},{n / 5 + 1},{'' if n % 7 == 0 else 'ok'}\n" for n in range(60))
        body = f"x,y,note\n{rows}1000,1,ok\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def data_url():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Data) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/data.csv"
        server.shutdown()


def test_a_project_that_runs_its_steps_itself_shows_as_a_tree(run, projects, data_url):
    """Unmodified MLflow code in the project; neither conda nor pyenv has to be on this computer."""
    ours = run(projects / "multistep", "-P", f"url={data_url}")
    assert ours.code == 0, ours.output
    parents = [run for run in ours.runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in ours.runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1 and len(children) == 3, ours.output
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert {run.info.status for run in ours.runs} == {"FINISHED"}
    assert parents[0].data.metrics["error"] < 1
    rows = next(run for run in children if "rows_after" in run.data.metrics)
    assert rows.data.metrics["rows_after"] < rows.data.metrics["rows_before"]


def test_a_step_with_a_python_env_needs_no_pyenv(run, variables, tmp_path):
    project = tmp_path / "nested"
    (project / "step").mkdir(parents=True)
    (project / "requirements.txt").write_text("mlflow-skinny==3.17.2\n", encoding="utf-8")
    (project / "MLproject").write_text("entry_points: {main: {command: python main.py}}\n", encoding="utf-8")
    (project / "main.py").write_text(
        "import pathlib\n\nimport mlflow\n\n"
        "with mlflow.start_run():\n    mlflow.run(str(pathlib.Path(__file__).parent / 'step'))\n",
        encoding="utf-8",
    )
    (project / "step" / "MLproject").write_text(
        "entry_points: {main: {command: python -c 'import toolz; print(toolz.__version__)'}}\n", encoding="utf-8"
    )
    version = ".".join(map(str, sys.version_info[:3]))
    (project / "step" / "python_env.yaml").write_text(
        f"python: '{version}'\nbuild_dependencies: [pip]\ndependencies: [toolz==1.0.0]\n", encoding="utf-8"
    )
    without = [folder for folder in variables["PATH"].split(os.pathsep) if not (Path(folder) / "pyenv").exists()]
    env = {"PATH": os.pathsep.join(without), "MLFLOW_ENV_ROOT": str(tmp_path / "environments")}
    ours = run(project, env=env)
    assert ours.code == 0, ours.output
    assert "1.0.0" in ours.output.splitlines()
    child = next(run for run in ours.runs if "mlflow.parentRunId" in run.data.tags)
    assert child.info.status == "FINISHED"


def test_a_search_goes_on_when_a_trial_fails(run, projects):
    ours = run(projects / "search", "-P", "trials=3")
    assert ours.code == 0, ours.output
    children = [run for run in ours.runs if "mlflow.parentRunId" in run.data.tags]
    assert sorted(run.info.status for run in children) == ["FAILED", "FINISHED", "FINISHED"]
    parent = next(run for run in ours.runs if "mlflow.parentRunId" not in run.data.tags)
    best = max(run.data.metrics.get("accuracy", 0) for run in children)
    assert parent.data.metrics["best_accuracy"] == best
