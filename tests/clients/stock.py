"""Stock MLflow in processes and environments of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

HERE = Path(__file__).parent

# The smallest set with which MLflow opens a database by itself. SQLAlchemy 2.1 came after all of
# these releases but the last, and the older ones do not start with it.
DATABASE_REQUIREMENTS = ["sqlalchemy<2.1", "alembic"]


def environment():
    """The variables for a process that has nothing to do with this one's client."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "VIRTUAL_ENV", "PYTHON"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONDONTWRITEBYTECODE": "1"}


def run(python, script, *arguments, cwd):
    """Runs one of the scripts beside this file; its output is part of a failure's message."""
    argv = [str(python), str(HERE / script), *map(str, arguments)]
    done = subprocess.run(argv, env=environment(), cwd=cwd, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


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


def python_with(release):
    """The Python of an environment with that release, made once per cache folder."""
    cache = Path(os.environ.get("CAIRN_TEST_CACHE") or Path(tempfile.gettempdir()) / "cairn-test-cache")
    requirements = [f"mlflow-skinny=={release}", *DATABASE_REQUIREMENTS]
    digest = hashlib.sha256(" ".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    folder = cache / f"mlflow-{release}-{digest}"
    python = folder / "bin/python"
    mark = folder / "complete"
    if not mark.exists():
        cache.mkdir(parents=True, exist_ok=True)
        make = [uv(), "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(folder)]
        subprocess.run(make, check=True, timeout=300)
        install = [uv(), "pip", "install", "--quiet", "--python", str(python), *requirements]
        subprocess.run(install, check=True, timeout=600)
        mark.touch()
    return python
