//! Smoothing: what a noisy series does in the long run.

use std::{fmt, str::FromStr};

use crate::error::Invalid;

/// How a series is smoothed.
///
/// NaN and infinities stay where they are. Each stretch of finite values between them is smoothed
/// alone, so that no value reaches over a gap.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Smoothing {
    /// As it was logged.
    #[default]
    None,
    /// An exponential moving average by points, without the pull of its beginning.
    Ema {
        /// The part of the average that stays at each point: 0 (nothing is smoothed) to below 1.
        weight: f64,
    },
    /// An exponential moving average by distance along x: what was logged at uneven distances is
    /// smoothed evenly.
    TimeEma {
        /// The square of the part that stays after a thousandth of the whole stretch of x: 0 to
        /// below 1.
        weight: f64,
    },
    /// A weighted mean of the points around each one, by a Gaussian curve.
    Gaussian {
        /// The curve's standard deviation, in points; above 0.
        sigma: f64,
    },
    /// The mean of the points around each one.
    Mean {
        /// How many points: as many before as behind, so that an even number counts as the next
        /// odd one. At the ends there are fewer.
        window: u32,
    },
}

/// Gaussian curves up to this deviation are summed as they are; wider ones by boxes, whose cost does
/// not grow with the width.
const LARGEST_EXACT_SIGMA: f64 = 6.0;
/// Running means that stand for a wide Gaussian curve.
const BOXES: usize = 4;

impl Smoothing {
    /// Smooths values; `x` has their places, ascending, which only [`Smoothing::TimeEma`] looks at.
    ///
    /// Answers one value for each of `y`. Linear in the number of points.
    pub fn apply(self, x: &[f64], y: &[f64]) -> Vec<f64> {
        let mut smooth = y.to_vec();
        if self == Self::None {
            return smooth;
        }
        let range = x.first().zip(x.last()).map_or(0.0, |(first, last)| last - first);
        let mut start = 0;
        while start < y.len() {
            if !y[start].is_finite() {
                start += 1;
                continue;
            }
            let len = y[start..].iter().position(|value| !value.is_finite());
            let end = len.map_or(y.len(), |len| start + len);
            let places = x.get(start..end).unwrap_or_default();
            self.stretch(places, range, &y[start..end], &mut smooth[start..end]);
            start = end;
        }
        smooth
    }

    /// Smooths finite values; `into` has them already.
    fn stretch(self, x: &[f64], range: f64, y: &[f64], into: &mut [f64]) {
        // Sums of the largest doubles would overflow.
        let largest = y.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        if largest > 1e290 {
            let scaled: Vec<f64> = y.iter().map(|value| value / largest).collect();
            self.stretch(x, range, &scaled, into);
            for value in into {
                *value *= largest;
            }
            return;
        }
        match self {
            Self::None => {}
            Self::Ema { weight } => ema(weight, y, into),
            Self::TimeEma { weight } => time_ema(weight, range, x, y, into),
            Self::Gaussian { sigma } if sigma <= LARGEST_EXACT_SIGMA => gaussian(sigma, y, into),
            Self::Gaussian { sigma } => wide_gaussian(sigma, y, into),
            Self::Mean { window } => mean(window as usize / 2, y, into),
        }
    }
}

/// Source: TensorBoard's and W&B's debiased average, `last * w + (1 - w) * value`, divided by
/// `1 - w ^ n`.
fn ema(weight: f64, y: &[f64], into: &mut [f64]) {
    let (mut last, mut share) = (0.0, 0.0);
    for (value, smooth) in y.iter().zip(into) {
        last = last * weight + value * (1.0 - weight);
        share = share * weight + (1.0 - weight);
        *smooth = last / share;
    }
}

/// Source: W&B's time-weighted average: the weight's square root, to the power of the distance to
/// the point before in thousandths of the chart.
fn time_ema(weight: f64, range: f64, x: &[f64], y: &[f64], into: &mut [f64]) {
    let root = weight.sqrt().min(0.999);
    let (mut last, mut share) = (0.0, 0.0);
    for (at, (value, smooth)) in y.iter().zip(into).enumerate() {
        let before = x.get(at.saturating_sub(1)).copied();
        let distance = x.get(at).copied().zip(before).map_or(0.0, |(here, before)| here - before);
        let thousandths = if range > 0.0 { distance / range * 1_000.0 } else { 0.0 };
        let stays = root.powf(thousandths);
        last = last * stays + value;
        share = share * stays + 1.0;
        *smooth = last / share;
    }
}

