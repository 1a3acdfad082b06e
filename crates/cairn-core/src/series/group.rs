//! One line with a band of many runs.

use super::Window;

/// One run's line; `x` is ascending and finite.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Places.
    pub x: &'a [f64],
    /// Values, one for each place.
    pub y: &'a [f64],
}

/// Where the line of a group runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Center {
    /// Through the mean of its runs.
    #[default]
    Mean,
    /// Through their median.
    Median,
}

/// What a band around the line of a group holds.
///
/// All but [`Band::MinMax`] need two runs at a place; where there is one there is no band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Band {
    /// There is none.
    #[default]
    None,
    /// From the smallest value to the largest.
    MinMax,
    /// A sample standard deviation on both sides of the line.
    Std,
    /// A standard error on both sides: the deviation by the square root of the number of runs.
    Se,
    /// The 95 % interval of the line itself, by drawing runs again (bootstrap, percentiles of
    /// [`RESAMPLES`] draws). The draws are always the same ones. It is too narrow for few runs.
    Ci95,
}

/// How runs came to have values at the same places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// They were logged at the same places.
    Same,
    /// The places of all runs; a run has a value straight between its own points, and none before its
    /// first and behind its last one or across a gap.
    Interpolated,
    /// The middles of as many equal columns as were asked for: a run has the mean of its points in a
    /// column, and in columns without any what stands straight between its points. The smallest and
    /// largest values of [`Band::MinMax`] are those of the points.
    Columns,
}

/// The line of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouped {
    /// Places, ascending.
    pub x: Vec<f64>,
    /// The line; NaN where no run has a finite value.
    pub center: Vec<f64>,
    /// The lower edge of the band, NaN where there is none; empty for [`Band::None`].
    pub low: Vec<f64>,
    /// The upper edge of the band.
    pub high: Vec<f64>,
    /// Runs that have a finite value at the place.
    pub runs: Vec<u32>,
    /// How the runs came to the same places.
    pub alignment: Alignment,
}

/// Draws for [`Band::Ci95`].
pub const RESAMPLES: usize = 500;

/// Makes one line with a band of the lines of a group, in the window, at `max_columns` places or twice
/// as many.
///
/// What is not finite is left out at its place, and breaks the line of its run.
pub fn group(
    lines: &[Line<'_>],
    window: Window,
    max_columns: usize,
    center: Center,
    band: Band,
) -> Grouped {
    let max_columns = max_columns.max(2);
    let (x, alignment, runs) = align(lines, window, max_columns);
    let mut draws = Draws::default();
    let mut grouped = Grouped {
        center: Vec::with_capacity(x.len()),
        low: Vec::new(),
        high: Vec::new(),
        runs: Vec::with_capacity(x.len()),
        x,
        alignment,
    };
    let mut values = Vec::with_capacity(lines.len());
    for at in 0..grouped.x.len() {
        values.clear();
        let (mut least, mut most) = (f64::NAN, f64::NAN);
        for run in runs.iter().filter(|run| run.y[at].is_finite()) {
            values.push(run.y[at]);
            // NaN gives way to any number here.
            least = least.min(run.low[at]);
            most = most.max(run.high[at]);
        }
        let middle = center.of(&mut values);
        grouped.center.push(middle);
        grouped.runs.push(values.len() as u32);
        let (low, high) = match band {
            Band::None => continue,
            Band::MinMax => (least, most),
            _ if values.len() < 2 => (f64::NAN, f64::NAN),
            Band::Std => around(middle, deviation(&values)),
            Band::Se => around(middle, deviation(&values) / (values.len() as f64).sqrt()),
            Band::Ci95 => draws.interval(&values, center),
        };
        grouped.low.push(low);
        grouped.high.push(high);
    }
    grouped
}

fn around(middle: f64, distance: f64) -> (f64, f64) {
    (middle - distance, middle + distance)
}

impl Center {
    /// The middle of values, which may be put into another order; NaN without any.
    fn of(self, values: &mut [f64]) -> f64 {
        let count = values.len();
        if count == 0 {
            return f64::NAN;
        }
        match self {
            Self::Mean => mean(values.iter().copied(), count, range(values)),
            Self::Median => {
                let (below, upper, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
                if count % 2 == 1 {
                    return *upper;
                }
                let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                lower / 2.0 + *upper / 2.0
            }
        }
    }
}

/// The mean of so many values within a range. Each is divided first, since their sum may overflow; what
/// rounding adds to the largest doubles is taken off again.
fn mean(values: impl Iterator<Item = f64>, count: usize, (low, high): (f64, f64)) -> f64 {
    values.map(|value| value / count as f64).sum::<f64>().clamp(low, high)
}

/// The smallest and the largest of at least one value, none of them NaN.
fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    })
}

