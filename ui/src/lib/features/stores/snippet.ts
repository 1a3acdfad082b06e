/** The line that points an MLflow client at the open store. */
export function trackingLine(trackingUri: string): string {
  return `mlflow.set_tracking_uri("${trackingUri}")`;
}

/** The smallest program that logs a run. */
export function firstRunSnippet(trackingUri: string): string {
  return [
    "import mlflow",
    trackingLine(trackingUri),
    "with mlflow.start_run():",
    '    mlflow.log_param("lr", 0.01)',
    '    mlflow.log_metric("loss", 0.42)',
  ].join("\n");
}
