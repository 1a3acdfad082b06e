//! The answer of a request that was not done: the only place that knows MLflow's error codes and
//! their HTTP statuses.

use std::io;

use axum::response::{IntoResponse, Response};
use cairn_core::Invalid;
use cairn_store::StoreError;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// MLflow's error codes, as far as they are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The input breaks a rule: 400.
    InvalidParameterValue,
    /// The input contradicts what is stored: 400.
    BadRequest,
    /// The name is taken: 400.
    ResourceAlreadyExists,
    /// What is named does not exist: 404.
    ResourceDoesNotExist,
    /// There is no such route: 404.
    EndpointNotFound,
    /// The route exists for other methods only: 405.
    MethodNotAllowed,
    /// A token is wanted, and this is not it: 401.
    Unauthenticated,
    /// The guard refused, or the store or a file may not be written: 403.
    PermissionDenied,
    /// The thing is in a state that forbids this.
    ///
    /// MLflow answers 500, which its client repeats for minutes although nothing can change; here
    /// it is 400. Clients read the code, not the status.
    InvalidState,
    /// The body is longer than the route takes: 413.
    RequestTooLarge,
    /// The client stopped sending: 408.
    RequestTimeout,
    /// The part of a file asked for lies beyond its end: 416.
    RangeNotSatisfiable,
    /// The disk is full.
    ///
    /// 507 and not MLflow's 429, because clients repeat 429 for minutes.
    ResourceExhausted,
    /// Damaged data: 507, which clients do not repeat.
    DataLoss,
    /// MLflow has it, Cairn or this file does not: 501.
    NotImplemented,
    /// Worth trying again: 503.
    TemporarilyUnavailable,
    /// A fault: 500.
    InternalError,
}

impl ErrorCode {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidParameterValue
            | Self::BadRequest
            | Self::ResourceAlreadyExists
            | Self::InvalidState => StatusCode::BAD_REQUEST,
            Self::ResourceDoesNotExist | Self::EndpointNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::ResourceExhausted | Self::DataLoss => StatusCode::INSUFFICIENT_STORAGE,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// MLflow's name of the code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameterValue | Self::RangeNotSatisfiable => "INVALID_PARAMETER_VALUE",
            Self::BadRequest | Self::MethodNotAllowed | Self::RequestTimeout => "BAD_REQUEST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::InvalidState => "INVALID_STATE",
            Self::RequestTooLarge | Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::DataLoss => "DATA_LOSS",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// MLflow's `sqlstate` and `error_class` for the code, where it gives them.
    fn class(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::InvalidParameterValue | Self::BadRequest => {
                Some(("KAM00", "INVALID_PARAMETER_VALUE"))
            }
            Self::ResourceAlreadyExists => Some(("KAM00", "RESOURCE_ALREADY_EXISTS")),
            Self::ResourceDoesNotExist => Some(("KAM00", "RESOURCE_NOT_FOUND")),
            Self::InternalError | Self::InvalidState => Some(("XXM00", "CLIENT_INTERNAL_ERROR")),
            _ => None,
        }
    }
}

/// A request that was not done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What MLflow's clients decide by.
    pub code: ErrorCode,
    /// One or two sentences for the person.
    pub message: String,
}

impl ApiError {
    /// An error with a code and a text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    /// What is named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceDoesNotExist, message)
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        use ErrorCode as Code;
        let code = match &error {
            StoreError::Invalid(_) => Code::InvalidParameterValue,
            StoreError::NotFound(_) => Code::ResourceDoesNotExist,
            StoreError::AlreadyExists(_) => Code::ResourceAlreadyExists,
            StoreError::Conflict(_) => Code::BadRequest,
            StoreError::InvalidState(_) => Code::InvalidState,
            StoreError::UnsupportedByFile(_) => Code::NotImplemented,
            StoreError::ReadOnly { .. } => Code::PermissionDenied,
            StoreError::Busy | StoreError::Closed => Code::TemporarilyUnavailable,
            StoreError::DiskFull { .. } => Code::ResourceExhausted,
            // A folder without write permission, or a link that leads out of the tree: trying again
            // does not help.
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Code::PermissionDenied
            }
            StoreError::Io { .. } | StoreError::Fault(_) => Code::InternalError,
            StoreError::Corrupt(_) => Code::DataLoss,
            // What SQLite says may hold SQL: it goes to the log, not to the client.
            StoreError::Sqlite(source) => {
                tracing::error!(error = %source, "the database gave an unexpected answer");
                return Self::new(
                    Code::InternalError,
                    "The database gave an unexpected answer. Nothing was written; the log has the \
                     details.",
                );
            }
        };
        Self::new(code, error.to_string())
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error_code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<&'static str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (sqlstate, error_class) = self.code.class().unzip();
        let body = ErrorBody {
            error_code: self.code.as_str(),
            message: &self.message,
            sqlstate,
            error_class,
        };
        let text = serde_json::to_vec(&body).expect("texts are always JSON");
        let mut response = Response::new(text.into());
        *response.status_mut() = self.code.status();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_has_a_status_that_clients_repeat() {
        let repeated = [408, 429, 500, 502, 503, 504];
        for (error, is_repeated) in [
            (StoreError::NotFound("x".into()), false),
            (StoreError::AlreadyExists("x".into()), false),
            (StoreError::Conflict("x".into()), false),
            (StoreError::InvalidState("x".into()), false),
            (StoreError::UnsupportedByFile("x".into()), false),
            (StoreError::ReadOnly { path: "s".into(), reason: "r".into() }, false),
            (StoreError::DiskFull { path: "s".into() }, false),
            (StoreError::Corrupt("x".into()), false),
            (StoreError::Busy, true),
            (StoreError::Closed, true),
        ] {
            let status = ApiError::from(error.clone()).code.status().as_u16();
            assert_eq!(repeated.contains(&status), is_repeated, "{error:?}");
        }
    }
}
