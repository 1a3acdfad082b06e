/** A small project without dependencies: its environment is made in a moment, and it logs as a client does. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

const MLPROJECT = `name: churn

python_env: python_env.yaml

entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      seed: {type: float, default: 7}
      data: {type: path, default: data.csv}
    command: "python train.py {alpha} {seed} {data}"
  wait:
    command: "python wait.py"
  fail:
    command: "python fail.py"
`;

const CLIENT = `import json, os, time, urllib.request

def log(key, value, step=0):
    body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "step": step,
            "timestamp": int(time.time() * 1000)}
    address = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
    request = urllib.request.Request(address, data=json.dumps(body).encode(),
                                     headers={"content-type": "application/json"})
    urllib.request.urlopen(request).read()
`;

const TRAIN = `import random, sys
from client import log

alpha, seed = float(sys.argv[1]), float(sys.argv[2])
random.seed(seed)
loss = 1.0
for step in range(5):
    loss = loss * (1 - 0.1 * alpha) + random.random() * 0.01
    print(f"\\x1b[32mloss\\x1b[0m {loss:.6f} <b>{step}</b>", flush=True)
    log("loss", loss, step)
`;

const WAIT = `import time

for tick in range(600):
    print("tick", tick, flush=True)
    time.sleep(0.1)
`;

const FAIL = `print("reading data")
raise ValueError("column target is not in data.csv")
`;

const PYTHON_ENV = 'python: "3"\nbuild_dependencies: []\ndependencies: []\n';

const STEPS = `name: steps

python_env: python_env.yaml

entry_points:
  clean:
    parameters: {rows: float}
    command: "python clean.py {rows}"
  train:
    parameters: {rows: float}
    command: "python train.py {rows}"
  tune:
    parameters: {x: {type: float, default: 1}}
    command: "python tune.py {x}"

pipeline:
  parameters:
    rows: {type: float, default: 3}
  steps:
    clean:
      parameters: {rows: "\${parameters.rows}"}
    train:
      parameters: {rows: "\${steps.clean.metrics.rows}"}
`;

const CLEAN = `import sys
from client import log

log("rows", 2 * float(sys.argv[1]))
`;

const BROKEN = `raise ValueError("column target is not there")
`;

/** What mends the step that fails. */
export const MENDED = `import sys
from client import log

log("seen", float(sys.argv[1]))
`;

const TUNE = `import os, sys, time
from client import log

x = float(sys.argv[1])
log("loss", (x - 1) ** 2)
while x == 1 and not os.path.exists("go"):
    time.sleep(0.05)
`;

/** Writes the project into a folder and answers the folder. */
export function writeProject(folder) {
  return write(folder, {
    MLproject: MLPROJECT,
    "python_env.yaml": PYTHON_ENV,
    "data.csv": "a,b\n1,2\n",
    "client.py": CLIENT,
    "train.py": TRAIN,
    "wait.py": WAIT,
    "fail.py": FAIL,
  });
}

/** A pipeline of two steps, of which the second fails, and something to sweep that waits at one value. */
export function writeSteps(folder) {
  return write(folder, {
    MLproject: STEPS,
    "python_env.yaml": PYTHON_ENV,
    "client.py": CLIENT,
    "clean.py": CLEAN,
    "train.py": BROKEN,
    "tune.py": TUNE,
  });
}

function write(folder, files) {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}
