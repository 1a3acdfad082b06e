//! What is sent to a server, for how long, and what came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::servers::Server;

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// `runs/log-metric`, one metric in each call.
    LogMetric,
    /// `runs/log-batch` with [`BATCH`] metrics in each call; metrics are counted.
    LogBatch,
    /// `runs/create`.
    CreateRun,
}

/// Metrics in one `log-batch` call: the most that MLflow takes.
pub const BATCH: u64 = 1000;

impl Workload {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 3] = [Self::LogMetric, Self::LogBatch, Self::CreateRun];

    /// What one unit of the measured rate is.
    pub fn unit(self) -> &'static str {
        match self {
            Self::LogMetric => "log-metric calls",
            Self::LogBatch => "log-batch metrics",
            Self::CreateRun => "runs/create calls",
        }
    }

    fn units_per_call(self) -> u64 {
        if self == Self::LogBatch { BATCH } else { 1 }
    }
}

/// How much was answered in how much time; slices of one series are added up.
#[derive(Clone, Copy, Default)]
pub struct Measured {
    /// Calls, or metrics for [`Workload::LogBatch`], that were answered with 200.
    pub units: u64,
    /// Wall time from the first request sent to the last answer received.
    pub time: Duration,
}

impl Measured {
    /// Units in a second.
    pub fn rate(self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.units as f64 / self.time.as_secs_f64() }
    }

    /// The two slices as one.
    pub fn and(self, other: Self) -> Self {
        Self { units: self.units + other.units, time: self.time + other.time }
    }
}

/// A series of slices of one workload against one server. Each connection logs to a run of its own.
pub struct Series<'a> {
    server: &'a Server,
    workload: Workload,
    experiment_id: String,
    run_ids: Vec<String>,
    /// The step of the next metric: no two metrics of a series are equal, because MLflow drops
    /// exact duplicates.
    next_step: AtomicU64,
}

impl<'a> Series<'a> {
    /// Makes an experiment and one run for each of `connections`.
    pub fn begin(server: &'a Server, workload: Workload, connections: usize) -> Result<Self> {
        let mut connection = server.connect();
        let name = format!("bench {} {connections} {}", workload.unit(), unique());
        let answer = answer(
            &connection
                .post("/api/2.0/mlflow/experiments/create", &json!({"name": name}).to_string())?,
        )?;
        let experiment_id = text_at(&answer, "/experiment_id")?;
        let mut run_ids = Vec::new();
        for _ in 0..connections {
            let created = connection
                .post("/api/2.0/mlflow/runs/create", &create_run_body(&experiment_id, 1))?;
            run_ids.push(text_at(&self::answer(&created)?, "/run/info/run_id")?);
        }
        Ok(Self { server, workload, experiment_id, run_ids, next_step: AtomicU64::new(0) })
    }

    /// Sends requests on every connection for about `duration`, each as soon as the last one is
    /// answered. Any answer but 200 is an error.
    pub fn slice(&self, duration: Duration) -> Result<Measured> {
        let started = Instant::now();
        let counts: Result<Vec<u64>> = thread::scope(|scope| {
            let workers: Vec<_> = self
                .run_ids
                .iter()
                .map(|run_id| scope.spawn(move || self.one_connection(run_id, started + duration)))
                .collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker.join().map_err(|_| anyhow::anyhow!("a connection panicked"))?
                })
                .collect()
        });
        Ok(Measured { units: counts?.iter().sum(), time: started.elapsed() })
    }

    fn one_connection(&self, run_id: &str, until: Instant) -> Result<u64> {
        let mut connection = self.server.connect();
        let mut units = 0;
        while Instant::now() < until {
            let step = self.next_step.fetch_add(self.workload.units_per_call(), Ordering::Relaxed);
            let (path, body) = match self.workload {
                Workload::LogMetric => ("log-metric", log_metric_body(run_id, step)),
                Workload::LogBatch => ("log-batch", log_batch_body(run_id, step)),
                Workload::CreateRun => ("create", create_run_body(&self.experiment_id, step + 1)),
            };
            let response = connection
                .post(&format!("/api/2.0/mlflow/runs/{path}"), &body)
                .with_context(|| self.server.name)?;
            if response.status != 200 {
                bail!(
                    "{} answered {path} with {}: {}",
                    self.server.name,
                    response.status,
                    String::from_utf8_lossy(&response.body)
                );
            }
            units += self.workload.units_per_call();
        }
        Ok(units)
    }

    /// Asks the server for all that it kept and compares with what it had answered.
    ///
    /// A rate of things that were not kept would be worth nothing. `logged` is the sum of all slices.
    pub fn verify(&self, logged: u64) -> Result<()> {
        if self.workload == Workload::CreateRun {
            return Ok(());
        }
        let mut connection = self.server.connect();
        let mut kept = 0;
        for run_id in &self.run_ids {
            for key in KEYS {
                let path =
                    format!("/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key={key}");
                let history = answer(&connection.get(&path)?)?;
                kept += history["metrics"].as_array().map_or(0, Vec::len) as u64;
            }
        }
        if kept != logged {
            bail!("{} answered {logged} metrics with 200, but kept {kept}", self.server.name);
        }
        Ok(())
    }
}

