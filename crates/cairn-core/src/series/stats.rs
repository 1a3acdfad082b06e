//! Statistics of a range, and where the most of all values lie.

use super::Window;

/// What a stretch of a series comes to. All but the counts look at finite values only.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Statistics {
    /// Finite values.
    pub count: usize,
    /// Values that are NaN or infinite.
    pub not_finite: usize,
    /// The first value; `None` without finite ones, as all that follows.
    pub first: Option<f64>,
    /// The last value.
    pub last: Option<f64>,
    /// The smallest value.
    pub min: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their sample standard deviation; `None` for fewer than two.
    pub std: Option<f64>,
    /// The area between the line and zero, in units of x times units of y, by trapezoids between
    /// neighbours; gaps have none. `None` for fewer than two.
    pub area: Option<f64>,
}

/// The statistics of the points in a window, ends included; `x` is ascending. Linear in the window.
pub fn statistics(x: &[f64], y: &[f64], window: Window) -> Statistics {
    let count = x.len().min(y.len());
    let positions = window.positions(&x[..count]);
    let mut found = Statistics::default();
    let (mut mean, mut squares, mut area) = (0.0_f64, 0.0_f64, 0.0_f64);
    let mut before: Option<(f64, f64)> = None;
    for at in positions {
        let value = y[at];
        if !value.is_finite() {
            found.not_finite += 1;
            before = None;
            continue;
        }
        found.count += 1;
        found.first.get_or_insert(value);
        found.last = Some(value);
        found.min = Some(found.min.map_or(value, |min| min.min(value)));
        found.max = Some(found.max.map_or(value, |max| max.max(value)));
        // Welford's way: the squares of large values that differ little are not subtracted.
        let apart = value - mean;
        mean += apart / found.count as f64;
        squares += apart * (value - mean);
        if let Some((left, height)) = before {
            area += (x[at] - left) * (height / 2.0 + value / 2.0);
        }
        before = Some((x[at], value));
    }
    if found.count > 0 {
        found.mean = Some(mean);
    }
    if found.count > 1 {
        found.std = Some((squares / (found.count - 1) as f64).sqrt());
        found.area = Some(area);
    }
    found
}

/// Values that are looked at for the bounds of outliers at most.
const MOST_SAMPLES: usize = 200_000;

/// Where an axis may end so that the most of the values have room: from the 2nd to the 98th percentile
/// of the finite values of all lines together, with a twentieth of that distance on both sides, but not
/// beyond the values themselves.
///
/// Of very many values every so-manieth one is looked at. `None` without finite values.
pub fn outlier_bounds(lines: &[&[f64]]) -> Option<(f64, f64)> {
    let total: usize = lines.iter().map(|line| line.len()).sum();
    let stride = total.div_ceil(MOST_SAMPLES).max(1);
    let mut samples: Vec<f64> = lines
        .iter()
        .flat_map(|line| line.iter().step_by(stride))
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    samples.sort_unstable_by(f64::total_cmp);
    let (least, most) = (*samples.first()?, *samples.last()?);
    let (low, high) = (quantile(&samples, 0.02)?, quantile(&samples, 0.98)?);
    let room = (high - low) * 0.05;
    Some(((low - room).max(least), (high + room).min(most)))
}

/// The value below which a part of the values lies, straight between the two nearest; `sorted` is
/// ascending, and `None` if it is empty. `part` is 0 to 1.
///
/// Source: NumPy's and Excel's inclusive percentile.
pub fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = part.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let share = place - place.floor();
    let above = sorted[(below + 1).min(last)];
    // Not by the difference, which may overflow.
    Some(sorted[below] * (1.0 - share) + above * share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(from: f64, to: f64) -> Window {
        Window { from, to, is_log: false }
    }

    #[test]
    fn a_range_has_its_statistics() {
        let x = [0.0, 1.0, 2.0, 4.0, 5.0, 6.0];
        let y = [9.0, 1.0, 3.0, 5.0, f64::NAN, 7.0];
        let found = statistics(&x, &y, window(1.0, 6.0));
        assert_eq!((found.count, found.not_finite), (4, 1));
        assert_eq!((found.first, found.last), (Some(1.0), Some(7.0)));
        assert_eq!((found.min, found.max, found.mean), (Some(1.0), Some(7.0), Some(4.0)));
        assert!((found.std.unwrap() - (20.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        // Nothing over the gap.
        assert_eq!(found.area, Some(2.0 + 8.0));
    }

    #[test]
    fn few_values_have_few_statistics() {
        let none = statistics(&[1.0], &[f64::INFINITY], window(0.0, 2.0));
        assert_eq!(none, Statistics { not_finite: 1, ..Statistics::default() });
        let one = statistics(&[1.0, 9.0], &[5.0, 6.0], window(0.0, 2.0));
        assert_eq!((one.count, one.mean, one.std, one.area), (1, Some(5.0), None, None));
    }

    #[test]
    fn large_values_that_differ_little_keep_their_deviation() {
        let x: Vec<f64> = (0..1_000).map(f64::from).collect();
        let y: Vec<f64> = (0..1_000).map(|at| 1e9 + f64::from(at % 2)).collect();
        let std = statistics(&x, &y, window(0.0, 1e9)).std.unwrap();
        assert!((std - 0.500_25).abs() < 1e-4, "{std}");
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let check = |part, expected: f64| {
            let found = quantile(&[1.0, 2.0, 4.0, 8.0], part).unwrap();
            assert!((found - expected).abs() < 1e-12, "{part}: {found}");
        };
        check(0.0, 1.0);
        check(0.5, 3.0);
        check(0.75, 5.0);
        check(1.0, 8.0);
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[f64::MIN, f64::MAX], 0.5), Some(0.0));
    }

    #[test]
    fn outliers_have_no_say_and_others_do() {
        let mut values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(outlier_bounds(&[&values]), Some((0.0, 100.0)));
        values.extend([1e9, f64::NAN, f64::INFINITY]);
        let (low, high) = outlier_bounds(&[&values, &[-1e9]]).unwrap();
        assert!(low > -5.0 && low < 2.0 && high > 98.0 && high < 110.0, "{low} {high}");
        assert_eq!(outlier_bounds(&[&[f64::NAN], &[]]), None);
        assert_eq!(outlier_bounds(&[&[3.0]]), Some((3.0, 3.0)));
    }

    proptest! {
        #[test]
        fn bounds_hold_most_values(values in prop::collection::vec(-1e3..1e3_f64, 1..500)) {
            let (low, high) = outlier_bounds(&[&values]).unwrap();
            let inside = values.iter().filter(|value| (low..=high).contains(value)).count();
            prop_assert!(inside as f64 >= 0.95 * values.len() as f64 - 2.0);
            prop_assert!(low <= high);
        }
    }
}
