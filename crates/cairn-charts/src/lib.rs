//! Charts without a window: a specification and series in, SVG out.
//!
//! The pictures are for documents: text stays text, each has a title and a description that a screen
//! reader finds, lines differ by colour and by the shape of their points, and the colours follow the
//! reader's light or dark background. The same specification always gives the same bytes.

mod spec;
mod ticks;
mod palette;
mod svg;
mod error;

pub use error::ChartError;
pub use spec::{Axis, LineChart, Scale, Series};
pub use svg::svg;
