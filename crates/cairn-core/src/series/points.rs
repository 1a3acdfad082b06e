//! Points of one metric, and their places on an x axis.

/// The points of one metric of one run: by step, then time, then arrival.
///
/// The three belong together by position and have the same length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Points<'a> {
    /// Steps, ascending; may be negative, and the same more than once.
    pub steps: &'a [i64],
    /// Milliseconds since 1970.
    pub times: &'a [i64],
    /// Values; NaN and the infinities among them.
    pub values: &'a [f64],
}

/// What stands along the x axis.
#[derive(Debug, Clone, Copy)]
pub enum XAxis<'a> {
    /// The step.
    Step,
    /// The time of logging, milliseconds since 1970.
    WallTime,
    /// Seconds since the run began.
    Relative {
        /// When it began, milliseconds since 1970. Unknown, or later than the first point: the points
        /// count from the first one.
        start: Option<i64>,
    },
    /// Another series of the same run, joined by step: a point stands where that series has a finite
    /// value at its step (the last one of the step), and nowhere if it has none.
    Other(Points<'a>),
}

/// Points with places on an x axis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Placed {
    /// Places: finite, ascending.
    pub x: Vec<f64>,
    /// Values, one for each place.
    pub y: Vec<f64>,
    /// Points that have no place: the other series has no finite value at their step.
    pub without_place: usize,
}

/// Puts points on an x axis.
///
/// They come in the order of x; where that is not the order of steps (clocks that went back, another
/// metric that falls) they are sorted, points at the same place in the order of steps.
pub fn place(points: Points<'_>, axis: XAxis<'_>) -> Placed {
    let Points { steps, times, values } = points;
    let mut placed = match axis {
        XAxis::Step => Placed {
            x: steps.iter().map(|step| *step as f64).collect(),
            y: values.to_vec(),
            without_place: 0,
        },
        XAxis::WallTime => Placed {
            x: times.iter().map(|time| *time as f64).collect(),
            y: values.to_vec(),
            without_place: 0,
        },
        XAxis::Relative { start } => {
            let first = times.iter().copied().min().unwrap_or_default();
            let zero = start.filter(|start| (1..=first).contains(start)).unwrap_or(first);
            Placed {
                // The difference as an integer: doubles of milliseconds would lose nothing here, but
                // times at the edge of i64 would.
                x: times.iter().map(|time| time.saturating_sub(zero) as f64 / 1_000.0).collect(),
                y: values.to_vec(),
                without_place: 0,
            }
        }
        XAxis::Other(other) => join_places(points, other),
    };
    sort_by_place(&mut placed);
    placed
}

fn join_places(points: Points<'_>, other: Points<'_>) -> Placed {
    let mut placed = Placed::default();
    let mut at = 0;
    for (step, value) in points.steps.iter().zip(points.values) {
        // The last point of the other series that is not beyond this step.
        while other.steps.get(at + 1).is_some_and(|next| next <= step) {
            at += 1;
        }
        let found = other.steps.get(at).filter(|other| *other == step).map(|_| other.values[at]);
        match found.filter(|x| x.is_finite()) {
            Some(x) => {
                placed.x.push(x);
                placed.y.push(*value);
            }
            None => placed.without_place += 1,
        }
    }
    placed
}

fn sort_by_place(placed: &mut Placed) {
    if placed.x.is_sorted() {
        return;
    }
    let mut order: Vec<usize> = (0..placed.x.len()).collect();
    order.sort_by(|a, b| placed.x[*a].total_cmp(&placed.x[*b]));
    placed.x = order.iter().map(|at| placed.x[*at]).collect();
    placed.y = order.iter().map(|at| placed.y[*at]).collect();
}

