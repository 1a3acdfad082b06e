//! Colours for light and dark backgrounds. A chart is drawn in the light ones; a style sheet in it
//! replaces each by its partner where the reader's background is dark.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// A colour on a light background, and the one that takes its place on a dark one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub light: (u8, u8, u8),
    dark: (u8, u8, u8),
}

/// Title and names.
pub(crate) const TEXT: Pair = Pair { light: (31, 35, 40), dark: (230, 237, 243) };
/// Labels at the axes.
pub(crate) const LABEL: Pair = Pair { light: (89, 99, 110), dark: (145, 152, 161) };
/// Lines of the grid.
pub(crate) const GRID: Pair = Pair { light: (216, 222, 228), dark: (48, 54, 61) };
/// The lines of the axes.
pub(crate) const AXIS: Pair = Pair { light: (129, 139, 152), dark: (101, 108, 118) };

/// Colours of the series, in their order; told apart by colour-blind readers (after Okabe and Ito).
pub(crate) const SERIES: [Pair; 6] = [
    Pair { light: (0, 114, 178), dark: (86, 180, 233) },
    Pair { light: (193, 80, 0), dark: (255, 159, 64) },
    Pair { light: (0, 128, 96), dark: (46, 204, 153) },
    Pair { light: (170, 68, 136), dark: (229, 145, 196) },
    Pair { light: (120, 94, 0), dark: (240, 228, 66) },
    Pair { light: (84, 84, 160), dark: (163, 163, 240) },
];

impl Pair {
    /// The colour that the chart is drawn with.
    pub fn color(self) -> RGBColor {
        RGBColor(self.light.0, self.light.1, self.light.2)
    }

    /// The colour of the series at a place; they begin anew after the last one.
    pub fn of_series(at: usize) -> Self {
        SERIES[at % SERIES.len()]
    }
}

/// The style sheet that replaces the light colours where the background is dark.
pub(crate) fn style_sheet() -> String {
    let mut rules = String::new();
    for pair in [TEXT, LABEL, GRID, AXIS].iter().chain(&SERIES) {
        let (light, dark) = (hex(pair.light), hex(pair.dark));
        let _ =
            write!(rules, "[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    format!("@media(prefers-color-scheme:dark){{{rules}}}")
}

/// A colour as plotters writes it.
fn hex((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast of two colours, 1 to 21. Source: WCAG 2.2, relative luminance.
    fn contrast(a: (u8, u8, u8), b: (u8, u8, u8)) -> f64 {
        let luminance = |color: (u8, u8, u8)| {
            let part = |byte: u8| {
                let share = f64::from(byte) / 255.0;
                if share <= 0.03928 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(color.0) + 0.7152 * part(color.1) + 0.0722 * part(color.2)
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_and_lines_stand_out_on_both_backgrounds() {
        let (white, black) = ((255, 255, 255), (13, 17, 23));
        for (pair, least) in
            [(TEXT, 7.0), (LABEL, 4.5)].into_iter().chain(SERIES.map(|pair| (pair, 4.5)))
        {
            assert!(contrast(pair.light, white) >= least, "{pair:?} on white");
            assert!(contrast(pair.dark, black) >= least, "{pair:?} on black");
        }
    }

    #[test]
    fn every_colour_is_replaced_and_no_two_are_mixed_up() {
        let pairs: Vec<Pair> = [TEXT, LABEL, GRID, AXIS].into_iter().chain(SERIES).collect();
        for (at, pair) in pairs.iter().enumerate() {
            assert!(style_sheet().contains(&format!("[stroke=\"{}\"]", hex(pair.light))));
            assert!(pairs[..at].iter().all(|other| other.light != pair.light), "{pair:?}");
        }
    }
}
