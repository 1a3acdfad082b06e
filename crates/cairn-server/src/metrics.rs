//! `/mlflow/metrics/…`

use std::ops::RangeInclusive;

use cairn_core::{Invalid, MetricPoint, RunId};
use cairn_store::ReadTx;

use crate::{
    call::{Answer, Call, json},
    error::ApiError,
    history, page,
    search::{max_results, page_size},
    wire::{MetricMessage, One},
};

/// The most runs of one request for several histories.
const MAX_RUNS: usize = 100;
/// The most values of `get-history-bulk`, over all runs.
const MAX_BULK: i64 = 25_000;
/// The most values of `get-history-bulk-interval`, for each run.
const MAX_INTERVAL: i64 = 2_500;

pub(crate) async fn get_history(call: Call) -> Answer {
    let fields = call.fields()?;
    let id = fields.run_id()?;
    let key = fields.required_text("metric_key")?.to_owned();
    let limit = match fields.int("max_results")? {
        None => None,
        Some(_) => Some(max_results(&fields, 1, i64::from(i32::MAX))?),
    };
    let offset = page::offset(fields.text("page_token")?)?;
    drop(fields);
    history::answer(call.store, id, key, limit.unwrap_or(usize::MAX), offset).await
}

/// The histories of one metric in several runs, one after the other.
pub(crate) async fn get_history_bulk(call: Call) -> Answer {
    let fields = call.fields()?;
    let ids = run_ids(&fields.texts("run_id")?, "run_id")?;
    let key = fields.required_text("metric_key")?.to_owned();
    let limit = max_results(&fields, MAX_BULK, MAX_BULK)?;
    drop(fields);
    let found = call
        .store
        .read(move |tx| {
            let mut found = Vec::new();
            let mut left = limit;
            for id in ids {
                let history = tx.metric_history(&id, &key, Some(left), 0)?.items;
                left -= history.len();
                found.push((id, history));
                if left == 0 {
                    break;
                }
            }
            Ok(found)
        })
        .await?;
    answer_mixed(&found)
}

/// The histories of one metric in several runs, each thinned evenly, by step.
pub(crate) async fn get_history_bulk_interval(call: Call) -> Answer {
    let fields = call.fields()?;
    let interval = Interval::new(
        &fields.texts("run_ids")?,
        fields.required_text("metric_key")?,
        (fields.int("start_step")?, fields.int("end_step")?),
        fields.int("max_results")?,
    )?;
    drop(fields);
    let found = call.store.read(move |tx| sampled(tx, &interval)).await?;
    answer_mixed(&found)
}

/// Which values of a metric are asked for, in which runs.
#[derive(Debug)]
pub(crate) struct Interval {
    runs: Vec<RunId>,
    key: String,
    steps: RangeInclusive<i64>,
    /// The most values of each run.
    limit: usize,
}

impl Interval {
    /// Checks a request: one run at least, both steps or neither, the most values of each run.
    pub(crate) fn new(
        runs: &[&str],
        key: &str,
        steps: (Option<i64>, Option<i64>),
        limit: Option<i64>,
    ) -> Result<Self, ApiError> {
        let steps = match steps {
            (None, None) => i64::MIN..=i64::MAX,
            (Some(start), Some(end)) if start <= end => start..=end,
            (Some(start), Some(end)) => {
                return Err(ApiError::invalid(format!(
                    "end_step must be greater than start_step. Found start_step={start} and \
                     end_step={end}."
                )));
            }
            _ => {
                return Err(ApiError::invalid(
                    "If either start step or end step are specified, both must be specified.",
                ));
            }
        };
        Ok(Self {
            runs: run_ids(runs, "run_ids")?,
            key: key.to_owned(),
            steps,
            limit: page_size(limit, MAX_INTERVAL, MAX_INTERVAL)?,
        })
    }
}

/// The values of each run in an interval, thinned evenly, by step.
pub(crate) fn sampled(
    tx: &ReadTx<'_>,
    interval: &Interval,
) -> cairn_store::Result<Vec<(RunId, Vec<MetricPoint>)>> {
    interval
        .runs
        .iter()
        .map(|id| {
            let mut history = tx.metric_history(id, &interval.key, None, 0)?.items;
            history.retain(|point| interval.steps.contains(&point.step));
            history.sort_by_key(|point| (point.step, point.timestamp));
            Ok((id.clone(), thin(history, interval.limit)))
        })
        .collect()
}

fn run_ids(ids: &[&str], name: &str) -> Result<Vec<RunId>, ApiError> {
    if ids.is_empty() {
        return Err(Invalid::missing(name).into());
    }
    if ids.len() > MAX_RUNS {
        return Err(ApiError::invalid(format!(
            "At most {MAX_RUNS} runs can be asked for in one request. Got {}.",
            ids.len()
        )));
    }
    ids.iter().map(|text| Ok(text.parse()?)).collect()
}

/// Keeps at most `limit` rows at even distances, the first and the last always.
fn thin(history: Vec<MetricPoint>, limit: usize) -> Vec<MetricPoint> {
    let (count, last) = (history.len(), history.len().saturating_sub(1));
    if count <= limit {
        return history;
    }
    let is_kept = |index: usize| {
        // The row that the n-th of `limit` places falls on.
        let nth = (index * (limit - 1)).div_ceil(last);
        limit == 1 && index == last || limit > 1 && nth * last / (limit - 1) == index
    };
    history.into_iter().enumerate().filter(|(index, _)| is_kept(*index)).map(|(_, p)| p).collect()
}

fn answer_mixed(found: &[(RunId, Vec<MetricPoint>)]) -> Answer {
    let messages: Vec<_> = found
        .iter()
        .flat_map(|(id, history)| {
            history.iter().map(|point| MetricMessage {
                run_id: Some(id.as_str()),
                ..MetricMessage::from(point)
            })
        })
        .collect();
    json(&One("metrics", messages))
}

#[cfg(test)]
mod tests {
    use cairn_core::MetricValue;

    use super::*;

    #[test]
    fn thinning_keeps_both_ends_and_the_number() {
        let history = |count: i64| -> Vec<MetricPoint> {
            (0..count)
                .map(|step| MetricPoint {
                    key: "m".into(),
                    value: MetricValue(0.0),
                    timestamp: 0,
                    step,
                })
                .collect()
        };
        for (count, limit) in [(10, 3), (1000, 7), (11, 10), (5, 5), (2, 2), (9, 1)] {
            let kept: Vec<i64> =
                thin(history(count), limit).iter().map(|point| point.step).collect();
            assert_eq!(kept.len(), limit, "{count} {limit}: {kept:?}");
            assert_eq!(kept.last(), Some(&(count - 1)));
            assert!(limit == 1 || kept[0] == 0);
            assert!(kept.is_sorted());
        }
    }
}
