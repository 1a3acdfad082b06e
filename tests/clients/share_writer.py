"""A client that writes until it is told to stop: python share_writer.py <tracking URI> <name> <output> <stop file>

Each write that was answered is counted, and named by its number, so that what is missing later is known.
Slow answers and refusals are noted.
"""

import json
import os
import sys
import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException


def main():
    uri, name, output, stop = sys.argv[1:]
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

    print("ready", flush=True)
    number = 0
    try:
        while not os.path.exists(stop):
            run_id = write(client.create_run, experiment, 1, {"writer": name}, f"{name} {number}").info.run_id
            answered = noted["runs"][run_id] = {"steps": [], "params": [], "tags": []}
            for _ in range(10):
                if os.path.exists(stop):
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
    with open(output, "w", encoding="utf-8") as file:
        json.dump(noted, file)


if __name__ == "__main__":
    main()
