//! Charts: the lines of many runs in one answer, and the same as a file.

pub mod dto;
mod names;
mod lines;

pub use lines::lines;
pub use names::MetricNames;

use crate::{app::App, dto::CommandError, errors};
use dto::{ChartRequest, ChartSeries};

pub(crate) async fn series(app: &App, args: ChartRequest) -> Result<ChartSeries, CommandError> {
    let store = app.store()?;
    tokio::task::spawn_blocking(move || lines(&store, &args)).await.map_err(errors::internal)?
}
