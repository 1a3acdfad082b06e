//! Where the marks of a picture's axes are, and what stands at them.

use crate::{PlotAxis, Unit};

/// An axis with its ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlotScale {
    pub from: f64,
    pub to: f64,
    pub is_log: bool,
    unit: Unit,
}

impl PlotScale {
    /// An axis for what is drawn: a little beyond it, if `has_room`, but for ends that were chosen.
    /// `extent` is that of the values with a place; without any it is 0 to 1.
    pub fn new(axis: &PlotAxis, extent: Option<(f64, f64)>, has_room: bool) -> Self {
        let (least, most) = extent.unwrap_or(if axis.is_log { (1.0, 10.0) } else { (0.0, 1.0) });
        let (mut from, mut to) = (least, most);
        if axis.is_log {
            let room = if has_room && to > from { (to / from).powf(0.04) } else { 1.0 };
            (from, to) = (from / room, to * room);
            if to / from < 1.0 + 1e-9 {
                (from, to) = (from / 2.0, to * 2.0);
            }
        } else {
            let spread = to - from;
            let size = from.abs().max(to.abs());
            if spread <= size * 1e-12 || spread == 0.0 {
                let room = if size == 0.0 { 1.0 } else { size * 0.1 };
                (from, to) = (from - room, to + room);
            } else if has_room && spread.is_finite() {
                let is_near_zero = least >= 0.0 && least <= most * 0.25;
                from = if is_near_zero { 0.0 } else { from - spread * 0.05 };
                to += spread * 0.05;
            }
        }
        let from = axis.from.filter(|from| !axis.is_log || *from > 0.0).unwrap_or(from);
        let mut to = axis.to.unwrap_or(to);
        if to <= from {
            to = if axis.is_log { from * 10.0 } else { from + from.abs().max(1.0) };
        }
        Self { from, to, is_log: axis.is_log, unit: axis.unit }
    }

    /// Where a value lies: 0 at the beginning, 1 at the end. NaN where it has no place.
    pub fn share(&self, value: f64) -> f64 {
        if self.is_log {
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value / 2.0 - self.from / 2.0) / (self.to / 2.0 - self.from / 2.0)
        }
    }

    /// Whether a value has a place, perhaps beyond the ends.
    pub fn has(&self, value: f64) -> bool {
        value.is_finite() && (!self.is_log || value > 0.0)
    }

    /// Values with marks and their labels, ascending; about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let wanted = wanted.max(2);
        if self.is_log {
            return self.log_ticks(wanted);
        }
        let raw = (self.to - self.from) / wanted as f64;
        let step = match self.unit {
            Unit::Number => round_step(raw),
            Unit::Seconds => time_step(raw),
            Unit::Time { .. } => time_step(raw / 1_000.0) * 1_000.0,
        };
        if !step.is_finite() || step <= 0.0 {
            return Vec::new();
        }
        // Days begin at local midnight.
        let shift = match self.unit {
            Unit::Time { offset_seconds } => f64::from(offset_seconds) * 1_000.0,
            _ => 0.0,
        };
        let first = ((self.from + shift) / step - 1e-9).ceil();
        let last = ((self.to + shift) / step + 1e-9).floor();
        let count = ((last - first) as usize).min(10 * wanted);
        let values: Vec<f64> = (0..=count).map(|at| (first + at as f64) * step - shift).collect();
        let labels = match self.unit {
            Unit::Number => number_labels(&values, step),
            Unit::Seconds => values.iter().map(|value| duration_label(*value, step)).collect(),
            Unit::Time { offset_seconds } => {
                let mut day = None;
                values
                    .iter()
                    .map(|value| time_label(*value, step / 1_000.0, offset_seconds, &mut day))
                    .collect()
            }
        };
        values.into_iter().zip(labels).collect()
    }

    fn log_ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let (low, high) = (self.from.log10(), self.to.log10());
        let decades = high - low;
        // Less than two decades: round numbers are nearer to each other than powers of ten.
        let factors: &[f64] = if decades < 0.7 {
            let linear = Self { is_log: false, ..self.clone() };
            return linear.ticks(wanted);
        } else if decades < 3.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let stride = (decades / wanted as f64).ceil().max(1.0) as i32;
        (low.floor() as i32..=high.ceil() as i32)
            .filter(|decade| decade.rem_euclid(stride) == 0)
            .flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)))
            .filter(|value| (self.from..=self.to).contains(value))
            .map(|value| (value, short_number(value)))
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(raw: f64) -> f64 {
    if raw <= 0.0 || !raw.is_finite() {
        return f64::NAN;
    }
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// What clocks and calendars count by, in seconds, at least this.
fn time_step(raw: f64) -> f64 {
    const STEPS: [f64; 17] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
        7_200.0, 10_800.0, 21_600.0, 43_200.0,
    ];
    if raw <= 0.5 {
        return round_step(raw);
    }
    let step = STEPS.into_iter().find(|step| *step >= raw);
    step.unwrap_or_else(|| round_step(raw / 86_400.0).max(1.0) * 86_400.0)
}

