//! Charts without a window: a specification and series in, SVG or PNG out.
//!
//! [`picture_svg`] draws a [`Chart`] of a chosen size in the window's colours: lines with bands, scatter,
//! bars, boxes, histograms, heat maps and parallel coordinates; [`png()`] makes pixels of it. [`svg()`]
//! draws a [`LineChart`] for documents, whose colours follow the reader's light or dark background.
//!
//! Text stays text in SVG, each picture has a title and a description that a screen reader finds, lines
//! differ by colour and by pattern or shape. The same specification always gives the same bytes.

mod plot;
mod theme;
mod picture;
mod scale;
mod canvas;
mod text;
mod png;
mod spec;
mod ticks;
mod palette;
mod svg;
mod error;

pub use error::ChartError;
pub use picture::picture_svg;
pub use plot::{Bar, Body, Chart, Curve, Dots, LineStyle, ParallelAxis, PlotAxis, Unit};
pub use png::png;
pub use spec::{Axis, LineChart, Scale, Series};
pub use svg::svg;
pub use theme::{SERIES_COLORS, Theme, color_of_run};
