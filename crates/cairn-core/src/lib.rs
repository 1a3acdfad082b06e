//! What Cairn is about, without any I/O: ids, metric values, limits and their error texts, the
//! filter language, formulas over metrics, and the arithmetic of series.
//!
//! This crate depends on no runtime and no database, so that every rule in it can be tested by
//! calling a function.

pub mod error;
pub mod filter;
pub mod formula;
pub mod ids;
pub mod limits;
pub mod metric;
pub mod artifact_path;
pub mod names;
pub mod run;
pub mod series;
pub mod time;

pub use artifact_path::ArtifactPath;
pub use error::{Invalid, Span};
pub use ids::{ExperimentId, LoggedModelId, RunId};
pub use metric::{MetricPoint, MetricValue};
pub use run::{LifecycleStage, RunStatus, ViewType};
pub use time::UnixMillis;