fn gaussian(sigma: f64, y: &[f64], into: &mut [f64]) {
    let reach = (4.0 * sigma).ceil() as usize;
    let curve: Vec<f64> =
        (0..=reach).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp()).collect();
    for (at, smooth) in into.iter_mut().enumerate() {
        let first = at.saturating_sub(reach);
        let last = (at + reach).min(y.len() - 1);
        let (mut sum, mut share) = (0.0, 0.0);
        for other in first..=last {
            let part = curve[other.abs_diff(at)];
            sum += y[other] * part;
            share += part;
        }
        *smooth = sum / share;
    }
}

/// Several boxes one after the other come close to a Gaussian curve. Beyond the ends there is
/// nothing: the share of what is there is smoothed in the same way, and divides.
///
/// Source: Gwosdek et al., Theoretical Foundations of Gaussian Convolution by Extended Box Filtering.
fn wide_gaussian(sigma: f64, y: &[f64], into: &mut [f64]) {
    // One that reaches over all is nearly flat, and any wider one as well.
    let sigma = sigma.min(y.len() as f64 * 3.0);
    let boxes = BOXES as f64;
    let reach = ((12.0 * sigma * sigma / boxes + 1.0).sqrt() - 1.0) / 2.0;
    let whole = reach.floor();
    // The two outermost points count in part, so that the variance is that of the curve.
    let part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * sigma * sigma / boxes)
        / (6.0 * (sigma * sigma / boxes - (whole + 1.0) * (whole + 1.0)));
    let reach = whole as usize;
    let values = boxes_over(y, reach, part);
    // Beyond the reach of the ends all is there: only what is near them has a share of its own, the same
    // at both.
    let near = (BOXES * (reach + 1)).min(y.len());
    let shares = boxes_over(&vec![1.0; y.len().min(2 * near + 1)], reach, part);
    for (at, (smooth, value)) in into.iter_mut().zip(values).enumerate() {
        let from_end = at.min(y.len() - 1 - at);
        *smooth = if from_end < near { value / shares[from_end] } else { value };
    }
}

/// Boxes one after the other. What one carries over the ends, the next one carries back: only the last
/// may drop it.
fn boxes_over(y: &[f64], reach: usize, part: f64) -> Vec<f64> {
    let room = (BOXES - 1) * (reach + 1);
    let mut values = vec![0.0; room + y.len() + room];
    values[room..room + y.len()].copy_from_slice(y);
    for _ in 0..BOXES {
        values = extended_box(reach, part, &values);
    }
    values.drain(..room);
    values.truncate(y.len());
    values
}

/// Sums of `2 * reach + 1` points and a part of the next on both sides; nothing beyond the ends.
fn extended_box(reach: usize, part: f64, y: &[f64]) -> Vec<f64> {
    // Divided by the width, so that sums stay as large as the values.
    let whole = (2 * reach + 1) as f64 + 2.0 * part;
    let mut sum = Sum::default();
    y.iter().take(reach).for_each(|value| sum.add(*value));
    (0..y.len())
        .map(|at| {
            if let Some(value) = y.get(at + reach) {
                sum.add(*value);
            }
            let before = at.checked_sub(reach + 1).map_or(0.0, |before| y[before]);
            if at > reach {
                sum.add(-before);
            }
            let behind = y.get(at + reach + 1).copied().unwrap_or(0.0);
            (sum.total() + part * (before + behind)) / whole
        })
        .collect()
}

fn mean(reach: usize, y: &[f64], into: &mut [f64]) {
    let reach = reach.min(y.len());
    let mut sum = Sum::default();
    y.iter().take(reach).for_each(|value| sum.add(*value));
    for (at, smooth) in into.iter_mut().enumerate() {
        if let Some(value) = y.get(at + reach) {
            sum.add(*value);
        }
        if let Some(gone) = at.checked_sub(reach + 1) {
            sum.add(-y[gone]);
        }
        let count = (at + reach).min(y.len() - 1) - at.saturating_sub(reach) + 1;
        *smooth = sum.total() / count as f64;
    }
}

/// A sum that values also leave again, without a spike that passed through leaving a trace.
///
/// Source: Neumaier's compensated summation.
#[derive(Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

impl FromStr for Smoothing {
    type Err = Invalid;

