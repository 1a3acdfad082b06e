//! The routes: one table, from which the router is built and which the tests walk.

use std::{pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts as _, RawPathParams, Request, State},
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use http::{HeaderMap, HeaderName, Method};

use crate::{
    artifacts::{self, RawCall},
    body::{BATCH_LIMIT, JSON_LIMIT},
    call::{Answer, Call},
    error::{ApiError, ErrorCode},
    experiments,
    graphql::{self, GRAPHQL_LIMIT},
    logged_models, metrics, model_versions, registered_models, runs,
    server::Shared,
    status,
};

/// Which workspace a client means; only sent by those that were told one.
const WORKSPACE: HeaderName = HeaderName::from_static("x-mlflow-workspace");

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Under which prefixes a route lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/api/2.0` and `/ajax-api/2.0`.
    V2,
    /// `/ajax-api/2.0` only, as in MLflow.
    AjaxV2,
    /// `/api/3.0` and `/ajax-api/3.0`.
    V3,
    /// `/ajax-api/3.0` only.
    AjaxV3,
    /// No prefix.
    Root,
}

impl Place {
    /// The prefixes.
    pub fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::V2 => &["/api/2.0", "/ajax-api/2.0"],
            Self::AjaxV2 => &["/ajax-api/2.0"],
            Self::V3 => &["/api/3.0", "/ajax-api/3.0"],
            Self::AjaxV3 => &["/ajax-api/3.0"],
            Self::Root => &[""],
        }
    }
}

/// How much of MLflow's clients needs a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The Python client calls it.
    Client,
    /// MLflow's web pages or scripts of users call it.
    Others,
}

/// What answers a route.
#[derive(Clone, Copy)]
enum Handler {
    /// Gets the request with its body read, of at most so many bytes.
    Json(usize, fn(Call) -> Answering),
    /// Gets the request with its body still to be read.
    Raw(fn(RawCall) -> Answering),
    /// Needs neither a store nor the request.
    Fixed(fn() -> Response),
}

/// A route of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its method. GET also answers HEAD.
    pub method: &'static Method,
    /// Where it lies.
    pub place: Place,
    /// Its path below the prefix; `{name}` is one part, `{*name}` the rest.
    pub path: &'static str,
    /// Who needs it.
    pub tier: Tier,
    handler: Handler,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.method, self.place, self.path)
    }
}

const DELETE: &Method = &Method::DELETE;
const GET: &Method = &Method::GET;
const PATCH: &Method = &Method::PATCH;
const POST: &Method = &Method::POST;
const PUT: &Method = &Method::PUT;

/// A route that the Python client needs.
const fn client(method: &'static Method, path: &'static str, handler: Handler) -> Route {
    Route { method, place: Place::V2, path, tier: Tier::Client, handler }
}

/// A route that others need.
const fn others(method: &'static Method, path: &'static str, handler: Handler) -> Route {
    Route { method, place: Place::V2, path, tier: Tier::Others, handler }
}

/// The same route elsewhere.
const fn at(place: Place, route: Route) -> Route {
    Route { place, ..route }
}

macro_rules! json {
    ($handler:path) => {
        Handler::Json(JSON_LIMIT, |call| Box::pin($handler(call)))
    };
    ($handler:path, $limit:expr) => {
        Handler::Json($limit, |call| Box::pin($handler(call)))
    };
}

macro_rules! raw {
    ($handler:path) => {
        Handler::Raw(|call| Box::pin($handler(call)))
    };
}

/// All routes.
pub const ROUTES: &[Route] = &[
    client(POST, "/mlflow/experiments/create", json!(experiments::create)),
    client(GET, "/mlflow/experiments/get", json!(experiments::get)),
    client(GET, "/mlflow/experiments/get-by-name", json!(experiments::get_by_name)),
    client(POST, "/mlflow/experiments/search", json!(experiments::search)),
    client(GET, "/mlflow/experiments/search", json!(experiments::search)),
    client(POST, "/mlflow/experiments/update", json!(experiments::update)),
    client(POST, "/mlflow/experiments/delete", json!(experiments::delete)),
    client(POST, "/mlflow/experiments/restore", json!(experiments::restore)),
    client(POST, "/mlflow/experiments/set-experiment-tag", json!(experiments::set_tag)),
    client(POST, "/mlflow/experiments/delete-experiment-tag", json!(experiments::delete_tag)),
    at(
        Place::AjaxV2,
        others(POST, "/mlflow/experiments/search-datasets", json!(experiments::search_datasets)),
    ),
    client(POST, "/mlflow/runs/create", json!(runs::create)),
    client(GET, "/mlflow/runs/get", json!(runs::get)),
    client(POST, "/mlflow/runs/update", json!(runs::update)),
    client(POST, "/mlflow/runs/delete", json!(runs::delete)),
    client(POST, "/mlflow/runs/restore", json!(runs::restore)),
    client(POST, "/mlflow/runs/log-metric", json!(runs::log_metric)),
    client(POST, "/mlflow/runs/log-parameter", json!(runs::log_parameter)),
    client(POST, "/mlflow/runs/log-batch", json!(runs::log_batch, BATCH_LIMIT)),
    client(POST, "/mlflow/runs/set-tag", json!(runs::set_tag)),
    client(POST, "/mlflow/runs/delete-tag", json!(runs::delete_tag)),
    client(POST, "/mlflow/runs/search", json!(runs::search)),
    // A dataset's profile alone may have 16 million characters.
    client(POST, "/mlflow/runs/log-inputs", json!(runs::log_inputs, BATCH_LIMIT)),
    client(POST, "/mlflow/runs/outputs", json!(runs::log_outputs)),
    others(POST, "/mlflow/runs/log-model", json!(runs::log_model)),
    client(GET, "/mlflow/metrics/get-history", json!(metrics::get_history)),
    at(
        Place::AjaxV2,
        others(GET, "/mlflow/metrics/get-history-bulk", json!(metrics::get_history_bulk)),
    ),
    others(
        GET,
        "/mlflow/metrics/get-history-bulk-interval",
        json!(metrics::get_history_bulk_interval),
    ),
    client(GET, "/mlflow-artifacts/artifacts", raw!(artifacts::list)),
    client(GET, "/mlflow-artifacts/artifacts/", raw!(artifacts::list)),
    client(GET, "/mlflow-artifacts/artifacts/{*path}", raw!(artifacts::get)),
    client(PUT, "/mlflow-artifacts/artifacts/{*path}", raw!(artifacts::put)),
    others(DELETE, "/mlflow-artifacts/artifacts/{*path}", raw!(artifacts::delete)),
    others(POST, "/mlflow-artifacts/mpu/create/{*path}", raw!(artifacts::no_parts)),
    others(POST, "/mlflow-artifacts/mpu/complete/{*path}", raw!(artifacts::no_parts)),
    others(POST, "/mlflow-artifacts/mpu/abort/{*path}", raw!(artifacts::no_parts)),
    others(GET, "/mlflow-artifacts/presigned/{*path}", raw!(artifacts::no_parts)),
    others(POST, "/mlflow/artifacts/presigned-upload-url", json!(artifacts::no_presigned_url)),
    others(POST, "/mlflow/artifacts/presigned-download-url", json!(artifacts::no_presigned_url)),
    others(GET, "/mlflow/artifacts/list", json!(artifacts::list_of_run)),
    at(Place::AjaxV2, others(POST, "/mlflow/upload-artifact", raw!(artifacts::upload_to_run))),
    at(Place::Root, others(GET, "/get-artifact", raw!(artifacts::get_of_run))),
    at(
        Place::Root,
        others(GET, "/model-versions/get-artifact", raw!(model_versions::get_artifact)),
    ),
    at(
        Place::AjaxV2,
        others(
            GET,
            "/mlflow/logged-models/{model_id}/artifacts/files",
            raw!(logged_models::get_artifact),
        ),
    ),
    client(POST, "/mlflow/logged-models", json!(logged_models::create)),
    client(POST, "/mlflow/logged-models/search", json!(logged_models::search)),
    client(GET, "/mlflow/logged-models/{model_id}", json!(logged_models::get)),
    client(PATCH, "/mlflow/logged-models/{model_id}", json!(logged_models::finalize)),
    client(DELETE, "/mlflow/logged-models/{model_id}", json!(logged_models::delete)),
    client(PATCH, "/mlflow/logged-models/{model_id}/tags", json!(logged_models::set_tags)),
    client(
        DELETE,
        "/mlflow/logged-models/{model_id}/tags/{*key}",
        json!(logged_models::delete_tag),
    ),
    client(POST, "/mlflow/logged-models/{model_id}/params", json!(logged_models::log_params)),
    others(
        GET,
        "/mlflow/logged-models/{model_id}/artifacts/directories",
        json!(logged_models::list_artifacts),
    ),
    client(POST, "/mlflow/registered-models/create", json!(registered_models::create)),
    client(GET, "/mlflow/registered-models/get", json!(registered_models::get)),
    client(POST, "/mlflow/registered-models/rename", json!(registered_models::rename)),
    client(PATCH, "/mlflow/registered-models/update", json!(registered_models::update)),
    client(DELETE, "/mlflow/registered-models/delete", json!(registered_models::delete)),
    client(GET, "/mlflow/registered-models/search", json!(registered_models::search)),
    client(
        POST,
        "/mlflow/registered-models/get-latest-versions",
        json!(registered_models::latest_versions),
    ),
    client(
        GET,
        "/mlflow/registered-models/get-latest-versions",
        json!(registered_models::latest_versions),
    ),
    client(POST, "/mlflow/registered-models/set-tag", json!(registered_models::set_tag)),
    client(DELETE, "/mlflow/registered-models/delete-tag", json!(registered_models::delete_tag)),
    client(POST, "/mlflow/registered-models/alias", json!(registered_models::set_alias)),
    client(GET, "/mlflow/registered-models/alias", json!(registered_models::get_alias)),
    client(DELETE, "/mlflow/registered-models/alias", json!(registered_models::delete_alias)),
    client(POST, "/mlflow/model-versions/create", json!(model_versions::create)),
    client(GET, "/mlflow/model-versions/get", json!(model_versions::get)),
    client(PATCH, "/mlflow/model-versions/update", json!(model_versions::update)),
    client(DELETE, "/mlflow/model-versions/delete", json!(model_versions::delete)),
    client(GET, "/mlflow/model-versions/search", json!(model_versions::search)),
    client(GET, "/mlflow/model-versions/get-download-uri", json!(model_versions::download_uri)),
    client(POST, "/mlflow/model-versions/transition-stage", json!(model_versions::set_stage)),
    client(POST, "/mlflow/model-versions/set-tag", json!(model_versions::set_tag)),
    client(DELETE, "/mlflow/model-versions/delete-tag", json!(model_versions::delete_tag)),
    at(Place::V3, client(GET, "/mlflow/server-info", Handler::Fixed(status::server_info))),
    at(Place::AjaxV3, others(GET, "/mlflow/ui-telemetry", Handler::Fixed(status::telemetry))),
    at(Place::AjaxV3, others(POST, "/mlflow/ui-telemetry", Handler::Fixed(status::telemetry))),
    at(Place::Root, others(GET, "/graphql", json!(graphql::answer, GRAPHQL_LIMIT))),
    at(Place::Root, others(POST, "/graphql", json!(graphql::answer, GRAPHQL_LIMIT))),
    at(Place::Root, client(GET, "/health", Handler::Fixed(status::health))),
    at(Place::Root, client(GET, "/version", Handler::Fixed(status::version))),
];

/// The parts of MLflow that have routes there and none here.
const NOT_HERE: &[&str] = &[
    "assistant",
    "datasets",
    "demo",
    "gateway",
    "gateway-proxy",
    "genai",
    "get-online-trace-details",
    "get-trace-artifact",
    "issues",
    "jobs",
    "label-schemas",
    "prompt-optimization",
    "review-queues",
    "scorer",
    "scorers",
    "traces",
    "unified-traces",
    "webhooks",
    "workspaces",
];

/// The router of MLflow's API, without the guard.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router: Router<Arc<Shared>> = Router::new();
    for route in ROUTES {
        for prefix in route.place.prefixes() {
            router = router.route(&format!("{prefix}{}", route.path), endpoint(route));
        }
    }
    router
        .fallback(async |request: Request| unknown(request.uri().path()).into_response())
        .method_not_allowed_fallback(async || {
            ApiError::new(
                ErrorCode::MethodNotAllowed,
                "This route exists, but not for this method.",
            )
            .into_response()
        })
        .with_state(shared)
}

fn endpoint(route: &'static Route) -> MethodRouter<Arc<Shared>> {
    let filter = MethodFilter::try_from(route.method.clone()).expect("a method of the table");
    on(filter, move |State(shared): State<Arc<Shared>>, request: Request| async move {
        answer(route, &shared, request).await.unwrap_or_else(|error| {
            if error.code.status().is_server_error() {
                tracing::warn!(
                    route = route.path,
                    code = error.code.as_str(),
                    message = error.message,
                    "a request failed"
                );
            }
            error.into_response()
        })
    })
}

async fn answer(route: &Route, shared: &Shared, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    require_default_workspace(&parts.headers)?;
    let path = if route.path.contains('{') { path_values(&mut parts).await? } else { Vec::new() };
    match route.handler {
        Handler::Fixed(handler) => Ok(handler()),
        Handler::Json(limit, handler) => {
            let request = (&parts.method, &parts.uri, &parts.headers, body);
            handler(Call::read(shared.store()?, path, request, limit).await?).await
        }
        Handler::Raw(handler) => {
            let call = RawCall {
                store: shared.store()?,
                disk: shared.disk.clone(),
                path: path.into_iter().next().unwrap_or_default(),
                query: parts.uri.query().map(str::to_owned),
                headers: parts.headers,
                body,
            };
            handler(call).await
        }
    }
}

/// Refuses a request for another workspace: it must not land in the only one there is.
fn require_default_workspace(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(WORKSPACE) {
        Some(name) if name.as_bytes() != b"default" => Err(ApiError::new(
            ErrorCode::NotImplemented,
            "Cairn has no workspaces but 'default'. Unset MLFLOW_WORKSPACE.",
        )),
        _ => Ok(()),
    }
}

/// The variable parts of the path, in order, percent-decoded once.
async fn path_values(parts: &mut http::request::Parts) -> Result<Vec<String>, ApiError> {
    let values = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| ApiError::invalid("Invalid path"))?;
    Ok(values.iter().map(|(_, value)| value.to_owned()).collect())
}

/// The answer where there is no route. It does not repeat the path.
fn unknown(path: &str) -> ApiError {
    let below = [Place::V2, Place::V3]
        .iter()
        .flat_map(|place| place.prefixes())
        .find_map(|prefix| path.strip_prefix(prefix));
    if let Some(below) = below {
        let area = below.strip_prefix("/mlflow/").and_then(|rest| rest.split('/').next());
        if area.is_some_and(|area| NOT_HERE.contains(&area)) {
            return ApiError::new(
                ErrorCode::NotImplemented,
                "Cairn keeps experiments, runs, artifacts and models. It has no traces, gateway, \
                 evaluation jobs, webhooks or workspaces.",
            );
        }
    }
    ApiError::new(ErrorCode::EndpointNotFound, "There is no such route.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_routes_say_what_they_would_be() {
        for (path, code) in [
            ("/api/3.0/mlflow/traces/search", ErrorCode::NotImplemented),
            ("/ajax-api/2.0/mlflow/gateway-proxy", ErrorCode::NotImplemented),
            ("/api/2.0/mlflow/nothing", ErrorCode::EndpointNotFound),
            ("/api/2.0/preview/mlflow/runs/get", ErrorCode::EndpointNotFound),
            ("/", ErrorCode::EndpointNotFound),
        ] {
            assert_eq!(unknown(path).code, code, "{path}");
        }
    }
}
