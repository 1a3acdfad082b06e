//! What is asked, for how long, and what came of it: the same loop for a server and for plain SQLite.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::{Connection, Response};
use crate::servers::Server;

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// `runs/log-metric`, one metric in each call.
    LogMetric,
    /// `runs/log-batch` with [`BATCH`] metrics in each call; metrics are counted.
    LogBatch,
    /// `runs/create` with four tags.
    CreateRun,
}

/// Metrics in one `log-batch` call: the most that MLflow takes.
pub const BATCH: u64 = 1000;

/// Metrics of a batch are spread over these, as a training script would.
pub const KEYS: [&str; 4] = ["loss", "accuracy", "val_loss", "val_accuracy"];

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

    /// Units in one call.
    pub fn units_per_call(self) -> u64 {
        if self == Self::LogBatch { BATCH } else { 1 }
    }
}

/// Something that is asked again and again, by one thread.
pub trait Caller: Send {
    /// Does one call to its end; anything but success is an error.
    fn call(&mut self) -> Result<()>;
}

/// How much was answered in how much time; slices of one series are added up.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Calls that were answered.
    pub calls: u64,
    /// Wall time from the first request sent to the last answer received.
    pub time: Duration,
    /// How long each call took, microseconds, unordered.
    pub latencies_us: Vec<u32>,
}

impl Measured {
    /// Calls in a second.
    pub fn rate(&self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.calls as f64 / self.time.as_secs_f64() }
    }

    /// The time that half of the calls took at most, microseconds.
    pub fn median_us(&self) -> f64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map_or(f64::NAN, |us| f64::from(*us))
    }

    /// The two slices as one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.calls += other.calls;
        self.time += other.time;
        self.latencies_us.extend(other.latencies_us);
        self
    }
}