    /// Reads `none`, `ema:0.9`, `time-ema:0.9`, `gaussian:3` or `mean:25`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |why: &str| Invalid::new(format!("The smoothing “{text}” {why}."));
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind.trim(), Some(number.trim())),
            None => (text.trim(), None),
        };
        let number = number
            .map(|number| number.parse::<f64>())
            .transpose()
            .map_err(|_| wrong("has no number behind the colon"))?;
        let weight = || {
            number
                .filter(|weight| (0.0..1.0).contains(weight))
                .ok_or_else(|| wrong("needs a weight from 0 to below 1, as in ema:0.9"))
        };
        match kind {
            "none" if number.is_none() => Ok(Self::None),
            "ema" => Ok(Self::Ema { weight: weight()? }),
            "time-ema" => Ok(Self::TimeEma { weight: weight()? }),
            "gaussian" => number
                .filter(|sigma| sigma.is_finite() && *sigma > 0.0)
                .map(|sigma| Self::Gaussian { sigma })
                .ok_or_else(|| wrong("needs a width in points above 0, as in gaussian:3")),
            "mean" => number
                .filter(|window| window.fract() == 0.0 && (1.0..=1e9).contains(window))
                .map(|window| Self::Mean { window: window as u32 })
                .ok_or_else(|| wrong("needs a number of points from 1 on, as in mean:25")),
            _ => Err(wrong(
                "is none of none, ema:0.9, time-ema:0.9, gaussian:3 and mean:25 (with numbers of \
                 your own)",
            )),
        }
    }
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Ema { weight } => write!(f, "ema:{weight}"),
            Self::TimeEma { weight } => write!(f, "time-ema:{weight}"),
            Self::Gaussian { sigma } => write!(f, "gaussian:{sigma}"),
            Self::Mean { window } => write!(f, "mean:{window}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAN: f64 = f64::NAN;

    /// What a smoothing makes of values at the places 0, 1, 2 …
    fn check(smoothing: &str, y: &[f64], expected: &[f64]) {
        let x: Vec<f64> = (0..y.len()).map(|at| at as f64).collect();
        let smooth = smoothing.parse::<Smoothing>().unwrap().apply(&x, y);
        assert_eq!(smooth.len(), expected.len());
        for (at, (smooth, expected)) in smooth.iter().zip(expected).enumerate() {
            let is_near = (smooth - expected).abs() <= 1e-12 * expected.abs().max(1.0);
            let is_same = is_near || format!("{smooth}") == format!("{expected}");
            assert!(is_same, "{smoothing}: {smooth} instead of {expected} at {at}");
        }
    }

    #[test]
    fn averages_are_those_of_a_calculation_by_hand() {
        let y = [1.0, 3.0, 2.0];
        check("none", &y, &y);
        check("ema:0", &y, &y);
        // (1 + 3 / 0.5) / (1 + 1 / 0.5) and so on: later points weigh twice as much each.
        check("ema:0.5", &y, &[1.0, 7.0 / 3.0, 15.0 / 7.0]);
        check("mean:1", &y, &y);
        check("mean:3", &y, &[2.0, 2.0, 2.5]);
        check("mean:2", &y, &[2.0, 2.0, 2.5]);
        check("mean:99", &y, &[2.0; 3]);
        let near = (-0.5_f64).exp();
        check("gaussian:1", &[0.0, 1.0], &[near / (1.0 + near), 1.0 / (1.0 + near)]);
    }

    #[test]
    fn the_time_weighted_average_looks_at_distances() {
        // 1,000 thousandths lie between the two: nothing of the first is left.
        let far = Smoothing::TimeEma { weight: 0.25 }.apply(&[0.0, 1.0], &[1.0, 5.0]);
        assert_eq!(far, [1.0, 5.0]);
        // One thousandth: a half (the square root of a quarter) is left.
        let x = [0.0, 1.0, 1_000.0];
        let near = Smoothing::TimeEma { weight: 0.25 }.apply(&x, &[1.0, 4.0, 0.0]);
        assert!((near[1] - 3.0).abs() < 1e-12, "{near:?}");
        // All at one place: a plain mean so far.
        let same = Smoothing::TimeEma { weight: 0.25 }.apply(&[7.0; 3], &[1.0, 2.0, 6.0]);
        assert_eq!(same, [1.0, 1.5, 3.0]);
    }

    #[test]
    fn nothing_reaches_over_a_gap_and_infinities_stay() {
        for smoothing in ["ema:0.9", "time-ema:0.9", "gaussian:2", "gaussian:50", "mean:5"] {
            let y = [1.0, 1.0, NAN, 5.0, 5.0, f64::INFINITY, 9.0, f64::NEG_INFINITY, NAN];
            check(smoothing, &y, &y);
        }
    }

    #[test]
    fn a_spike_leaves_no_trace_behind_its_window() {
        let mut y = vec![1.0; 400];
        y[50] = 1e17;
        let smooth = Smoothing::Mean { window: 11 }.apply(&[], &y);
        assert_eq!(smooth[200..], vec![1.0; 200]);
        let smooth = Smoothing::Gaussian { sigma: 8.0 }.apply(&[], &y);
        assert!(smooth[300..].iter().all(|value| (value - 1.0).abs() < 1e-9));
    }

    #[test]
    fn the_wide_curve_comes_close_to_the_exact_one() {
        let y: Vec<f64> =
            (0..600).map(|at| if at % 97 < 40 { f64::from(at % 13) } else { -3.0 }).collect();
        for sigma in [6.5, 10.0, 40.0] {
            let (mut exact, mut wide) = (y.clone(), y.clone());
            gaussian(sigma, &y, &mut exact);
            wide_gaussian(sigma, &y, &mut wide);
            let apart = exact.iter().zip(&wide).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < 0.15, "{sigma}: {apart}");
        }
    }

    #[test]
    fn texts_are_read_and_written() {
        for text in ["none", "ema:0.9", "time-ema:0", "gaussian:2.5", "mean:25"] {
            assert_eq!(text.parse::<Smoothing>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "ema",
            "ema:",
            "ema:1",
            "ema:-0.1",
            "ema:nan",
            "ema:x",
            "time-ema:2",
            "none:1",
            "gaussian:0",
            "gaussian:inf",
            "mean:0",
            "mean:2.5",
            "median:3",
        ] {
            let error = wrong.parse::<Smoothing>().unwrap_err();
            assert!(error.message.contains(&format!("“{wrong}”")), "{error}");
        }
    }

    fn any_smoothing() -> impl Strategy<Value = Smoothing> {
        prop_oneof![
            Just(Smoothing::None),
            (0.0..0.9999).prop_map(|weight| Smoothing::Ema { weight }),
            (0.0..0.9999).prop_map(|weight| Smoothing::TimeEma { weight }),
            (0.01..200.0).prop_map(|sigma| Smoothing::Gaussian { sigma }),
            (1_u32..500).prop_map(|window| Smoothing::Mean { window }),
        ]
    }

    proptest! {
        #[test]
        fn smoothed_values_stay_within_their_stretch(
            smoothing in any_smoothing(),
            y in prop::collection::vec(prop_oneof![
                9 => -1e6..1e6_f64, 1 => Just(NAN), 1 => Just(f64::MAX), 1 => Just(f64::INFINITY)
            ], 0..200),
            gap in 0.0..10.0_f64,
        ) {
            let x: Vec<f64> = (0..y.len()).map(|at| at as f64 * gap).collect();
            let smooth = smoothing.apply(&x, &y);
            prop_assert_eq!(smooth.len(), y.len());
            let pairs: Vec<(f64, f64)> = y.iter().copied().zip(smooth).collect();
            for stretch in pairs.chunk_by(|a, b| a.0.is_finite() == b.0.is_finite()) {
                let least = stretch.iter().map(|pair| pair.0).fold(f64::INFINITY, f64::min);
                let most = stretch.iter().map(|pair| pair.0).fold(f64::NEG_INFINITY, f64::max);
                for (value, smooth) in stretch {
                    if value.is_finite() {
                        let room = 1e-9 * least.abs().max(most.abs());
                        prop_assert!(*smooth >= least - room && *smooth - room <= most);
                    } else {
                        prop_assert_eq!(value.to_bits(), smooth.to_bits());
                    }
                }
            }
        }

        #[test]
        fn a_constant_stays_itself(smoothing in any_smoothing(), value in -1e9..1e9_f64, n in 1..300_usize) {
            let x: Vec<f64> = (0..n).map(|at| at as f64).collect();
            for smooth in smoothing.apply(&x, &vec![value; n]) {
                prop_assert!((smooth - value).abs() <= 1e-9 * value.abs());
            }
        }
    }
}
