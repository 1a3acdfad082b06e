//! Why there is no chart.

/// What a specification asks for that cannot be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChartError {
    /// No series has a finite point.
    #[error("The chart “{title}” has no points to draw.")]
    NoPoints {
        /// The chart's title.
        title: String,
    },
    /// A logarithmic axis has no place for the value.
    #[error(
        "{value} of “{series}” has no place on the logarithmic axis “{axis}”: only values above 0 have."
    )]
    NotPositive {
        /// The series' name.
        series: String,
        /// The axis' label.
        axis: String,
        /// The value.
        value: f64,
    },
    /// The drawing library refused.
    #[error("The chart “{title}” could not be drawn: {reason}")]
    Drawing {
        /// The chart's title.
        title: String,
        /// The library's words.
        reason: String,
    },
    /// The picture is smaller or larger than pictures are.
    #[error(
        "A picture of {width} × {height} pixels cannot be drawn: 200 × 150 to 8000 × 8000 can."
    )]
    Size {
        /// Pixels from left to right.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
    },
    /// A drawing could not become pixels.
    #[error("The picture could not be made: {reason}")]
    Png {
        /// The library's words.
        reason: String,
    },
}
