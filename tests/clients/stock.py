"""Stock MLflow in processes and environments of its own."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

HERE = Path(__file__).parent
# Long enough for a loaded machine that has never started it before.
START_SECONDS = 180

# The newest of each minor release of MLflow 3 that can be installed.
RELEASES_OF_3 = [
    "3.0.1", "3.1.4", "3.2.0", "3.3.2", "3.4.0", "3.5.1", "3.6.0", "3.7.0", "3.8.1", "3.9.0", "3.10.1", "3.11.1", "3.12.0",
    "3.13.0", "3.14.0", "3.15.2", "3.16.1", "3.17.2",
]  # fmt: skip

# The smallest set with which MLflow opens a database by itself. SQLAlchemy 2.1 came after all of
# these releases but the last, and the older ones do not start with it.
DATABASE_REQUIREMENTS = ["sqlalchemy<2.1", "alembic"]
# They use a part of setuptools that was removed.
OLD_REQUIREMENTS = ["alembic", "setuptools<81"]
REQUIREMENTS = {"1.30.1": ["sqlalchemy<2", *OLD_REQUIREMENTS], "2.9.2": ["sqlalchemy<2.1", *OLD_REQUIREMENTS]}
# What `mlflow server` needs beyond that; `mlflow` itself is installed without the rest of its list, which is a
# gigabyte of libraries for training.
SERVER_REQUIREMENTS = ["flask", "flask-cors", "gunicorn", "graphene"]
SERVER_RELEASES = {
    "2.9.2": ["pandas<3", "numpy<2", "pyarrow<15", "querystring-parser"],
    "2.22.4": ["pandas<3", "numpy<3"],
    "3.1.4": ["pandas<3"],
    "3.5.1": ["pandas<3"],
    "3.10.1": ["pandas<3"],
}


def environment():
    """The variables for a process that has nothing to do with this one's client."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "VIRTUAL_ENV", "PYTHON"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true"}


def run(python, script, *arguments, cwd, variables=None):
    """Runs one of the scripts beside this file; its output is part of a failure's message."""
    argv = [str(python), str(HERE / script), *map(str, arguments)]
    env = {**environment(), **(variables or {})}
    done = subprocess.run(argv, env=env, cwd=cwd, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


class Server:
    """`mlflow server` of any release on a new file, or on one that is there, from being ready to its end."""

    def __init__(self, python, database, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        argv = [
            str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts"),
        ]  # fmt: skip
        self.log = open(folder / "mlflow-server.log", "w+", encoding="utf-8")
        # A group of its own, since it starts workers.
        self.process = subprocess.Popen(
            argv, env=environment(), cwd=folder, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def wait(self):
        """Waits until it answers; its address."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return self.url
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise AssertionError(f"mlflow server does not answer:\n{self.log.read()}")
            time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def read_facts(database, cwd, python=sys.executable):
    """What MLflow itself reads from the file, without any server. It may migrate the file."""
    output = Path(cwd) / f"facts-{uuid.uuid4().hex[:8]}.json"
    run(python, "facts.py", f"sqlite:///{database}", output, cwd=cwd)
    return json.loads(output.read_text(encoding="utf-8"))


def comparable(facts):
    """The facts as they are after a trip through JSON."""
    return json.loads(json.dumps(facts))


def uv():
    program = os.environ.get("CAIRN_UV") or shutil.which("uv")
    assert program, "uv is neither named by CAIRN_UV nor on PATH; it makes the environments with older releases of MLflow."
    return program


def cache_folder():
    """Where environments are kept between runs."""
    folder = Path(os.environ.get("CAIRN_TEST_CACHE") or Path(tempfile.gettempdir()) / "cairn-test-cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def python_with(release):
    """The Python of an environment with that release, made once per cache folder.

    Those of `SERVER_RELEASES` can run `mlflow server`.
    """
    requirements = [f"mlflow-skinny=={release}", *REQUIREMENTS.get(release, DATABASE_REQUIREMENTS)]
    installs = [requirements]
    if release in SERVER_RELEASES:
        installs = [[*requirements, *SERVER_REQUIREMENTS, *SERVER_RELEASES[release]], ["--no-deps", f"mlflow=={release}"]]
    digest = hashlib.sha256(" ".join([sys.version, *sum(installs, [])]).encode()).hexdigest()[:12]
    folder = cache_folder() / f"mlflow-{release}-{digest}"
    python = folder / "bin/python"
    mark = folder / "complete"
    # Several processes may need it at the same time; one makes it.
    with open(folder.with_suffix(f"{folder.suffix}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            make = [uv(), "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(folder)]
            subprocess.run(make, check=True, timeout=300)
            for install in installs:
                command = [uv(), "pip", "install", "--quiet", "--python", str(python), *install]
                subprocess.run(command, check=True, timeout=600)
            mark.touch()
    return python
