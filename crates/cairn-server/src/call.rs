//! One request to MLflow's API, as its handler sees it.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use cairn_store::Store;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::Value;

use crate::{body, error::ApiError, fields::Fields, query};

/// What a handler answers.
pub(crate) type Answer = Result<Response, ApiError>;

/// A request whose body was read.
#[derive(Debug)]
pub(crate) struct Call {
    /// The store that is open now.
    pub(crate) store: Store,
    /// The variable parts of the path, in its order, percent-decoded once.
    pub(crate) path: Vec<String>,
    source: Source,
}

/// Where a request has its fields.
#[derive(Debug)]
enum Source {
    Query(String),
    Body(Bytes),
}

impl Call {
    /// Reads what belongs to a request.
    ///
    /// GET has its fields in the query, or in a body when there is no query; all others in a JSON
    /// body only.
    pub(crate) async fn read(
        store: Store,
        path: Vec<String>,
        (method, uri, headers, body): (&Method, &Uri, &HeaderMap, Body),
        limit: usize,
    ) -> Result<Self, ApiError> {
        if *method == Method::GET || *method == Method::HEAD {
            if let Some(query) = uri.query().filter(|query| !query.is_empty()) {
                let source = Source::Query(query.to_owned());
                return Ok(Self { store, path, source });
            }
            let bytes = body::read(headers, body, limit).await?;
            return Ok(Self { store, path, source: Source::Body(body::unwrap_text(bytes)) });
        }
        // Before anything is read: a form or a text is refused whatever it holds.
        let has_body = body::declared_length(headers) != Some(0)
            && (headers.contains_key(header::CONTENT_LENGTH)
                || headers.contains_key(header::TRANSFER_ENCODING)
                || headers.contains_key(header::CONTENT_TYPE));
        if has_body {
            body::require_json(headers)?;
        }
        let bytes = body::read(headers, body, limit).await?;
        if !bytes.is_empty() {
            body::require_json(headers)?;
        }
        Ok(Self { store, path, source: Source::Body(body::unwrap_text(bytes)) })
    }

    /// The fields of the request.
    pub(crate) fn fields(&self) -> Result<Fields<'_>, ApiError> {
        match &self.source {
            Source::Query(query) => Ok(Fields::from_query(query)),
            Source::Body(bytes) => Fields::from_body(bytes),
        }
    }

    /// The request as one JSON object; in a query string, `variables` holds JSON.
    pub(crate) fn value(&self) -> Result<Value, ApiError> {
        let no_json =
            |error| ApiError::invalid(format!("Bad Request. The body is no valid JSON: {error}."));
        let value = match &self.source {
            Source::Body(bytes) => serde_json::from_slice(bytes).map_err(no_json)?,
            Source::Query(query) => query::pairs(query)
                .map(|(name, value)| {
                    let value = match &*name {
                        "variables" => serde_json::from_str(&value).map_err(no_json)?,
                        _ => Value::String(value.into_owned()),
                    };
                    Ok((name.into_owned(), value))
                })
                .collect::<Result<_, ApiError>>()?,
        };
        match value {
            Value::Object(_) => Ok(value),
            _ => Err(ApiError::invalid("Bad Request. The body must be a JSON object.")),
        }
    }
}

/// A 200 answer with JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Answer {
    let text = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        ApiError::new(crate::error::ErrorCode::InternalError, "The answer could not be written.")
    })?;
    Ok(json_response(Bytes::from(text)))
}

/// The answer `{}`.
#[expect(clippy::unnecessary_wraps, reason = "the last expression of handlers, like `json`")]
pub(crate) fn done() -> Answer {
    Ok(json_response(Bytes::from_static(b"{}")))
}

fn json_response(text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A plain text answer.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
