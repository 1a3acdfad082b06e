/** What to write in Python for what a run does not have yet. */

export const LOG_METRIC = 'mlflow.log_metric("loss", loss, step=step)';
export const LOG_PARAMETERS = 'mlflow.log_params({"lr": 0.01})';
export const SET_TAG = 'mlflow.set_tag("stage", "baseline")';
