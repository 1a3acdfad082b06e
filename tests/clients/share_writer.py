"""Clients that write until they are told to stop: python share_writer.py <folder> <stop file> <name> <tracking URI> ...

Each is a process of its own. Each write that was answered is counted, and named by its number, so that what is
missing later is known; slow answers and refusals are noted. It all goes to <folder>/<name>.json.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException


def work(name, uri, folder, stop, ready):
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("shared").experiment_id
    noted = {"runs": {}, "refused": [], "slowest": 0.0, "calls": 0}

    def write(call, *arguments):
        began = time.monotonic()
        try:
            return call(*arguments)
        except MlflowException as error:
            noted["refused"].append(f"after {time.monotonic() - began:.1f} s: {error!s:.300}")
            raise
        finally:
            noted["calls"] += 1
            noted["slowest"] = max(noted["slowest"], time.monotonic() - began)

    os.write(ready, b".")
    number = 0
    try:
        while not stop.exists():
            run_id = write(client.create_run, experiment, 1, {"writer": name}, f"{name} {number}").info.run_id
            answered = noted["runs"][run_id] = {"steps": [], "params": [], "tags": []}
            for _ in range(10):
                if stop.exists():
                    break
                number += 1
                metrics = [Metric(key, number, 1, number) for key in ("a", "b", "c")]
                write(client.log_batch, run_id, metrics, [Param(f"p{number}", "v")], [RunTag(f"t{number}", "v")])
                answered["steps"].append(number)
                answered["params"].append(f"p{number}")
                write(client.set_tag, run_id, f"s{number}", "v")
                answered["tags"] += [f"t{number}", f"s{number}"]
                client.get_run(run_id)
    except MlflowException:
        # It was noted; there is nothing to go on with.
        pass
    (folder / f"{name}.json").write_text(json.dumps(noted), encoding="utf-8")


def main():
    folder, stop, *clients = sys.argv[1:]
    ready, told = os.pipe()
    children = []
    # Forked, since MLflow takes seconds to be imported; none of it has opened anything yet.
    for name, uri in zip(clients[::2], clients[1::2], strict=True):
        if child := os.fork():
            children.append(child)
            continue
        try:
            work(name, uri, Path(folder), Path(stop), told)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(told)
    heard = 0
    while heard < len(children):
        heard_now = os.read(ready, 1)
        if not heard_now:
            break
        heard += 1
    print("ready", flush=True)
    sys.exit(any([os.waitpid(child, 0)[1] for child in children]))


if __name__ == "__main__":
    main()
