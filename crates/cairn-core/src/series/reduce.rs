//! Series made small enough for a screen.

use std::ops::Range;

/// Picks the points of a series that a chart of `max_columns` pixel columns must draw.
///
/// `steps` and `values` belong together by position and are ordered by step, ties by time; if one
/// is longer, its surplus is ignored. The range of steps is cut into columns of equal width, and
/// each column keeps the first of its smallest and the first of its largest finite values, so that
/// a spike of a single step is never lost. The first and the last point always stay. A series whose
/// steps are all equal (logged without a step) is cut by position instead.
///
/// Values that are not finite do not take part in smallest and largest. Each column keeps the first
/// NaN, the first infinity and the first minus infinity it has, between the points they stood
/// between, so that a chart can break its line and mark the place.
///
/// Answers positions in ascending order: all of them if they are no more than two for each column,
/// otherwise at most `2 * max_columns` finite points and `3 * max_columns` others. Fewer than two
/// columns count as two. Linear in the series; an unordered one is answered within the same bounds,
/// but may lose its shape.
pub fn reduce(steps: &[i64], values: &[f64], max_columns: usize) -> Vec<usize> {
    let count = steps.len().min(values.len());
    let max_columns = max_columns.max(2);
    if count <= max_columns.saturating_mul(2) {
        return (0..count).collect();
    }
    // The first and the last point come in addition: one column less makes room for them.
    let cut = Cut::new(steps[0], steps[count - 1], count, max_columns - 1);
    let mut kept = Vec::with_capacity(max_columns * 2);
    kept.push(0);
    let mut column = Column::default();
    let mut next_column = cut.begin_after(0);
    for (at, (&step, &value)) in steps.iter().zip(values).enumerate() {
        // One comparison for each point; where its column lies is only worked out for the first one
        // beyond the last column.
        if next_column.is_before(step, at) {
            column.drain_into(&mut kept);
            next_column = cut.begin_after(cut.column(step, at));
        }
        column.add(at, value);
    }
    column.drain_into(&mut kept);
    if kept.last() != Some(&(count - 1)) {
        kept.push(count - 1);
    }
    kept
}

/// The stretch of the x axis that a chart shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Its left end; above 0 if `is_log`.
    pub from: f64,
    /// Its right end, not before the left one.
    pub to: f64,
    /// Whether equal ratios are equally wide.
    pub is_log: bool,
}

impl Window {
    /// The part of the window, 0 to 1 and beyond its ends, where a place lies. NaN for a window without
    /// width, and on a logarithmic one for places that are not above 0.
    pub fn share(&self, x: f64) -> f64 {
        if self.is_log {
            (x / self.from).ln() / (self.to / self.from).ln()
        } else {
            // Halved: the ends may be the outermost doubles.
            (x / 2.0 - self.from / 2.0) / (self.to / 2.0 - self.from / 2.0)
        }
    }

    /// The place at a part of the window: what [`Self::share`] undoes.
    pub fn place(&self, share: f64) -> f64 {
        if self.is_log {
            self.from * (self.to / self.from).powf(share)
        } else {
            self.from * (1.0 - share) + self.to * share
        }
    }

    /// The positions of the places that lie in the window; `x` is ascending.
    pub fn positions(&self, x: &[f64]) -> Range<usize> {
        let start = x.partition_point(|place| *place < self.from);
        let end = x.partition_point(|place| *place <= self.to);
        start..end.max(start)
    }
}

/// Picks the points that a chart must draw in a stretch of its x axis, as [`reduce`] does for the
/// whole of a series.
///
/// `x` (ascending, finite) and `y` belong together by position. Beside the points in the window, its
/// neighbours on both sides are kept, so that a line reaches the edges. Columns are equally wide as the
/// window's axis is drawn. Bounds are those of [`reduce`] and the two neighbours.
pub fn reduce_by_x(x: &[f64], y: &[f64], window: Window, max_columns: usize) -> Vec<usize> {
    let count = x.len().min(y.len());
    let Range { start, end } = window.positions(&x[..count]);
    let left = start.checked_sub(1);
    let right = (end < count).then_some(end);
    let max_columns = max_columns.max(2);
    let around = |kept: Vec<usize>| left.into_iter().chain(kept).chain(right).collect();
    if end - start <= max_columns.saturating_mul(2) {
        return around((start..end).collect());
    }
    let columns = max_columns - 1;
    let has_width = x[end - 1] > x[start] && window.share(x[end - 1]).is_finite();
    // All at one place: cut by position.
    let column_of = |at: usize| {
        let column = if has_width {
            (window.share(x[at]) * columns as f64) as usize
        } else {
            ((at - start) as u128 * columns as u128 / (end - start) as u128) as usize
        };
        column.min(columns - 1)
    };
    let begin_of = |column: usize| {
        if column >= columns {
            (f64::INFINITY, usize::MAX)
        } else if has_width {
            (window.place(column as f64 / columns as f64), usize::MAX)
        } else {
            let begin = (column as u128 * (end - start) as u128).div_ceil(columns as u128);
            (f64::INFINITY, start + begin as usize)
        }
    };
    let mut kept = Vec::with_capacity(max_columns * 2);
    kept.push(start);
    let mut column = Column::default();
    let (mut next_place, mut next_position) = begin_of(column_of(start) + 1);
    for at in start..end {
        if x[at] >= next_place || at >= next_position {
            column.drain_into(&mut kept);
            (next_place, next_position) = begin_of(column_of(at) + 1);
        }
        column.add(at, y[at]);
    }
    column.drain_into(&mut kept);
    if kept.last() != Some(&(end - 1)) {
        kept.push(end - 1);
    }
    around(kept)
}

