//! Where an axis has its marks, and what stands at them.

use crate::Scale;

/// Marks that an axis has at most, about.
const WANTED: f64 = 8.0;

/// An axis with its range, both in the units of [`Scale::place`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Marks {
    /// How values become places.
    pub scale: Scale,
    /// Where the axis begins and ends: a little beyond the outermost points.
    pub from: f64,
    pub to: f64,
    /// Places of the marks, ascending.
    pub places: Vec<f64>,
}

impl Marks {
    /// Marks for the values from `least` to `most`, which have places on the scale.
    pub fn new(scale: Scale, least: f64, most: f64) -> Self {
        let (mut from, mut to) = (scale.place(least), scale.place(most));
        let margin = if to > from { (to - from) * 0.04 } else { 0.5 };
        from -= margin;
        to += margin;
        let places = match scale {
            Scale::Linear => linear(from, to),
            Scale::Log => logarithmic(from, to),
        };
        Self { scale, from, to, places }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear(from: f64, to: f64) -> Vec<f64> {
    let raw = (to - from) / WANTED;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw)
        .unwrap_or(10.0 * power);
    let first = (from / step).ceil() as i64;
    let last = (to / step).floor() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

/// Powers of ten; where there are few, also twice and five times each.
fn logarithmic(from: f64, to: f64) -> Vec<f64> {
    let factors: &[f64] = if to - from < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let decades = from.floor() as i64..=to.ceil() as i64;
    // So many decades that not each can have a mark.
    let stride = ((to - from) / (2.0 * WANTED)).ceil().max(1.0) as i64;
    decades
        .filter(|decade| decade.rem_euclid(stride) == 0)
        .flat_map(|decade| factors.iter().map(move |factor| decade as f64 + factor.log10()))
        .filter(|place| (from..=to).contains(place))
        .collect()
}

/// A value as it stands at a mark: `1,500` as `1.5k`, without needless digits.
pub(crate) fn label(scale: Scale, place: f64) -> String {
    let value = match scale {
        Scale::Linear => place,
        Scale::Log => 10_f64.powf(place),
    };
    let (scaled, suffix) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Four significant digits hide what the arithmetic of floats adds.
    let digits = 3 - (scaled.abs().max(1e-9).log10().floor() as i32).clamp(-9, 3);
    let mut text = format!("{scaled:.0$}", digits.unsigned_abs() as usize);
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    if text == "-0" { "0".to_owned() } else { text + suffix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scale: Scale, least: f64, most: f64, expected: &[&str]) {
        let marks = Marks::new(scale, least, most);
        let labels: Vec<String> = marks.places.iter().map(|place| label(scale, *place)).collect();
        assert_eq!(labels, expected, "{least} to {most}");
    }

    #[test]
    fn linear_marks_are_round_numbers() {
        check(Scale::Linear, 0.0, 10.0, &["0", "2", "4", "6", "8", "10"]);
        check(Scale::Linear, -0.2, 0.1, &["-0.2", "-0.15", "-0.1", "-0.05", "0", "0.05", "0.1"]);
        check(Scale::Linear, 1200.0, 3000.0, &["1.5k", "2k", "2.5k", "3k"]);
        check(Scale::Linear, 5.0, 5.0, &["4.6", "4.8", "5", "5.2", "5.4"]);
    }

    #[test]
    fn logarithmic_marks_are_powers_of_ten_and_parts_of_few() {
        check(Scale::Log, 1.0, 32.0, &["1", "2", "5", "10", "20"]);
        check(Scale::Log, 1e3, 1e5, &["1k", "2k", "5k", "10k", "20k", "50k", "100k"]);
        check(Scale::Log, 0.01, 1e4, &["0.01", "0.1", "1", "10", "100", "1k", "10k"]);
        check(Scale::Log, 0.001, 0.002, &["0.001", "0.002"]);
    }

    #[test]
    fn many_decades_have_few_marks() {
        let marks = Marks::new(Scale::Log, 1e-150, 1e150);
        assert!((4..=20).contains(&marks.places.len()), "{:?}", marks.places);
    }
}