/// Whether a smaller value of a metric is the better one, as far as its name tells: it has a word
/// like *loss*, *error*, *mse* or *latency*. Anything else is better when larger.
pub fn is_lower_better(metric: &str) -> bool {
    const WORDS: [&str; 34] = [
        "loss",
        "losses",
        "error",
        "errors",
        "err",
        "mse",
        "rmse",
        "mae",
        "mape",
        "smape",
        "msle",
        "rmsle",
        "mdae",
        "perplexity",
        "ppl",
        "nll",
        "logloss",
        "crossentropy",
        "bpc",
        "wer",
        "cer",
        "ter",
        "fid",
        "kid",
        "brier",
        "ece",
        "eer",
        "regret",
        "latency",
        "duration",
        "time",
        "cost",
        "divergence",
        "kl",
    ];
    // A metric of several words, whichever way they are joined: `val_loss`, `eval/loss`, `valLoss`.
    let mut word = String::new();
    let mut was_lower = false;
    for letter in metric.chars().chain(['/']) {
        let begins = letter.is_uppercase() && was_lower;
        if begins || !letter.is_alphabetic() {
            if WORDS.contains(&word.as_str()) {
                return true;
            }
            word.clear();
        }
        word.extend(letter.to_lowercase().filter(|letter| letter.is_alphabetic()));
        was_lower = letter.is_lowercase();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [i64; 4] = [0, 10, 10, 20];
    const TIMES: [i64; 4] = [5_000, 6_000, 6_500, 5_500];

    fn points(values: &[f64]) -> Points<'_> {
        Points { steps: &STEPS, times: &TIMES, values }
    }

    #[test]
    fn steps_and_times_are_places() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let placed = place(points(&values), XAxis::Step);
        assert_eq!((placed.x, placed.y), (vec![0.0, 10.0, 10.0, 20.0], values.to_vec()));
        // A clock that went back: sorted by time.
        let placed = place(points(&values), XAxis::WallTime);
        assert_eq!(placed.x, [5_000.0, 5_500.0, 6_000.0, 6_500.0]);
        assert_eq!(placed.y, [1.0, 4.0, 2.0, 3.0]);
    }

    #[test]
    fn relative_time_counts_from_the_run_or_from_its_first_point() {
        let values = [1.0; 4];
        let check = |start, expected: [f64; 4]| {
            assert_eq!(place(points(&values), XAxis::Relative { start }).x, expected, "{start:?}");
        };
        check(Some(4_000), [1.0, 1.5, 2.0, 2.5]);
        for unusable in [None, Some(0), Some(-7), Some(5_001)] {
            check(unusable, [0.0, 0.5, 1.0, 1.5]);
        }
    }

    #[test]
    fn another_metric_places_points_by_its_last_value_of_their_step() {
        let epoch = Points {
            steps: &[-5, 10, 10, 15, 20],
            times: &[0; 5],
            values: &[9.0, 2.0, 1.0, 7.0, f64::NAN],
        };
        let placed = place(points(&[1.0, 2.0, 3.0, 4.0]), XAxis::Other(epoch));
        assert_eq!((placed.x, placed.y), (vec![1.0, 1.0], vec![2.0, 3.0]));
        assert_eq!(placed.without_place, 2);
        let none = place(points(&[1.0; 4]), XAxis::Other(Points::default()));
        assert_eq!((none.x.len(), none.without_place), (0, 4));
    }

    #[test]
    fn places_are_sorted_whatever_the_other_metric_does() {
        let falling = Points { steps: &[0, 10, 20], times: &[0; 3], values: &[3.0, 2.0, -1.0] };
        let placed = place(points(&[1.0, 2.0, 3.0, 4.0]), XAxis::Other(falling));
        assert_eq!((placed.x, placed.y), (vec![-1.0, 2.0, 2.0, 3.0], vec![4.0, 2.0, 3.0, 1.0]));
    }

    #[test]
    fn names_tell_which_way_is_better() {
        for lower in
            ["loss", "val_loss", "eval/Loss", "valLoss", "RMSE", "test.wer", "mse-2", "nll"]
        {
            assert!(is_lower_better(lower), "{lower}");
        }
        for higher in ["accuracy", "auc", "f1", "glossary", "blossom", "lossless", "reward", ""] {
            assert!(!is_lower_better(higher), "{higher}");
        }
    }
}
