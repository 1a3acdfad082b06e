//! The window's colours, as pictures take them.

/// Red, green and blue.
pub(crate) type Rgb = (u8, u8, u8);

/// What a picture is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Light ground.
    #[default]
    Light,
    /// Dark ground.
    Dark,
}

/// The colours of series in the window, in its order: light ground, dark ground. Told apart by
/// colour-blind readers. Source: `ui/src/lib/plot/palette.ts`, whose test compares the two.
const SERIES: [(Rgb, Rgb); 8] = [
    ((0x27, 0x81, 0xef), (0x8c, 0xc9, 0xfa)),
    ((0x92, 0x0f, 0x01), (0xf0, 0x6c, 0x4c)),
    ((0x99, 0x8f, 0x27), (0xc2, 0xbf, 0x18)),
    ((0x67, 0x35, 0x67), (0xaf, 0x70, 0xa1)),
    ((0xc3, 0x5e, 0x7f), (0xf1, 0x97, 0xb4)),
    ((0x1b, 0x43, 0x9a), (0x42, 0x81, 0xe5)),
    ((0x96, 0x60, 0x30), (0xff, 0xca, 0x87)),
    ((0x7b, 0x62, 0xa9), (0xa5, 0x94, 0xfd)),
];

/// Colours that follow each other before they begin anew.
pub const SERIES_COLORS: usize = SERIES.len();

/// Steps from few to many, light ground: one hue that gets darker, so that it holds in grey as well.
const RAMP_LIGHT: [Rgb; 5] =
    [(238, 243, 250), (184, 210, 241), (108, 166, 229), (39, 110, 196), (16, 50, 112)];
/// The same on dark ground, where more is lighter.
const RAMP_DARK: [Rgb; 5] =
    [(33, 38, 46), (32, 62, 104), (42, 102, 173), (98, 160, 230), (208, 229, 252)];

impl Theme {
    fn pick<T>(self, light: T, dark: T) -> T {
        match self {
            Self::Light => light,
            Self::Dark => dark,
        }
    }

    /// The ground.
    pub(crate) fn surface(self) -> Rgb {
        self.pick((254, 253, 252), (26, 25, 23))
    }

    /// Titles and names.
    pub(crate) fn text(self) -> Rgb {
        self.pick((35, 33, 29), (234, 232, 227))
    }

    /// Marks of the axes.
    pub(crate) fn faint_text(self) -> Rgb {
        self.pick((104, 102, 96), (158, 155, 150))
    }

    /// The grid.
    pub(crate) fn grid(self) -> Rgb {
        self.pick((222, 220, 216), (48, 47, 44))
    }

    /// The lines of the axes.
    pub(crate) fn axis(self) -> Rgb {
        self.pick((136, 134, 129), (119, 116, 111))
    }

    /// The colour of a series by its number.
    pub(crate) fn series(self, at: usize) -> Rgb {
        let (light, dark) = SERIES[at % SERIES.len()];
        self.pick(light, dark)
    }

    /// The colour of a part, 0 to 1, on the way from few to many.
    pub(crate) fn ramp(self, part: f64) -> Rgb {
        let steps = self.pick(RAMP_LIGHT, RAMP_DARK);
        let place = part.clamp(0.0, 1.0) * (steps.len() - 1) as f64;
        let below = (place.floor() as usize).min(steps.len() - 2);
        let share = place - below as f64;
        let mix =
            |from: u8, to: u8| (f64::from(from) * (1.0 - share) + f64::from(to) * share) as u8;
        let (from, to) = (steps[below], steps[below + 1]);
        (mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    }
}

/// The number of the colour that the window gives a run: the same everywhere and always.
///
/// Source: `seriesColor` in `ui/src/lib/plot/palette.ts`, FNV-1a over the id's letters.
pub fn color_of_run(run_id: &str) -> usize {
    let hash = run_id
        .encode_utf16()
        .fold(0x811c_9dc5_u32, |hash, unit| (hash ^ u32::from(unit)).wrapping_mul(0x0100_0193));
    hash as usize % SERIES.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let luminance = |(red, green, blue): Rgb| {
            let part = |byte: u8| {
                let share = f64::from(byte) / 255.0;
                if share <= 0.03928 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue)
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_and_lines_stand_out_on_both_grounds() {
        for theme in [Theme::Light, Theme::Dark] {
            let ground = theme.surface();
            assert!(contrast(theme.text(), ground) >= 7.0);
            assert!(contrast(theme.faint_text(), ground) >= 4.5);
            for at in 0..SERIES_COLORS {
                assert!(contrast(theme.series(at), ground) >= 3.0, "{theme:?} {at}");
            }
        }
    }

    #[test]
    fn the_colours_are_those_of_the_window() {
        let palette = include_str!("../../../ui/src/lib/plot/palette.ts");
        for (light, dark) in SERIES {
            let hex = |(r, g, b): Rgb| format!("#{r:02x}{g:02x}{b:02x}");
            let line = format!("light: \"{}\", dark: \"{}\"", hex(light), hex(dark));
            assert!(palette.contains(&line), "{line}");
        }
    }

    #[test]
    fn runs_have_the_colours_of_the_window() {
        // FNV-1a of the empty text and of "a" are known: 0x811c9dc5 and 0xe40c292c.
        assert_eq!(color_of_run(""), 0x811c_9dc5_usize % 8);
        assert_eq!(color_of_run("a"), 0xe40c_292c_usize % 8);
    }

    #[test]
    fn a_ramp_goes_one_way() {
        for theme in [Theme::Light, Theme::Dark] {
            let contrasts: Vec<f64> = (0..=20)
                .map(|at| contrast(theme.ramp(f64::from(at) / 20.0), theme.surface()))
                .collect();
            assert!(contrasts.is_sorted(), "{contrasts:?}");
        }
    }
}
