//! Live events: the store's change feed, gathered to at most ten messages a second.

use std::time::Duration;

use cairn_store::{ChangeSet, Store};
use tokio::{sync::broadcast::error::RecvError, time};

use crate::{
    app::App,
    dto::{LiveEvent, RunChange},
};

/// The least time between two messages.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the status line is looked at when nothing happens (free disk space).
const STATUS: Duration = Duration::from_secs(10);
/// More changed runs than this are not listed one by one.
const LISTED_RUNS: usize = 200;

/// Tells windows of a store's changes until the store is no longer the open one.
pub(crate) fn follow(app: &App, store: &Store) {
    let app = app.clone();
    let mut feed = store.subscribe();
    let mut generation = app.inner.generation.subscribe();
    let store = store.clone();
    tokio::spawn(async move {
        let mut last_status = None;
        loop {
            let mut changes = ChangeSet::default();
            let received = tokio::select! {
                received = time::timeout(STATUS, feed.recv()) => received,
                _ = generation.changed() => break,
            };
            match received {
                Ok(Ok(first)) => {
                    changes.merge(&first);
                    time::sleep(PAUSE).await;
                    loop {
                        match feed.try_recv() {
                            Ok(next) => changes.merge(&next),
                            Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) => {
                                changes.everything = true;
                            }
                            Err(_) => break,
                        }
                    }
                }
                Ok(Err(RecvError::Lagged(_))) => changes.everything = true,
                Ok(Err(RecvError::Closed)) => break,
                Err(_) => {}
            }
            let counts_may_differ = changes.is_empty()
                || changes.everything
                || changes.runs.values().any(|(_, facets)| facets.listed || facets.info);
            if !changes.is_empty() {
                app.tell(event_of(&changes));
            }
            if counts_may_differ
                && let Ok(status) = app.status_of(&store).await
                && last_status.as_ref() != Some(&status)
            {
                app.tell(LiveEvent::Store { status: Some(status.clone()) });
                last_status = Some(status);
            }
        }
    });
}

fn event_of(changes: &ChangeSet) -> LiveEvent {
    let everything = changes.everything || changes.runs.len() > LISTED_RUNS;
    let mut runs_in: Vec<String> =
        changes.runs.values().map(|(experiment, _)| experiment.to_string()).collect();
    runs_in.sort();
    runs_in.dedup();
    let listed_changed = changes.runs.values().any(|(_, facets)| facets.listed || facets.info);
    LiveEvent::Changed {
        // Counts of runs stand in the list of experiments.
        experiments: changes.experiments || listed_changed || everything,
        runs_in,
        runs: if everything {
            Vec::new()
        } else {
            changes
                .runs
                .iter()
                .map(|(run, (_, facets))| RunChange {
                    run_id: run.to_string(),
                    facts: facets.listed
                        || facets.info
                        || facets.params
                        || facets.tags
                        || facets.inputs,
                    metrics: facets.metrics,
                    artifacts: facets.artifacts,
                })
                .collect()
        },
        models: changes.registry || !changes.logged_models.is_empty() || everything,
        everything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::{ExperimentId, RunId};
    use cairn_store::{Change, RunFacets};

    #[test]
    fn a_metric_disturbs_neither_the_experiments_nor_the_facts() {
        let mut changes = ChangeSet::default();
        let run = RunId::from_random([1; 16]);
        changes.add(Change::Run(ExperimentId(3), run.clone(), RunFacets::METRICS));
        let LiveEvent::Changed { experiments, runs_in, runs, models, everything } =
            event_of(&changes)
        else {
            panic!("another event")
        };
        assert!(!experiments && !models && !everything);
        assert_eq!(runs_in, ["3"]);
        assert_eq!(
            runs,
            [RunChange { run_id: run.to_string(), facts: false, metrics: true, artifacts: false }]
        );
    }

    #[test]
    fn very_many_runs_are_not_listed_one_by_one() {
        let mut changes = ChangeSet::default();
        for byte in 0..=255 {
            let run = RunId::from_random([byte; 16]);
            changes.add(Change::Run(ExperimentId(1), run, RunFacets::METRICS));
        }
        let LiveEvent::Changed { runs, everything, .. } = event_of(&changes) else {
            panic!("another event")
        };
        assert!(everything && runs.is_empty());
    }
}
