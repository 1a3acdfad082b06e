//! SVG as PNG, with the letters that come with this crate.

use std::sync::{Arc, LazyLock};

use resvg::{tiny_skia, usvg};

use crate::ChartError;

const REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.ttf");
const SEMIBOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.ttf");
/// The family's name in the files.
const FAMILY: &str = "Inter";

static OWN: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| Arc::new(own_fonts()));
/// The own fonts and the system's, which takes a moment to read.
static ALL: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = own_fonts();
    fonts.load_system_fonts();
    Arc::new(fonts)
});

fn own_fonts() -> usvg::fontdb::Database {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(SEMIBOLD.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    fonts
}

/// Draws an SVG document as PNG, `scale` pixels for each of its own.
///
/// Texts are written in Inter. Letters that it does not have (Chinese, Arabic …) are taken from the fonts
/// of this computer; where there are none, they are missing.
///
/// Errors: [`ChartError::Png`] with the reason.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, ChartError> {
    let failed = |reason: &dyn std::fmt::Display| ChartError::Png { reason: reason.to_string() };
    let needs_others = svg.chars().any(|letter| !is_own(letter));
    let fonts = if needs_others { ALL.clone() } else { OWN.clone() };
    let options = usvg::Options {
        fontdb: fonts,
        font_family: FAMILY.to_owned(),
        // Nothing outside of the document is read.
        image_href_resolver: usvg::ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|_, _| None),
        },
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| failed(&error))?;
    let size = tree.size();
    let (width, height) = ((size.width() * scale).round(), (size.height() * scale).round());
    let mut pixels = tiny_skia::Pixmap::new(width as u32, height as u32)
        .ok_or_else(|| failed(&format!("{width} × {height} pixels are no size")))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(&error))
}

/// Whether the own fonts have a letter: Latin, Greek, Cyrillic and the signs that charts use. See
/// `fonts/README.md`.
fn is_own(letter: char) -> bool {
    matches!(letter,
        '\0'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{400}'..='\u{45f}' | '\u{2010}'..='\u{2027}'
        | '\u{202f}' | '\u{2030}' | '\u{2044}' | '\u{20ac}' | '\u{2190}'..='\u{2193}' | '\u{2206}'
        | '\u{2211}'..='\u{2212}' | '\u{221a}' | '\u{221e}' | '\u{2248}' | '\u{2260}'
        | '\u{2264}'..='\u{2265}' | '\u{2713}' | '\u{2717}')
}
