"""The same two hundred calls of one script, against Cairn and against `mlflow server`: equal answers.

In six releases of MLflow, each against its own server.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import stock
from cairn import Cairn

RELEASES = [*stock.SERVER_RELEASES, "3.17.2"]
OLD = ["2.9.2", "2.22.4", "3.1.4", "3.5.1", "3.10.1"]
# Calls that Cairn answers otherwise, in which releases, and why. docs/mlflow-compatibility.md says so too.
DIFFERENT = {
    "runs where tags.`group` != 'x' and metrics.score < 1": (OLD, "NaN was compared as the 0 that stands for it in the file"),
    "download a folder": (["3.5.1", "3.10.1"], "their server refuses names of files with a percent sign"),
    "a metric with a long name": (["2.9.2"], "the limit of 250 characters came later"),
    "a param that is too long": (["2.9.2"], "long values were refused, and are cut since 2.10"),
    "a tag that is too long": (["2.9.2"], "long values were refused, and are cut since 2.10"),
}
# Nobody listens there: whatever went through the proxy would fail.
PROXIES = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")}
PROXIES |= {"NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1"}


def calls(python, url, folder, variables=None):
    """What each call of the script answered."""
    folder.mkdir()
    stock.run(python, "everyday.py", url, folder / "calls.json", cwd=folder, variables={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", **(variables or {})})
    return json.loads((folder / "calls.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("release", RELEASES)
def test_script_cannot_tell_cairn_from_the_server_of_its_release(release, tmp_path):
    python = sys.executable if release == "3.17.2" else stock.python_with(release)
    (tmp_path / "server").mkdir()
    with stock.Server(python, tmp_path / "server/mlflow.db", tmp_path / "server") as server, Cairn(tmp_path / "store") as cairn:
        with ThreadPoolExecutor() as pool:
            ours = pool.submit(calls, python, cairn.url, tmp_path / "ours", PROXIES)
            theirs = pool.submit(lambda: calls(python, server.wait(), tmp_path / "theirs"))
            ours, theirs = ours.result(), theirs.result()
    assert [name for name, _ in ours] == [name for name, _ in theirs] and len(ours) >= 180
    differing = {name: (mine, other) for (name, mine), (_, other) in zip(ours, theirs, strict=True) if mine != other}
    known = {name for name, (releases, _) in DIFFERENT.items() if release in releases}
    unknown = [f"{name}\n  cairn:  {mine!s:.1500}\n  mlflow: {other!s:.1500}" for name, (mine, other) in differing.items() if name not in known]
    assert not unknown, "\n".join(unknown)
    assert differing.keys() == known, "a difference that is gone has to leave the list"