/// Which column a point falls into.
enum Cut {
    BySteps { first: i128, width: i128, columns: i128 },
    ByPosition { count: usize, columns: usize },
}

impl Cut {
    fn new(first: i64, last: i64, count: usize, columns: usize) -> Self {
        let (first, last) = (i128::from(first), i128::from(last));
        if last > first {
            Self::BySteps { first, width: last - first + 1, columns: columns as i128 }
        } else {
            Self::ByPosition { count, columns }
        }
    }

    fn column(&self, step: i64, at: usize) -> usize {
        match *self {
            Self::BySteps { first, width, columns } => {
                let column = (i128::from(step) - first) * columns / width;
                column.clamp(0, columns - 1) as usize
            }
            // In 128 bits, since position times columns may exceed 64.
            Self::ByPosition { count, columns } => {
                (at as u128 * columns as u128 / count as u128) as usize
            }
        }
    }

    /// Where the column after `column` begins.
    fn begin_after(&self, column: usize) -> Begin {
        let next = column + 1;
        match *self {
            Self::BySteps { columns, .. } if next as i128 >= columns => Begin::Never,
            Self::BySteps { first, width, columns } => {
                let offset = (next as i128 * width + columns - 1) / columns;
                i64::try_from(first + offset).map_or(Begin::Never, Begin::Step)
            }
            Self::ByPosition { columns, .. } if next >= columns => Begin::Never,
            Self::ByPosition { count, columns } => {
                Begin::Position((next as u128 * count as u128).div_ceil(columns as u128) as usize)
            }
        }
    }
}

/// The first step, or position, that belongs to a column.
enum Begin {
    Step(i64),
    Position(usize),
    /// There is no such column.
    Never,
}

impl Begin {
    fn is_before(&self, step: i64, at: usize) -> bool {
        match *self {
            Self::Step(first) => step >= first,
            Self::Position(first) => at >= first,
            Self::Never => false,
        }
    }
}

/// The positions that a column keeps so far.
#[derive(Default)]
struct Column {
    smallest: Option<(usize, f64)>,
    largest: Option<(usize, f64)>,
    nan: Option<usize>,
    infinity: Option<usize>,
    minus_infinity: Option<usize>,
}

impl Column {
    #[inline]
    fn add(&mut self, at: usize, value: f64) {
        if value.is_nan() {
            self.nan.get_or_insert(at);
        } else if value == f64::INFINITY {
            self.infinity.get_or_insert(at);
        } else if value == f64::NEG_INFINITY {
            self.minus_infinity.get_or_insert(at);
        } else {
            if self.smallest.is_none_or(|(_, smallest)| value < smallest) {
                self.smallest = Some((at, value));
            }
            if self.largest.is_none_or(|(_, largest)| value > largest) {
                self.largest = Some((at, value));
            }
        }
    }