/// The sample standard deviation of at least two values.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values.iter().copied(), values.len(), range(values));
    let count = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count - 1.0)).sqrt()
}

/// Which runs are drawn again, by their number: the same for every place, so that a band is as smooth as
/// its runs, and the same in every session.
#[derive(Default)]
struct Draws {
    /// The draws for `runs` runs, one after the other.
    chosen: Vec<u32>,
    runs: usize,
    drawn: Vec<f64>,
    centers: Vec<f64>,
}

impl Draws {
    fn interval(&mut self, values: &[f64], center: Center) -> (f64, f64) {
        if self.runs != values.len() {
            self.runs = values.len();
            self.chosen = choose(values.len());
        }
        let Self { chosen, drawn, centers, .. } = self;
        let range = range(values);
        centers.clear();
        for draw in chosen.chunks_exact(values.len()) {
            let again = draw.iter().map(|at| values[*at as usize]);
            centers.push(match center {
                Center::Mean => mean(again, values.len(), range),
                Center::Median => {
                    drawn.clear();
                    drawn.extend(again);
                    center.of(drawn)
                }
            });
        }
        centers.sort_unstable_by(f64::total_cmp);
        let edge = |part| super::quantile(centers, part).unwrap_or(f64::NAN);
        (edge(0.025), edge(0.975))
    }
}

/// [`RESAMPLES`] draws of so many runs out of as many. Source: the generator SplitMix64.
fn choose(runs: usize) -> Vec<u32> {
    let mut state = runs as u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        ((u128::from(bits) * runs as u128) >> 64) as u32
    })
    .take(runs * RESAMPLES)
    .collect()
}

