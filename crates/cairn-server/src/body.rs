//! Reading request bodies within bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{ApiError, ErrorCode};

/// How long a client may send nothing in the middle of a body.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// How long the rest of a refused body is read and thrown away, so that the client sees the answer.
const DISCARD: Duration = Duration::from_secs(1);

/// The most bytes of a JSON body.
pub(crate) const JSON_LIMIT: usize = 1 << 20;
/// The most bytes of the JSON bodies that carry many values.
pub(crate) const BATCH_LIMIT: usize = 16 << 20;

/// Reads a whole body of at most `limit` bytes.
///
/// Errors: 413 as soon as the length is known to be too long, 408 when the client stops sending,
/// 400 when the connection breaks.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > limit as u64) {
        discard(body).await;
        return Err(too_large(limit));
    }
    // A body in one piece, as most are, is not copied.
    let mut whole = Bytes::new();
    let mut joined: Option<BytesMut> = None;
    while let Some(data) = next_chunk(&mut body).await? {
        let length = joined.as_ref().map_or(whole.len(), BytesMut::len);
        if length + data.len() > limit {
            discard(body).await;
            return Err(too_large(limit));
        }
        match &mut joined {
            Some(joined) => joined.extend_from_slice(&data),
            None if whole.is_empty() => whole = data,
            None => {
                let capacity = declared.map_or(4 * length, |length| length as usize);
                let mut pieces = BytesMut::with_capacity(capacity);
                pieces.extend_from_slice(&whole);
                pieces.extend_from_slice(&data);
                joined = Some(pieces);
            }
        }
    }
    Ok(joined.map_or(whole, BytesMut::freeze))
}

/// The next piece of a body; `None` at its end.
///
/// Errors: 408 after [`IDLE`] without a byte, 400 when the connection breaks.
pub(crate) async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = timeout(IDLE, body.frame()).await.map_err(|_| {
            ApiError::new(
                ErrorCode::RequestTimeout,
                "The client stopped sending in the middle of the body.",
            )
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(ApiError::invalid(
                    "Bad Request. The body ended before its announced length.",
                ));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
                // Trailers carry nothing for us.
            }
        }
    }
}

/// Reads on for a moment and forgets what comes, so that a client in full flow can see the answer
/// before the connection closes.
pub(crate) async fn discard(mut body: Body) {
    let end = Instant::now() + DISCARD;
    while let Ok(Some(Ok(_))) = timeout_at(end, body.frame()).await {}
}

/// The length that a request announces.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        ErrorCode::RequestTooLarge,
        format!("The request body is too large: at most {} MiB are taken here.", limit >> 20),
    )
}

/// Refuses a body that is not declared as JSON, in MLflow's words.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = declared.and_then(|value| value.split(';').next()).unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::invalid("Bad Request. Content-Type must be one of ['application/json']."))
}

/// Undoes double encoding: a body that is a JSON text holding JSON becomes that JSON.
pub(crate) fn unwrap_text(body: Bytes) -> Bytes {
    let is_text = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'"');
    if !is_text {
        return body;
    }
    match serde_json::from_slice::<String>(&body) {
        Ok(inner) => Bytes::from(inner),
        // The parser names the trouble later.
        Err(_) => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_required_with_any_parameters() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            require_json(&headers).is_ok()
        };
        assert!(check("application/json"));
        assert!(check("Application/JSON; charset=utf-8"));
        assert!(!check("text/plain"));
        assert!(!check("application/jsonx"));
        assert!(require_json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn double_encoding_is_undone_once() {
        assert_eq!(
            unwrap_text(Bytes::from_static(br#""{\"a\":1}""#)),
            Bytes::from_static(br#"{"a":1}"#)
        );
        assert_eq!(
            unwrap_text(Bytes::from_static(br#"{"a":1}"#)),
            Bytes::from_static(br#"{"a":1}"#)
        );
    }

    #[tokio::test]
    async fn long_bodies_are_refused_and_short_ones_joined() {
        let body = || {
            let pieces =
                ["abc", "", "def", "gh"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
            Body::from_stream(futures_util::stream::iter(pieces))
        };
        assert_eq!(read(&HeaderMap::new(), body(), 8).await.unwrap(), "abcdefgh");
        let refused = read(&HeaderMap::new(), body(), 7).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::RequestTooLarge);
    }
}
