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
}