    /// Appends what the column keeps, in order and without what is there already; leaves it empty.
    fn drain_into(&mut self, kept: &mut Vec<usize>) {
        let column = std::mem::take(self);
        let mut positions = [
            column.smallest.map(|(at, _)| at),
            column.largest.map(|(at, _)| at),
            column.nan,
            column.infinity,
            column.minus_infinity,
        ];
        positions.sort_unstable();
        for at in positions.into_iter().flatten() {
            if kept.last() != Some(&at) {
                kept.push(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The kept values of a series whose steps count up from 0.
    fn check(values: &[f64], max_columns: usize, expected: &[f64]) {
        let steps: Vec<i64> = (0..values.len() as i64).collect();
        let kept: Vec<_> =
            reduce(&steps, values, max_columns).into_iter().map(|at| values[at]).collect();
        assert_eq!(format!("{kept:?}"), format!("{expected:?}"));
    }

    #[test]
    fn short_series_stay_whole() {
        check(&[], 10, &[]);
        check(&[1.0], 0, &[1.0]);
        check(&[3.0, 1.0, f64::NAN, 2.0], 2, &[3.0, 1.0, f64::NAN, 2.0]);
    }

    #[test]
    fn a_spike_of_one_step_stays() {
        let mut values = vec![1.0; 1_000_000];
        values[456_789] = 9.0;
        values[456_791] = -9.0;
        let steps: Vec<i64> = (0..1_000_000).collect();
        let kept = reduce(&steps, &values, 500);
        assert!(kept.contains(&456_789) && kept.contains(&456_791));
        assert!(kept.len() <= 1_000, "{}", kept.len());
    }

    #[test]
    fn what_is_not_finite_stays_between_its_neighbours() {
        let (nan, infinity) = (f64::NAN, f64::INFINITY);
        check(&[1.0, 2.0, nan, nan, 3.0, 4.0], 2, &[1.0, nan, 4.0]);
        check(
            &[1.0, 0.0, infinity, -infinity, 5.0, 4.0],
            2,
            &[1.0, 0.0, infinity, -infinity, 5.0, 4.0],
        );
        check(&[nan; 9], 2, &[nan, nan]);
    }

    #[test]
    fn columns_are_as_wide_as_steps_not_as_points() {
        // A hundred points at the start, then a few far away: each of these has its own column.
        let steps: Vec<i64> = (0..100).chain([1_000, 2_000, 3_000]).collect();
        let values: Vec<f64> = (0..103).map(f64::from).collect();
        assert_eq!(reduce(&steps, &values, 5), [0, 99, 100, 101, 102]);
    }

    #[test]
    fn equal_steps_are_cut_by_position() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(reduce(&[0; 100], &values, 3), [0, 49, 50, 99]);
    }

    #[test]
    fn the_whole_range_of_steps_is_allowed() {
        let steps = [i64::MIN, -1, 0, 1, 2, i64::MAX];
        let values = [0.0, 5.0, 1.0, 2.0, -5.0, 0.0];
        assert_eq!(reduce(&steps, &values, 2), [0, 1, 4, 5]);
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => -1e3_f64..1e3,
            1 => Just(f64::NAN),
            1 => prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -0.0]),
        ]
    }

