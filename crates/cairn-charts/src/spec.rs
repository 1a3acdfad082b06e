//! What a chart shows.

/// Lines over two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// Stands above the chart, and is its name for a screen reader.
    pub title: String,
    /// What the chart shows, for those who do not see it; may be empty.
    pub description: String,
    /// The axis from left to right.
    pub x: Axis,
    /// The axis from bottom to top.
    pub y: Axis,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
}

/// An axis; its range is that of all points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What is measured along it, with its unit.
    pub label: String,
    /// How values become places.
    pub scale: Scale,
}

impl Axis {
    /// Equal differences are equally far apart.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear }
    }

    /// Equal ratios are equally far apart; for values above 0 only.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log }
    }
}

/// How values become places on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// In proportion to the value.
    Linear,
    /// In proportion to its logarithm.
    Log,
}

impl Scale {
    /// The place of a value, in units that grow evenly along the axis.
    pub(crate) fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
        }
    }

    /// Whether a value has a place.
    pub(crate) fn has(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points (x, y), joined in this order. A point with NaN or an infinity is a gap.
    pub points: Vec<(f64, f64)>,
}
