//! The clock steps: nothing is lost or refused, and what is newest stays newest.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use cairn_core::{ExperimentId, MetricPoint, MetricValue, RunStatus, UnixMillis};
use cairn_store::{
    OpenOptions, Store,
    experiments::Tag,
    metrics::NewMetric,
    registry::{NewModelVersion, NewRegisteredModel},
    runs::{NewRun, RunUpdate},
};

const HOUR_MS: i64 = 60 * 60 * 1_000;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
const START: i64 = 1_763_747_103_042;

#[test]
fn a_clock_that_steps_back_two_hours_or_ahead_ten_years_harms_nothing() {
    for step in [-2 * HOUR_MS, 10 * YEAR_MS, HOUR_MS - START] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(START));
        let told = clock.clone();
        let options = OpenOptions::Create;
        let store = Store::open_with_clock(dir.path(), options, move || {
            UnixMillis(told.fetch_add(1, Ordering::Relaxed))
        })
        .unwrap();
        let run = store
            .write_blocking(|tx| {
                tx.create_registered_model(&NewRegisteredModel {
                    name: "m".into(),
                    ..NewRegisteredModel::default()
                })?;
                let now = tx.now().0;
                tx.create_run(&new_run(now))
            })
            .unwrap();
        let id = run.info.run_id;
        let log = |step: i64, value: f64| {
            let id = id.clone();
            store
                .write_blocking(move |tx| {
                    let timestamp = tx.now().0;
                    tx.log_metric(&id, &metric(value, timestamp, step))
                })
                .unwrap();
        };
        let version = || {
            store
                .write_blocking(|tx| {
                    tx.create_model_version(&NewModelVersion {
                        name: "m".into(),
                        source: "s3://bucket/m".into(),
                        ..NewModelVersion::default()
                    })
                })
                .unwrap()
                .version
        };
        log(1, 0.5);
        assert_eq!(version(), 1);

        clock.fetch_add(step, Ordering::Relaxed);

        // The later step is the latest value, whatever the clock says of it.
        log(2, 0.7);
        assert_eq!(version(), 2, "numbers do not come from the clock");
        let end = id.clone();
        let info = store
            .write_blocking(move |tx| {
                let end_time = Some(tx.now().0);
                let status = Some(RunStatus::Finished);
                tx.update_run(&end, &RunUpdate { status, end_time, run_name: None })
            })
            .unwrap();
        assert_eq!(info.status, RunStatus::Finished);
        let read = store.read_blocking(|tx| tx.run(&id)).unwrap();
        assert_eq!(read.metrics.len(), 1);
        assert_eq!((read.metrics[0].step, read.metrics[0].value.0), (2, 0.7), "step {step}");
        let steps: Vec<i64> = store
            .read_blocking(|tx| tx.metric_series(&id, "auc", 0))
            .unwrap()
            .iter()
            .map(|row| row.step)
            .collect();
        assert_eq!(steps, [1, 2], "a chart is ordered by step");
        let latest = store.read_blocking(|tx| tx.model_version_by_alias("m", "latest")).unwrap();
        assert_eq!(latest.version, 2);

        // To the trash and back works at any time of day.
        let again = id.clone();
        store
            .write_blocking(move |tx| {
                tx.delete_run(&again)?;
                tx.restore_run(&again)?;
                tx.set_experiment_tag(
                    ExperimentId(0),
                    &Tag { key: "checked".into(), value: "yes".into() },
                )
            })
            .unwrap();
        drop(store);
        // The file says when things happened by the clock of that moment; it opens all the same.
        Store::open(dir.path(), OpenOptions::Existing).unwrap();
    }
}

/// Equal steps: the later time wins; equal times: the larger value.
#[test]
fn ties_of_a_step_are_broken_by_time_then_value_in_any_order_of_arrival() {
    let points = [(0.9, 10, 1), (0.1, 20, 1), (0.3, 20, 1), (0.2, 5, 1), (f64::NAN, 10, 1)];
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), OpenOptions::Create).unwrap();
        let run = store.write_blocking(|tx| tx.create_run(&new_run(1))).unwrap();
        let mut shuffled = points;
        rng.shuffle(&mut shuffled);
        for (value, timestamp, step) in shuffled {
            let id = run.info.run_id.clone();
            store
                .write_blocking(move |tx| tx.log_metric(&id, &metric(value, timestamp, step)))
                .unwrap();
        }
        let read = store.read_blocking(|tx| tx.run(&run.info.run_id)).unwrap();
        assert_eq!((read.metrics[0].value.0, read.metrics[0].timestamp), (0.3, 20));
    }
}

fn new_run(start_time: i64) -> NewRun {
    NewRun {
        experiment_id: ExperimentId(0),
        user_id: "ada".into(),
        run_name: None,
        start_time,
        tags: Vec::new(),
    }
}

fn metric(value: f64, timestamp: i64, step: i64) -> NewMetric {
    NewMetric {
        point: MetricPoint { key: "auc".into(), value: MetricValue(value), timestamp, step },
        model_id: None,
        dataset_name: None,
        dataset_digest: None,
    }
}