/// Labels with the same unit and digits, so that they differ exactly where the marks do.
pub(crate) fn number_labels(values: &[f64], step: f64) -> Vec<String> {
    let largest = values.iter().fold(step, |largest, value| largest.max(value.abs()));
    let is_zero = |value: f64| value.abs() < step / 1e6;
    if !(1e-4..1e9).contains(&largest) {
        let digits = (largest.log10().floor() - step.log10().floor()).clamp(0.0, 15.0) as usize;
        return values
            .iter()
            .map(
                |value| if is_zero(*value) { "0".to_owned() } else { format!("{value:.digits$e}") },
            )
            .collect();
    }
    for (unit, size) in [("M", 1e6), ("k", 1e3)] {
        if largest >= 10.0 * size && step * 10.0 >= size {
            let decimals = decimals(step / size);
            return values
                .iter()
                .map(|value| {
                    if is_zero(*value) {
                        return "0".to_owned();
                    }
                    format!("{:.decimals$}{unit}", value / size)
                })
                .collect();
        }
    }
    let decimals = decimals(step);
    values
        .iter()
        .map(
            |value| {
                if is_zero(*value) {
                    "0".to_owned()
                } else {
                    grouped(&format!("{value:.decimals$}"))
                }
            },
        )
        .collect()
}