/// A run's values at the places of the group; NaN where it has none.
struct Aligned {
    y: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Aligned {
    fn exact(y: Vec<f64>) -> Self {
        Self { low: y.clone(), high: y.clone(), y }
    }
}

fn align(
    lines: &[Line<'_>],
    window: Window,
    max_columns: usize,
) -> (Vec<f64>, Alignment, Vec<Aligned>) {
    let most = max_columns.saturating_mul(2);
    let inside: Vec<&[f64]> = lines.iter().map(|line| &line.x[window.positions(line.x)]).collect();
    let is_short = inside.iter().all(|x| x.len() <= most);
    if let Some(first) = inside.first().filter(|_| is_short) {
        if first.is_sorted_by(|a, b| a < b) && inside.iter().all(|x| x == first) {
            let runs = lines
                .iter()
                .map(|line| Aligned::exact(line.y[window.positions(line.x)].to_vec()))
                .collect();
            return (first.to_vec(), Alignment::Same, runs);
        }
        let mut x = inside.concat();
        x.sort_unstable_by(f64::total_cmp);
        x.dedup();
        if x.len() <= most {
            let runs = lines.iter().map(|line| Aligned::exact(interpolate(*line, &x))).collect();
            return (x, Alignment::Interpolated, runs);
        }
    }
    // The columns lie where the group is, not where the window would go on beyond it.
    let from = inside.iter().filter_map(|x| x.first()).copied().reduce(f64::min);
    let to = inside.iter().filter_map(|x| x.last()).copied().reduce(f64::max);
    let Some((from, to)) = from.zip(to) else {
        return (
            Vec::new(),
            Alignment::Same,
            lines.iter().map(|_| Aligned::exact(vec![])).collect(),
        );
    };
    let window = Window { from, to, is_log: window.is_log && from > 0.0 };
    // Without width there is one column.
    let columns = if to > from { max_columns } else { 1 };
    let x: Vec<f64> =
        (0..columns).map(|column| window.place((column as f64 + 0.5) / columns as f64)).collect();
    let runs = lines.iter().map(|line| in_columns(*line, window, &x)).collect();
    (x, Alignment::Columns, runs)
}

/// The values of a line at places, straight between its points: NaN beyond its ends and beside a
/// point that is not finite. Of several points at one place the last one counts.
fn interpolate(line: Line<'_>, places: &[f64]) -> Vec<f64> {
    let mut next = 0;
    places
        .iter()
        .map(|place| {
            while line.x.get(next).is_some_and(|x| x <= place) {
                next += 1;
            }
            let Some(before) = next.checked_sub(1) else { return f64::NAN };
            let (left, value) = (line.x[before], line.y[before]);
            if left >= *place {
                return if value.is_finite() { value } else { f64::NAN };
            }
            let Some(right) = line.x.get(next) else { return f64::NAN };
            let share = (place - left) / (right - left);
            let between = value * (1.0 - share) + line.y[next] * share;
            if between.is_finite() { between } else { f64::NAN }
        })
        .collect()
}

/// The means, smallest and largest values of a line in the columns around these middles; straight
/// between its points where a column has none.
fn in_columns(line: Line<'_>, window: Window, middles: &[f64]) -> Aligned {
    let columns = middles.len();
    let mut run = Aligned::exact(vec![f64::NAN; columns]);
    let mut start = window.positions(line.x).start;
    let end = window.positions(line.x).end;
    // Columns that have points, though perhaps no finite ones: a gap stays a gap.
    let mut has_points = vec![false; columns];
    for (column, has) in has_points.iter_mut().enumerate() {
        let edge = window.place((column + 1) as f64 / columns as f64);
        let is_last = column + 1 == columns;
        let first = start;
        let (mut sum, mut count) = (0.0, 0_u32);
        while start < end && (is_last || line.x[start] < edge) {
            *has = true;
            let value = line.y[start];
            if value.is_finite() {
                count += 1;
                sum += value;
                run.low[column] = run.low[column].min(value);
                run.high[column] = run.high[column].max(value);
            }
            start += 1;
        }
        if count > 0 {
            let middle = sum / f64::from(count);
            run.y[column] = if middle.is_finite() {
                middle
            } else {
                // The sum was too large for a double; the mean is not.
                let finite = line.y[first..start].iter().copied().filter(|value| value.is_finite());
                mean(finite, count as usize, (run.low[column], run.high[column]))
            };
        }
    }
    if has_points.iter().any(|has| !has) {
        let between = interpolate(line, middles);
        for column in (0..columns).filter(|column| !has_points[*column]) {
            run.y[column] = between[column];
            run.low[column] = between[column];
            run.high[column] = between[column];
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAN: f64 = f64::NAN;
    const ALL: Window = Window { from: -1e9, to: 1e9, is_log: false };

    fn shown(values: &[f64]) -> String {
        let rounded: Vec<f64> = values.iter().map(|value| (value * 1e9).round() / 1e9).collect();
        format!("{rounded:?}")
    }

    /// Groups runs of (x, y) at 8 columns.
    fn grouped(runs: &[(&[f64], &[f64])], center: Center, band: Band) -> Grouped {
        let lines: Vec<Line<'_>> = runs.iter().map(|(x, y)| Line { x, y }).collect();
        group(&lines, ALL, 8, center, band)
    }

    fn check(y: &[&[f64]], center: Center, band: Band, expected: (&[f64], &[f64], &[f64])) {
        let x = [0.0, 1.0, 2.0];
        let runs: Vec<(&[f64], &[f64])> = y.iter().map(|y| (&x[..], *y)).collect();
        let found = grouped(&runs, center, band);
        assert_eq!(found.alignment, Alignment::Same);
        assert_eq!(shown(&found.center), shown(expected.0));
        assert_eq!((shown(&found.low), shown(&found.high)), (shown(expected.1), shown(expected.2)));
    }

    #[test]
    fn centers_and_bands_are_those_of_a_calculation_by_hand() {
        let runs: [&[f64]; 3] = [&[1.0, 2.0, NAN], &[3.0, NAN, NAN], &[8.0, 4.0, f64::INFINITY]];
        let (mean, median) = ([4.0, 3.0, NAN], [3.0, 3.0, NAN]);
        check(&runs, Center::Mean, Band::None, (&mean, &[], &[]));
        check(&runs, Center::Median, Band::MinMax, (&median, &[1.0, 2.0, NAN], &[8.0, 4.0, NAN]));
        let std = [13.0_f64.sqrt(), 2.0_f64.sqrt()];
        let edges = |sign: f64, parts: [f64; 2]| {
            [4.0 + sign * std[0] * parts[0], 3.0 + sign * std[1] * parts[1], NAN]
        };
        let whole = [1.0, 1.0];
        check(&runs, Center::Mean, Band::Std, (&mean, &edges(-1.0, whole), &edges(1.0, whole)));
        let roots = [1.0 / 3.0_f64.sqrt(), 1.0 / 2.0_f64.sqrt()];
        check(&runs, Center::Mean, Band::Se, (&mean, &edges(-1.0, roots), &edges(1.0, roots)));
    }

    #[test]
    fn one_run_is_its_own_center_without_deviation() {
        let one: [&[f64]; 1] = [&[1.0, 2.0, 3.0]];
        check(&one, Center::Mean, Band::Std, (&[1.0, 2.0, 3.0], &[NAN; 3], &[NAN; 3]));
        check(&one, Center::Mean, Band::Ci95, (&[1.0, 2.0, 3.0], &[NAN; 3], &[NAN; 3]));
        check(&one, Center::Mean, Band::MinMax, (&[1.0, 2.0, 3.0], one[0], one[0]));
    }

    #[test]
    fn the_interval_is_near_that_of_theory_and_always_the_same() {
        // Normal values by quantiles; the standard error of their mean is about 0.1.
        let runs: Vec<Vec<f64>> = (0..100)
            .map(|at| {
                let part = (f64::from(at) + 0.5) / 100.0;
                vec![(part / (1.0 - part)).ln() / 1.702]
            })
            .collect();
        let lines: Vec<(&[f64], &[f64])> = runs.iter().map(|y| (&[0.0][..], &y[..])).collect();
        let found = grouped(&lines, Center::Mean, Band::Ci95);
        assert!((found.low[0] + 0.2).abs() < 0.04, "{found:?}");
        assert!((found.high[0] - 0.2).abs() < 0.04, "{found:?}");
        assert_eq!(found, grouped(&lines, Center::Mean, Band::Ci95));
        let median = grouped(&lines, Center::Median, Band::Ci95);
        assert!(median.low[0] < -0.1 && median.high[0] > 0.1, "{median:?}");
    }

    #[test]
    fn different_places_are_interpolated_inside_each_runs_range() {
        let found = grouped(
            &[(&[0.0, 2.0, 4.0], &[0.0, 2.0, 4.0]), (&[1.0, 3.0], &[10.0, 20.0])],
            Center::Mean,
            Band::None,
        );
        assert_eq!(found.alignment, Alignment::Interpolated);
        assert_eq!(found.x, [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(found.center, [0.0, 5.5, 8.5, 11.5, 4.0]);
        assert_eq!(found.runs, [1, 2, 2, 2, 1]);
    }

    #[test]
    fn nothing_is_interpolated_over_a_gap() {
        let found = grouped(
            &[(&[0.0, 2.0, 4.0], &[0.0, NAN, 4.0]), (&[1.0, 3.0, 4.0], &[1.0, 1.0, 2.0])],
            Center::Mean,
            Band::None,
        );
        assert_eq!((&found.runs[..], found.center[1]), (&[1, 1, 1, 1, 2][..], 1.0));
        // Of two points at one place the last one counts.
        let line = Line { x: &[1.0, 1.0, 2.0], y: &[5.0, 6.0, 8.0] };
        assert_eq!(interpolate(line, &[1.0, 1.5]), [6.0, 7.0]);
    }

    #[test]
    fn long_runs_meet_in_columns_and_keep_their_spikes() {
        let x: Vec<f64> = (0..1_000).map(f64::from).collect();
        let mut spiked = vec![1.0; 1_000];
        spiked[333] = 50.0;
        let sparse_x = [0.0, 999.0];
        let found = grouped(&[(&x, &spiked), (&sparse_x, &[3.0, 3.0])], Center::Mean, Band::MinMax);
        assert_eq!((found.alignment, found.x.len()), (Alignment::Columns, 8));
        assert_eq!(found.runs, [2; 8]);
        assert!(found.high.iter().any(|high| (high - 50.0).abs() < 1e-9));
        assert!((found.center[0] - 2.0).abs() < 1e-9, "{found:?}");
        let (first, last) = (found.x[0], found.x[7]);
        assert!((first - 62.4375).abs() < 1e-9 && (last - 936.5625).abs() < 1e-9, "{first} {last}");
    }

    #[test]
    fn nothing_makes_nothing() {
        assert!(grouped(&[], Center::Mean, Band::Ci95).x.is_empty());
        assert!(grouped(&[(&[], &[]), (&[], &[])], Center::Mean, Band::Std).x.is_empty());
        let same_place: Vec<f64> = vec![5.0; 100];
        let found = grouped(&[(&same_place, &same_place)], Center::Mean, Band::MinMax);
        assert_eq!((found.x, found.center), (vec![5.0], vec![5.0]));
    }

    type Run = (Vec<f64>, Vec<f64>);

    fn any_run() -> impl Strategy<Value = Run> {
        let value = prop_oneof![
            9 => -1e3..1e3_f64, 1 => Just(NAN), 1 => Just(f64::INFINITY), 1 => Just(f64::MAX)
        ];
        prop::collection::vec((0..3_u8, value), 0..60).prop_map(|points| {
            let mut x = 0.0;
            points
                .into_iter()
                .map(|(gap, value)| {
                    x += f64::from(gap);
                    (x, value)
                })
                .unzip()
        })
    }

    #[test]
    fn means_of_the_largest_doubles_are_doubles() {
        for count in 1..40 {
            let mut values = vec![f64::MAX; count];
            assert!(Center::Mean.of(&mut values).total_cmp(&f64::MAX).is_eq(), "{count}");
            assert!(Center::Median.of(&mut values).total_cmp(&f64::MAX).is_eq(), "{count}");
        }
    }

    proptest! {
        #[test]
        fn the_line_lies_in_its_band_and_the_band_in_the_values(
            runs in prop::collection::vec(any_run(), 0..6),
            columns in 0..40_usize,
            is_median: bool,
        ) {
            let lines: Vec<Line<'_>> = runs.iter().map(|(x, y)| Line { x, y }).collect();
            let center = if is_median { Center::Median } else { Center::Mean };
            let found = group(&lines, ALL, columns, center, Band::MinMax);
            prop_assert!(found.x.len() <= 2 * columns.max(2));
            prop_assert!(found.x.is_sorted_by(|a, b| a < b));
            let all = || runs.iter().flat_map(|run| &run.1).filter(|value| value.is_finite());
            let least = all().copied().fold(f64::INFINITY, f64::min);
            let most = all().copied().fold(f64::NEG_INFINITY, f64::max);
            for at in 0..found.x.len() {
                let (low, middle, high) = (found.low[at], found.center[at], found.high[at]);
                prop_assert_eq!(middle.is_nan(), found.runs[at] == 0);
                if found.runs[at] > 0 {
                    let room = 1e-9 * low.abs().max(high.abs());
                    prop_assert!(low - room <= middle && middle - room <= high, "{} {} {}", low, middle, high);
                    prop_assert!(least - room <= low && high - room <= most);
                }
            }
        }
    }
}
