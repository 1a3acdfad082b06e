//! `/health`, `/version` and `/mlflow/server-info`: the routes that need no store.

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::call::{json, text};

/// The release of MLflow whose API this is.
pub const MLFLOW_VERSION: &str = "3.18.0";

const CAIRN_VERSION: HeaderName = HeaderName::from_static("x-cairn-version");

pub(crate) fn health() -> Response {
    text(StatusCode::OK, "OK")
}

/// MLflow's version as the text; Cairn's own in a header.
pub(crate) fn version() -> Response {
    let mut response = text(StatusCode::OK, MLFLOW_VERSION);
    let cairn = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));
    response.headers_mut().insert(CAIRN_VERSION, cairn);
    response
}

/// What MLflow's pages ask before they report how they are used: nothing is collected.
pub(crate) fn telemetry() -> Response {
    #[derive(Serialize)]
    #[expect(clippy::struct_field_names, reason = "MLflow's names")]
    struct Telemetry {
        disable_ui_events: [(); 0],
        disable_ui_telemetry: bool,
        ui_rollout_percentage: u8,
    }
    json(&Telemetry { disable_ui_events: [], disable_ui_telemetry: true, ui_rollout_percentage: 0 })
        .unwrap_or_else(axum::response::IntoResponse::into_response)
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "MLflow's message is a list of flags")]
struct ServerInfo {
    store_type: &'static str,
    workspaces_enabled: bool,
    trace_archival_enabled: bool,
    multipart_uploads_enabled: bool,
    multipart_downloads_enabled: bool,
    artifact_serving_enabled: bool,
    presigned_upload_run_id_supported: bool,
    presigned_upload_model_id_supported: bool,
    model_artifact_presigned_downloads_supported: bool,
    features_enabled: Features,
    tracking_auth: &'static str,
    artifacts_presigned_only: bool,
}

#[derive(Serialize)]
struct Features {
    gateway: bool,
    scheduled_issue_detection: bool,
}

/// What clients ask before the first upload: files go through this server, whole.
pub(crate) fn server_info() -> Response {
    json(&ServerInfo {
        store_type: "SqlStore",
        workspaces_enabled: false,
        trace_archival_enabled: false,
        multipart_uploads_enabled: false,
        multipart_downloads_enabled: false,
        artifact_serving_enabled: true,
        presigned_upload_run_id_supported: false,
        presigned_upload_model_id_supported: false,
        model_artifact_presigned_downloads_supported: false,
        features_enabled: Features { gateway: false, scheduled_issue_detection: false },
        tracking_auth: "",
        artifacts_presigned_only: false,
    })
    .unwrap_or_else(axum::response::IntoResponse::into_response)
}
