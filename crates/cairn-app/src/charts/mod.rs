//! Charts: the lines of many runs in one answer, and the same as a file.

pub mod dto;
mod names;
mod lines;
mod files;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

pub use files::{extension, file, file_name, for_picture};
pub use lines::lines;
pub use names::MetricNames;

use crate::{
    app::{App, Pick},
    dto::{CommandError, ErrorCode},
    errors,
};
use dto::{ChartExport, ChartFile, ChartFormat, ChartRequest, ChartSeries};

pub(crate) async fn series(app: &App, args: ChartRequest) -> Result<ChartSeries, CommandError> {
    let store = app.store()?;
    tokio::task::spawn_blocking(move || lines(&store, &args)).await.map_err(errors::internal)?
}

pub(crate) async fn export(app: &App, args: ChartExport) -> Result<ChartFile, CommandError> {
    let store = app.store()?;
    if args.save && !app.inner.host.has_native_dialogs() {
        return Err(CommandError::new(
            ErrorCode::Unsupported,
            "The system's dialogs cannot be opened from a browser",
        )
        .with_hint("Let the browser save the file instead."));
    }
    let (name, format) = (file_name(&args.request, &args.picture, args.format), args.format);
    let made = tokio::task::spawn_blocking(move || {
        let request = for_picture(&args.request, &args.picture);
        let chart = lines(&store, &request)?;
        file(&chart, &request, &args.picture, args.format)
    });
    let bytes = made.await.map_err(errors::internal)??;
    let mut answer = ChartFile { name, mime: files::mime(format).into(), base64: None, path: None };
    if !args.save {
        answer.base64 = Some(BASE64.encode(bytes));
        return Ok(answer);
    }
    // The drawing first: what cannot be drawn is told before a place is asked for.
    let pick = match format {
        ChartFormat::Svg => Pick::SaveSvg,
        ChartFormat::Png => Pick::SavePng,
        ChartFormat::Csv => Pick::SaveCsv,
    };
    let Some(mut path) = app.inner.host.pick(pick).await else { return Ok(answer) };
    if path.extension().is_none() {
        path.set_extension(extension(format));
    }
    let shown = path.display().to_string();
    answer.path = Some(shown.clone());
    let written = tokio::task::spawn_blocking(move || std::fs::write(path, bytes)).await;
    written.map_err(errors::internal)?.map_err(|error| {
        CommandError::new(
            ErrorCode::InvalidInput,
            format!("The chart cannot be written to {shown}"),
        )
        .with_hint(format!("The system says: {error}. Choose another place."))
    })?;
    Ok(answer)
}