/// Thousands set apart by a narrow space from 10,000 on.
fn grouped(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && whole.len() > 4 && (whole.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Decimals that a mark needs when marks are this far apart.
fn decimals(step: f64) -> usize {
    (0..15)
        .find(|digits| {
            let scaled = step * 10_f64.powi(*digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        })
        .unwrap_or(15) as usize
}

/// A number in few letters: `0.001`, `20`, `1.5k`, `1e-7`.
pub(crate) fn short_number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !(1e-4..1e9).contains(&size) {
        return trimmed(&format!("{value:.3e}"));
    }
    let (scaled, unit) = match size {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = (3 - scaled.abs().log10().floor() as i32).clamp(0, 8) as usize;
    trimmed(&format!("{scaled:.digits$}")) + unit
}

/// Without zeros at the end of the fraction, also before an exponent.
fn trimmed(text: &str) -> String {
    let (number, exponent) = text.find('e').map_or((text, ""), |at| text.split_at(at));
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number}{exponent}")
}

fn duration_label(seconds: f64, step: f64) -> String {
    if seconds.abs() < step / 1e6 {
        return "0".to_owned();
    }
    let (unit, size) = match step {
        step if step >= 86_400.0 => ("d", 86_400.0),
        step if step >= 3_600.0 => ("h", 3_600.0),
        step if step >= 60.0 => ("m", 60.0),
        step if step >= 1.0 || seconds.abs() >= 1.0 => ("s", 1.0),
        _ => ("ms", 0.001),
    };
    let decimals = decimals(step / size).min(6);
    format!("{:.decimals$} {unit}", seconds / size)
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The local time of a mark; the date stands at the first mark and where it changes.
fn time_label(millis: f64, step: f64, offset: i32, last_day: &mut Option<i64>) -> String {
    let millis = millis.clamp(-1e14, 1e14) as i64 + i64::from(offset) * 1_000;
    let seconds = millis.div_euclid(1_000);
    let day = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let (year, month, day_of_month) = civil(day);
    let date = format!("{} {day_of_month}", MONTHS[month as usize - 1]);
    let is_new_day = *last_day != Some(day);
    *last_day = Some(day);
    if step >= 86_400.0 {
        return if step >= 86_400.0 * 100.0 { format!("{date}, {year}") } else { date };
    }
    let time = if step >= 60.0 {
        format!("{hour:02}:{minute:02}")
    } else if step >= 1.0 {
        format!("{hour:02}:{minute:02}:{second:02}")
    } else {
        format!("{hour:02}:{minute:02}:{second:02}.{:03}", millis.rem_euclid(1_000))
    };
    if is_new_day { format!("{date}, {time}") } else { time }
}

/// Year, month and day of a day since 1970. Source: Howard Hinnant, chrono-compatible low-level date
/// algorithms.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &PlotAxis, least: f64, most: f64, expected: &[&str]) {
        let scale = PlotScale::new(axis, Some((least, most)), false);
        let labels: Vec<String> = scale.ticks(5).into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, expected, "{least} to {most}");
    }

    #[test]
    fn labels_differ_exactly_where_marks_do() {
        let axis = PlotAxis::default();
        labels(&axis, 0.0, 1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        labels(
            &axis,
            100.0,
            100.002,
            &["100.0000", "100.0005", "100.0010", "100.0015", "100.0020"],
        );
        labels(&axis, 0.0, 1_000_000.0, &["0", "200k", "400k", "600k", "800k", "1000k"]);
        labels(&axis, 12_000.0, 12_500.0, &["12.0k", "12.1k", "12.2k", "12.3k", "12.4k", "12.5k"]);
        labels(
            &axis,
            12_000.0,
            12_020.0,
            &["12\u{202f}000", "12\u{202f}005", "12\u{202f}010", "12\u{202f}015", "12\u{202f}020"],
        );
        labels(&axis, 0.0, 2e-7, &["0", "5.0e-8", "1.0e-7", "1.5e-7", "2.0e-7"]);
        labels(&axis, -3.0, 1.0, &["-3", "-2", "-1", "0", "1"]);
    }

    #[test]
    fn logarithmic_marks_are_round() {
        let axis = PlotAxis { is_log: true, ..PlotAxis::default() };
        labels(&axis, 1.0, 100.0, &["1", "2", "5", "10", "20", "50", "100"]);
        labels(&axis, 1e-6, 1e6, &["1e-6", "0.001", "1", "1000", "1M"]);
        labels(&axis, 0.10, 0.13, &["0.10", "0.11", "0.12", "0.13"]);
    }

    #[test]
    fn times_are_those_of_clocks() {
        let passed = PlotAxis { unit: Unit::Seconds, ..PlotAxis::default() };
        labels(&passed, 0.0, 3_600.0, &["0", "15 m", "30 m", "45 m", "60 m"]);
        labels(&passed, 0.0, 0.01, &["0", "2 ms", "4 ms", "6 ms", "8 ms", "10 ms"]);
        labels(&passed, 0.0, 400_000.0, &["0", "1 d", "2 d", "3 d", "4 d"]);
        let clock = PlotAxis { unit: Unit::Time { offset_seconds: 3_600 }, ..PlotAxis::default() };
        // 2024-02-28 22:30 to 2024-02-29 00:30 at Greenwich.
        let start = 1_709_159_400_000.0;
        labels(
            &clock,
            start,
            start + 7_200_000.0,
            &["Feb 28, 23:30", "Feb 29, 00:00", "00:30", "01:00", "01:30"],
        );
    }

    #[test]
    fn ends_have_room_unless_they_were_chosen() {
        let scale = PlotScale::new(&PlotAxis::default(), Some((0.1, 1.0)), true);
        assert!(scale.from.abs() < 1e-12 && (scale.to - 1.045).abs() < 1e-12);
        let chosen = PlotAxis { from: Some(-1.0), to: Some(3.0), ..PlotAxis::default() };
        let scale = PlotScale::new(&chosen, Some((0.1, 1.0)), true);
        assert!((scale.share(1.0) - 0.5).abs() < 1e-12);
        for (least, most) in [(5.0, 5.0), (0.0, 0.0), (1e300, 1e300), (f64::MIN, f64::MAX)] {
            let scale = PlotScale::new(&PlotAxis::default(), Some((least, most)), true);
            assert!(scale.share(least).is_finite() && scale.from < scale.to, "{scale:?}");
            assert!(scale.ticks(6).len() <= 61);
        }
    }

    #[test]
    fn short_numbers_are_short() {
        let numbers = [0.0, 0.001, -1.5, 1234.0, 12_345.0, 2.5e6, 1e-7, 3.456_789, 1e12];
        let shown: Vec<String> = numbers.into_iter().map(short_number).collect();
        assert_eq!(
            shown,
            ["0", "0.001", "-1.5", "1234", "12.35k", "2.5M", "1e-7", "3.457", "1e12"]
        );
    }
}