/// Lets each caller, on a thread of its own, call for about `duration`, each time as soon as its last
/// call is done.
pub fn slice<C: Caller>(callers: &mut [C], duration: Duration) -> Result<Measured> {
    let started = Instant::now();
    let until = started + duration;
    let latencies: Result<Vec<Vec<u32>>> = thread::scope(|scope| {
        let workers: Vec<_> = callers
            .iter_mut()
            .map(|caller| {
                scope.spawn(move || {
                    let mut latencies = Vec::new();
                    let mut now = Instant::now();
                    while now < until {
                        caller.call()?;
                        let done = Instant::now();
                        latencies.push((done - now).as_micros().min(u128::from(u32::MAX)) as u32);
                        now = done;
                    }
                    anyhow::Ok(latencies)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow::anyhow!("a caller panicked"))?)
            .collect()
    });
    let time = started.elapsed();
    let latencies_us = latencies?.concat();
    Ok(Measured { calls: latencies_us.len() as u64, time, latencies_us })
}

/// The callers of one workload against one server; each has a connection and a run of its own.
pub struct Series<'a> {
    server: &'a Server,
    workload: Workload,
    run_ids: Vec<String>,
    /// One for each connection.
    pub callers: Vec<HttpCaller>,
}

impl<'a> Series<'a> {
    /// Makes an experiment and one run for each of `connections`.
    pub fn begin(server: &'a Server, workload: Workload, connections: usize) -> Result<Self> {
        let mut connection = server.connect();
        let name = format!("bench {} {connections} {}", workload.unit(), unique());
        let body = json!({"name": name}).to_string();
        let made = connection.post("/api/2.0/mlflow/experiments/create", body.as_bytes())?;
        let experiment_id = text_at(&answer(&made)?, "/experiment_id")?;
        let mut run_ids = Vec::new();
        let mut callers = Vec::new();
        for number in 0..connections as u64 {
            let body = create_run_body(&experiment_id);
            let created = connection.post("/api/2.0/mlflow/runs/create", body.as_bytes())?;
            let run_id = text_at(&answer(&created)?, "/run/info/run_id")?;
            let (path, body) = match workload {
                Workload::LogMetric => ("log-metric", log_metric_body(&run_id)),
                Workload::LogBatch => ("log-batch", log_batch_body(&run_id)),
                Workload::CreateRun => ("create", create_run_body(&experiment_id)),
            };
            callers.push(HttpCaller {
                connection: server.connect(),
                path: format!("/api/2.0/mlflow/runs/{path}"),
                body: Stamped::new(body),
                // No two metrics of a series are equal, because MLflow drops exact duplicates.
                next: number * 100_000_000,
                server: server.name,
            });
            run_ids.push(run_id);
        }
        Ok(Self { server, workload, run_ids, callers })
    }

    /// One slice of all callers.
    pub fn slice(&mut self, duration: Duration) -> Result<Measured> {
        slice(&mut self.callers, duration)
    }

    /// Asks the server for all that it kept and compares with what it had answered, in calls.
    ///
    /// A rate of things that were not kept would be worth nothing.
    pub fn verify(&self, calls: u64) -> Result<()> {
        if self.workload == Workload::CreateRun {
            return Ok(());
        }
        let logged = calls * self.workload.units_per_call();
        let mut connection = self.server.connect();
        connection.set_patience(Duration::from_mins(2));
        let mut kept = 0;
        for run_id in &self.run_ids {
            for key in KEYS {
                let path =
                    format!("/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key={key}");
                let response = connection.get(&path)?;
                if response.status != 200 {
                    bail!("the history was answered with {}", response.status);
                }
                kept += count_of(&response.body, b"\"step\"");
            }
        }
        if kept != logged {
            bail!("{} answered {logged} metrics with 200, but kept {kept}", self.server.name);
        }
        Ok(())
    }
}

/// One connection that sends one kind of request.
pub struct HttpCaller {
    connection: Connection,
    path: String,
    body: Stamped,
    next: u64,
    server: &'static str,
}

impl Caller for HttpCaller {
    fn call(&mut self) -> Result<()> {
        self.body.stamp(self.next);
        self.next += BATCH;
        let response =
            self.connection.post(&self.path, &self.body.text).with_context(|| self.server)?;
        if response.status != 200 {
            bail!(
                "{} answered {} with {}: {}",
                self.server,
                self.path,
                response.status,
                String::from_utf8_lossy(&response.body)
            );
        }
        Ok(())
    }
}

/// A body whose numbers at marked places are written anew for each call: making a thousand metrics
/// into text each time would make the client the slower side.
struct Stamped {
    text: Vec<u8>,
    /// Where ten digits stand, and what is added to the number there.
    places: Vec<(usize, u64)>,
}

/// Ten characters that stand for a number in a body.
const MARK: &str = "##########";
/// The smallest number written: all have ten digits.
const FIRST: u64 = 1_000_000_000;

impl Stamped {
    fn new(text: String) -> Self {
        let mut places = Vec::new();
        let mut offsets = (0..).map(|at| at / 2);
        let mut from = 0;
        // Each metric has a time and a step, which grow together.
        while let Some(at) = text[from..].find(MARK) {
            places.push((from + at, offsets.next().unwrap_or_default()));
            from += at + MARK.len();
        }
        Self { text: text.into_bytes(), places }
    }

    /// Writes `number` and those after it.
    fn stamp(&mut self, number: u64) {
        for (at, offset) in &self.places {
            let mut rest = FIRST + number + offset;
            for digit in self.text[*at..at + MARK.len()].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }
}

fn metric_body(number: u64) -> String {
    format!(
        r#"{{"key":"{}","value":{:.6},"timestamp":176{MARK},"step":{MARK}}}"#,
        KEYS[number as usize % KEYS.len()],
        value(number)
    )
}

fn log_metric_body(run_id: &str) -> String {
    format!(r#"{{"run_id":"{run_id}",{}"#, &metric_body(0)[1..])
}

fn log_batch_body(run_id: &str) -> String {
    let metrics: Vec<String> = (0..BATCH).map(metric_body).collect();
    format!(r#"{{"run_id":"{run_id}","metrics":[{}]}}"#, metrics.join(","))
}

fn create_run_body(experiment_id: &str) -> String {
    json!({
        "experiment_id": experiment_id,
        "user_id": "bench",
        "run_name": "bench",
        "start_time": 1_760_000_000_000_i64,
        "tags": [
            {"key": "mlflow.user", "value": "bench"},
            {"key": "mlflow.source.name", "value": "train.py"},
            {"key": "mlflow.source.type", "value": "LOCAL"},
            {"key": "mlflow.runName", "value": "bench"},
        ],
    })
    .to_string()
}

/// A falling curve with some noise; only its shape as text matters.
pub fn value(number: u64) -> f64 {
    1.0 / (1.0 + number as f64 / 1000.0) + (number % 17) as f64 / 1e4
}

fn unique() -> u128 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

fn count_of(text: &[u8], word: &[u8]) -> u64 {
    text.windows(word.len()).filter(|window| *window == word).count() as u64
}

/// The JSON of a 200 answer; any other is an error.
pub fn answer(response: &Response) -> Result<Value> {
    let text = String::from_utf8_lossy(&response.body);
    if response.status != 200 {
        bail!("the server answered {}: {text}", response.status);
    }
    serde_json::from_str(&text).with_context(|| format!("`{text}` is no JSON"))
}

/// A text in an answer.
pub fn text_at(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.with_context(|| format!("no {pointer} in {value}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_with_as_many_metrics_as_are_counted() {
        let mut body = Stamped::new(log_batch_body("r"));
        body.stamp(2000);
        let batch: Value = serde_json::from_slice(&body.text).expect("JSON");
        let metrics = batch["metrics"].as_array().expect("an array");
        assert_eq!(metrics.len() as u64, Workload::LogBatch.units_per_call());
        for (at, metric) in metrics.iter().enumerate() {
            assert_eq!(metric["step"], FIRST + 2000 + at as u64);
            assert_eq!(metric["timestamp"], 1_761_000_002_000_u64 + at as u64);
        }
        assert!(KEYS.iter().all(|key| metrics.iter().any(|metric| metric["key"] == *key)));

        let mut single = Stamped::new(log_metric_body("r"));
        single.stamp(7);
        let single: Value = serde_json::from_slice(&single.text).expect("JSON");
        assert!(KEYS.contains(&single["key"].as_str().expect("text")));
        assert_eq!((&single["run_id"], &single["step"]), (&json!("r"), &json!(FIRST + 7)));
    }

    #[test]
    fn slices_add_up_to_one_rate() {
        let slice = |calls, secs| Measured {
            calls,
            time: Duration::from_secs(secs),
            latencies_us: vec![secs as u32; calls as usize],
        };
        let both = slice(100, 1).and(slice(200, 2));
        assert!((both.rate() - 100.0).abs() < 1e-9);
        assert!((both.median_us() - 2.0).abs() < 1e-9);
        assert!(Measured::default().rate().abs() < 1e-9);
    }
}