/// Metrics of a batch are spread over these, as a training script would.
const KEYS: [&str; 4] = ["loss", "accuracy", "val_loss", "val_accuracy"];

fn log_metric_body(run_id: &str, step: u64) -> String {
    format!(
        r#"{{"run_id":"{run_id}","key":"loss","value":{:.6},"timestamp":{},"step":{step}}}"#,
        value(step),
        timestamp(step)
    )
}

fn log_batch_body(run_id: &str, first_step: u64) -> String {
    let metrics: Vec<String> = (first_step..first_step + BATCH)
        .map(|step| {
            format!(
                r#"{{"key":"{}","value":{:.6},"timestamp":{},"step":{step}}}"#,
                KEYS[step as usize % KEYS.len()],
                value(step),
                timestamp(step)
            )
        })
        .collect();
    format!(r#"{{"run_id":"{run_id}","metrics":[{}]}}"#, metrics.join(","))
}

fn create_run_body(experiment_id: &str, number: u64) -> String {
    json!({
        "experiment_id": experiment_id,
        "user_id": "bench",
        "run_name": format!("bench-{number}"),
        "start_time": timestamp(number),
        "tags": [
            {"key": "mlflow.user", "value": "bench"},
            {"key": "mlflow.source.name", "value": "train.py"},
            {"key": "mlflow.source.type", "value": "LOCAL"},
            {"key": "mlflow.runName", "value": format!("bench-{number}")},
        ],
    })
    .to_string()
}

/// A falling curve with some noise; only its shape as text matters.
fn value(step: u64) -> f64 {
    1.0 / (1.0 + step as f64 / 1000.0) + (step % 17) as f64 / 1e4
}

/// Milliseconds since 1970, a fixed moment and one more for each step.
fn timestamp(step: u64) -> u64 {
    1_760_000_000_000 + step
}

fn unique() -> u128 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

fn answer(response: &super::http::Response) -> Result<Value> {
    let text = String::from_utf8_lossy(&response.body);
    if response.status != 200 {
        bail!("the server answered {}: {text}", response.status);
    }
    serde_json::from_str(&text).with_context(|| format!("`{text}` is no JSON"))
}

fn text_at(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.with_context(|| format!("no {pointer} in {value}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_with_as_many_metrics_as_are_counted() {
        let batch: Value = serde_json::from_str(&log_batch_body("r", 2000)).expect("JSON");
        let metrics = batch["metrics"].as_array().expect("an array");
        assert_eq!(metrics.len() as u64, Workload::LogBatch.units_per_call());
        assert_eq!(metrics[0]["step"], 2000);
        assert!(KEYS.iter().all(|key| metrics.iter().any(|metric| metric["key"] == *key)));

        let single: Value = serde_json::from_str(&log_metric_body("r", 7)).expect("JSON");
        assert!(KEYS.contains(&single["key"].as_str().expect("text")));
        assert_eq!(single["step"], 7);
    }

    #[test]
    fn slices_add_up_to_one_rate() {
        let slice = |units, secs| Measured { units, time: Duration::from_secs(secs) };
        let both = slice(100, 1).and(slice(200, 2));
        assert!((both.rate() - 100.0).abs() < 1e-9);
        assert!(Measured::default().rate().abs() < 1e-9);
    }
}
