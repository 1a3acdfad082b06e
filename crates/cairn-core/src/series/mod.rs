//! The arithmetic of series: from what was logged to what a chart draws.
//!
//! In the order of a chart: [`place`] puts points on an x axis, [`Smoothing`] smooths them, [`group`]
//! makes one line with a band of many, and [`reduce`] and [`reduce_by_x`] leave what a screen can
//! show. [`statistics`] tells about a range, and [`outlier_bounds`] where the most of all values lie.
//!
//! What is not finite is never drawn through: NaN breaks a line, and infinities stand apart.

mod points;
mod smooth;
mod group;
mod reduce;
mod stats;

pub use group::{Alignment, Band, Center, Grouped, Line, group};
pub use points::{Placed, Points, XAxis, is_lower_better, place};
pub use reduce::{Window, reduce, reduce_by_x};
pub use smooth::Smoothing;
pub use stats::{Statistics, outlier_bounds, quantile, statistics};
