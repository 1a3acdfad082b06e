"""A training that logs into an mlruns folder: python log_files.py <mlruns folder> <seconds between steps>

Prints its run id first, and a line after each step.
"""

import os
import sys
import time
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

import mlflow


def main():
    folder, pause = Path(sys.argv[1]), float(sys.argv[2])
    mlflow.set_tracking_uri(folder.absolute().as_uri())
    mlflow.set_experiment("followed")
    with mlflow.start_run(run_name="live") as run:
        print(run.info.run_id, flush=True)
        mlflow.log_param("lr", 0.1)
        for step in range(10):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
            print(step, flush=True)
            time.sleep(pause)
        mlflow.log_text("done", "notes/end.txt")


if __name__ == "__main__":
    main()
