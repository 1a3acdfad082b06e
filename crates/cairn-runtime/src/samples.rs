//! The sample training: small real models, trained by a real MLflow client.
//!
//! It needs nothing but an address to log to, and takes under a minute. What it prints is its
//! progress: [`SampleProgress::parse`] reads it.

use std::path::{Path, PathBuf};

use tokio::fs;

use crate::environment::{Environment, EnvironmentSpec};
use crate::error::{Result, RuntimeError};
use crate::process::ProcessSpec;

/// The training script.
pub const SAMPLE_SCRIPT: &str = include_str!("../samples/log_sample_runs.py");

/// What the script imports, and what MLflow needs to save its model. `mlflow-skinny` is the client
/// without the server.
pub const SAMPLE_REQUIREMENTS: [&str; 5] = [
    "mlflow-skinny==3.17.2",
    "scikit-learn>=1.6,<2",
    "pandas>=2.2,<4",
    "matplotlib>=3.9,<4",
    "skops>=0.13,<1",
];

/// The Pythons that all of these support.
const SAMPLE_PYTHON: &str = ">=3.10,<3.15";

/// What is said before a line of progress.
const PROGRESS_PREFIX: &str = "PROGRESS ";

/// The environment that the script runs in.
pub fn environment_spec() -> EnvironmentSpec {
    EnvironmentSpec::python("samples", Some(SAMPLE_PYTHON), SAMPLE_REQUIREMENTS)
        .expect("these are requirements")
}

/// Where the script logs to.
#[derive(Clone, Copy)]
pub struct SampleClient<'a> {
    /// The server, such as `http://127.0.0.1:5000`.
    pub tracking_uri: &'a str,
    /// The token that it may want.
    pub token: Option<&'a str>,
}

/// Writes the script into `work_dir` and answers how to run it.
///
/// The server is reached directly even where a proxy is set, and MLflow's usage statistics are off.
/// The token is passed in the environment, where other users of the computer cannot see it.
///
/// Errors: [`RuntimeError::Io`] when `work_dir` cannot be written.
pub async fn prepare(
    environment: &Environment,
    work_dir: &Path,
    client: SampleClient<'_>,
) -> Result<ProcessSpec> {
    fs::create_dir_all(work_dir).await.map_err(RuntimeError::io("creating", work_dir))?;
    let script: PathBuf = work_dir.join("log_sample_runs.py");
    fs::write(&script, SAMPLE_SCRIPT).await.map_err(RuntimeError::io("writing", &script))?;
    let direct = "127.0.0.1,localhost,::1";
    let no_proxy = match std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")) {
        Ok(others) if !others.is_empty() => format!("{others},{direct}"),
        _ => direct.to_owned(),
    };
    let process = environment.process(environment.python(), work_dir);
    let process = match client.token {
        Some(token) => process.env("MLFLOW_TRACKING_TOKEN", token),
        None => process.env_remove("MLFLOW_TRACKING_TOKEN"),
    };
    Ok(process
        .arg(script)
        .env("MLFLOW_TRACKING_URI", client.tracking_uri)
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .env("NO_PROXY", &no_proxy)
        .env("no_proxy", &no_proxy)
        .env("PYTHONIOENCODING", "utf-8")
        // Set for another client in the same terminal, they would lead the runs elsewhere.
        .env_remove("MLFLOW_REGISTRY_URI")
        .env_remove("MLFLOW_TRACKING_USERNAME")
        .env_remove("MLFLOW_TRACKING_PASSWORD")
        .env_remove("MLFLOW_RUN_ID")
        .env_remove("MLFLOW_EXPERIMENT_ID")
        .env_remove("MLFLOW_EXPERIMENT_NAME"))
}

/// How far the training is.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleProgress {
    /// From 0 to 1.
    pub fraction: f64,
    /// What is being done, for people.
    pub words: String,
}

impl SampleProgress {
    /// Reads a line that the script printed; `None` for any other line.
    pub fn parse(line: &str) -> Option<Self> {
        let (fraction, words) = line.strip_prefix(PROGRESS_PREFIX)?.split_once(' ')?;
        let fraction: f64 = fraction.parse().ok()?;
        (0.0..=1.0).contains(&fraction).then(|| Self { fraction, words: words.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_told_from_other_output() {
        let progress = SampleProgress::parse("PROGRESS 0.250 Training wine-sgd");
        assert_eq!(
            progress,
            Some(SampleProgress { fraction: 0.25, words: "Training wine-sgd".to_owned() })
        );
        assert_eq!(SampleProgress::parse("PROGRESS much"), None);
        assert_eq!(SampleProgress::parse("PROGRESS 2 Training"), None);
        assert_eq!(SampleProgress::parse("PROGRESS NaN Training"), None);
        assert_eq!(SampleProgress::parse("Training"), None);
    }
}
