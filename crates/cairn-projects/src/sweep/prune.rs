//! The median rule, after Optuna's `MedianPruner`.

use super::{Direction, Prune};

/// A metric by step: ordered by step, then time.
pub type Series = Vec<(i64, f64)>;

/// Why a trial should be stopped: the median rule, in words; `None` when it may go on.
///
/// `running` is the trial's metric so far, `others` are those of trials that ended by themselves. The
/// best value up to the trial's latest step is compared with the median of what the others had
/// reached at that step.
pub fn median_says_stop(
    prune: Prune,
    direction: Direction,
    running: &Series,
    others: &[Series],
) -> Option<String> {
    let (step, _) = *running.last()?;
    if step < prune.warmup_steps {
        return None;
    }
    let mut reached: Vec<f64> = others
        .iter()
        .filter(|series| series.last().is_some_and(|(last, _)| *last >= step))
        .filter_map(|series| best_until(direction, series, step))
        .filter(|value| !value.is_nan())
        .collect();
    if reached.len() < prune.startup_trials.max(1) {
        return None;
    }
    reached.sort_by(f64::total_cmp);
    let middle = reached.len() / 2;
    let median = if reached.len() % 2 == 1 {
        reached[middle]
    } else {
        f64::midpoint(reached[middle - 1], reached[middle])
    };
    let own = best_until(direction, running, step)?;
    direction.is_better(median, own).then(|| {
        format!("At step {step} it had reached {own}, the median of the others was {median}")
    })
}

fn best_until(direction: Direction, series: &Series, step: i64) -> Option<f64> {
    series
        .iter()
        .filter(|(at, _)| *at <= step)
        .map(|(_, value)| *value)
        .reduce(|best, value| if direction.is_better(value, best) { value } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        values.iter().enumerate().map(|(step, value)| (step as i64, *value)).collect()
    }

    #[test]
    fn a_trial_below_the_median_is_stopped() {
        let others: Vec<Series> =
            [0.2, 0.4, 0.6, 0.8].iter().map(|last| series(&[0.1, *last, *last])).collect();
        let prune = Prune { warmup_steps: 1, startup_trials: 4 };
        let check = |values: &[f64], direction, expected| {
            let stops = median_says_stop(prune, direction, &series(values), &others).is_some();
            assert_eq!(stops, expected, "{values:?} {direction:?}");
        };
        check(&[0.1, 0.45], Direction::Maximize, true);
        check(&[0.1, 0.55], Direction::Maximize, false);
        // Steps before the warm-up, and steps that too few have reached.
        check(&[0.0], Direction::Maximize, false);
        check(&[0.0, 0.0, 0.0, 0.0], Direction::Maximize, false);
        // What counts is the best so far, not the last.
        check(&[0.7, 0.1], Direction::Maximize, false);
        check(&[0.9, 0.9], Direction::Minimize, true);
        check(&[0.9, 0.05], Direction::Minimize, false);
        check(&[f64::NAN, f64::NAN], Direction::Maximize, true);
        check(&[], Direction::Maximize, false);
        assert!(
            median_says_stop(prune, Direction::Maximize, &series(&[0.0, 0.0]), &others[1..])
                .is_none()
        );
    }
}