    /// Ordered steps with ties and jumps, and their values.
    fn any_series() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
        let gap = prop_oneof![4 => 0..3_i64, 1 => 0..1_000_000_i64, 1 => Just(i64::MAX / 200)];
        (-1_000_i64..1_000, prop::collection::vec((gap, any_value()), 0..400)).prop_map(
            |(first, points)| {
                let mut step = first;
                points
                    .into_iter()
                    .map(|(gap, value)| {
                        step = step.saturating_add(gap);
                        (step, value)
                    })
                    .unzip()
            },
        )
    }

    const fn linear(from: f64, to: f64) -> Window {
        Window { from, to, is_log: false }
    }

    #[test]
    fn a_window_has_its_points_and_a_neighbour_on_each_side() {
        let x: Vec<f64> = (0..10).map(f64::from).collect();
        let check = |from, to, expected: &[usize]| {
            assert_eq!(reduce_by_x(&x, &x, linear(from, to), 100), expected, "{from} to {to}");
        };
        check(3.0, 5.5, &[2, 3, 4, 5, 6]);
        check(-5.0, 1.0, &[0, 1, 2]);
        check(9.0, 99.0, &[8, 9]);
        check(4.2, 4.8, &[4, 5]);
        check(20.0, 30.0, &[9]);
        check(-3.0, -1.0, &[0]);
        assert!(reduce_by_x(&[], &[], linear(0.0, 1.0), 5).is_empty());
    }

    #[test]
    fn a_spike_in_a_window_stays() {
        let x: Vec<f64> = (0..1_000_000).map(f64::from).collect();
        let mut y = vec![1.0; 1_000_000];
        y[456_789] = 9.0;
        y[456_791] = f64::NAN;
        for is_log in [false, true] {
            let window = Window { from: 1_000.0, to: 900_000.0, is_log };
            let kept = reduce_by_x(&x, &y, window, 500);
            assert!(kept.contains(&456_789) && kept.contains(&456_791));
            assert_eq!((kept[0], kept[kept.len() - 1]), (999, 900_001));
            assert!(kept.len() <= 1_003, "{}", kept.len());
        }
    }

    #[test]
    fn logarithmic_columns_are_as_wide_as_they_are_drawn() {
        let x: Vec<f64> = (1..=10_000).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| x.sin()).collect();
        let kept = reduce_by_x(&x, &y, Window { from: 1.0, to: 10_000.0, is_log: true }, 101);
        // A half of the axis is up to 100, where equal steps would have a single column.
        assert!(kept.iter().filter(|at| x[**at] <= 100.0).count() > 45);
        assert!(kept.len() <= 202);
    }

    #[test]
    fn points_at_one_place_are_cut_by_position() {
        let y: Vec<f64> = (0..100).map(f64::from).collect();
        let kept = reduce_by_x(&[7.0; 100], &y, linear(7.0, 7.0), 3);
        assert_eq!(kept, [0, 49, 50, 99]);
    }

    #[test]
    fn windows_of_any_width_have_shares() {
        let widest = linear(f64::MIN, f64::MAX);
        assert!((widest.share(0.0) - 0.5).abs() < 1e-12);
        assert!(widest.place(0.5).abs() < 1e292);
        let decades = Window { from: 1e-3, to: 1e3, is_log: true };
        assert!((decades.share(1.0) - 0.5).abs() < 1e-12);
        assert!((decades.place(0.5) - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_window_keeps_order_bounds_and_extremes(
            (steps, values) in any_series(),
            columns in 0..40_usize,
            from in -2_000.0..100_000_f64,
            width in 0.0..1e6_f64,
            is_log: bool,
        ) {
            let x: Vec<f64> = steps.iter().map(|step| *step as f64).collect();
            let from = if is_log { from.abs().max(0.5) } else { from };
            let window = Window { from, to: from + width, is_log };
            let kept = reduce_by_x(&x, &values, window, columns);
            prop_assert!(kept.is_sorted_by(|a, b| a < b));
            let finite = kept.iter().filter(|at| values[**at].is_finite()).count();
            prop_assert!(finite <= 2 * columns.max(2) + 2);
            let inside: Vec<usize> = window.positions(&x).collect();
            for end in [inside.first(), inside.last()].into_iter().flatten() {
                prop_assert!(kept.contains(end));
            }
            let extreme = |positions: &[usize], pick: fn(f64, f64) -> f64| {
                positions.iter().filter(|at| window.positions(&x).contains(at))
                    .map(|at| values[*at]).filter(|value| value.is_finite()).reduce(pick)
            };
            prop_assert_eq!(extreme(&kept, f64::min), extreme(&inside, f64::min));
            prop_assert_eq!(extreme(&kept, f64::max), extreme(&inside, f64::max));
        }

        #[test]
        fn order_ends_and_bounds_are_kept((steps, values) in any_series(), columns in 0..60_usize) {
            let kept = reduce(&steps, &values, columns);
            prop_assert!(kept.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(kept.first().copied(), (!steps.is_empty()).then_some(0));
            prop_assert_eq!(kept.last().copied(), steps.len().checked_sub(1));
            let finite = kept.iter().filter(|at| values[**at].is_finite()).count();
            prop_assert!(finite <= 2 * columns.max(2));
            prop_assert!(kept.len() - finite <= 3 * columns.max(2));
        }

        #[test]
        fn no_spike_is_lost((steps, values) in any_series(), columns in 2..60_usize) {
            let kept = reduce(&steps, &values, columns);
            // No column is wider than this, wherever it begins.
            let range = steps.first().zip(steps.last()).map_or(0, |(a, b)| b.abs_diff(*a));
            let width = range / (columns as u64 - 1) + 1;
            let is_near = |a: usize, b: usize| range == 0 || steps[a].abs_diff(steps[b]) <= width;
            for (at, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
                let near = || kept.iter().filter(|k| is_near(**k, at) && values[**k].is_finite());
                prop_assert!(near().any(|k| values[*k] >= *value), "{} is too low", at);
                prop_assert!(near().any(|k| values[*k] <= *value), "{} is too high", at);
            }
        }

        #[test]
        fn unordered_steps_are_answered_within_bounds(
            steps in prop::collection::vec(any::<i64>(), 0..300),
            columns in 0..20_usize,
        ) {
            let values: Vec<f64> = steps.iter().map(|step| *step as f64).collect();
            let kept = reduce(&steps, &values, columns);
            prop_assert!(kept.is_sorted_by(|a, b| a < b));
            prop_assert!(kept.len() <= 2 * columns.max(2));
        }
    }
}
