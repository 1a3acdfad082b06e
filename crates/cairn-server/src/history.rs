//! The answer to `metrics/get-history`, written piece by piece.
//!
//! A history may have millions of points. What does not fit into one piece is read while the answer is
//! sent: each piece in a transaction of its own, so that a client that reads slowly holds nothing but
//! its connection.

use std::io;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use cairn_core::RunId;
use cairn_store::{Store, history::HistoryStart};
use futures_util::stream;
use http::{HeaderValue, header};

use crate::{
    call::Answer,
    error::ApiError,
    page,
    wire::{Double, MetricMessage},
};

/// Points that are read and sent at once; each takes about 80 bytes.
const PIECE_POINTS: usize = 10_000;

/// Answers up to `limit` points of a metric's history, after the first `offset` ones.
pub(crate) async fn answer(
    store: Store,
    id: RunId,
    key: String,
    limit: usize,
    offset: usize,
) -> Answer {
    let mut rest =
        Rest { store, id, key, start: HistoryStart::Offset(offset), offset, limit, sent: 0 };
    let (first, goes_on) = rest.next_piece().await?;
    let body = if goes_on {
        let pieces = stream::unfold((Some(first), rest, true), next);
        Body::from_stream(pieces)
    } else {
        Body::from(first)
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// One step of sending: the piece that is ready, or the next one.
async fn next(
    (ready, mut rest, goes_on): (Option<Bytes>, Rest, bool),
) -> Option<(io::Result<Bytes>, (Option<Bytes>, Rest, bool))> {
    if let Some(piece) = ready {
        return Some((Ok(piece), (None, rest, goes_on)));
    }
    if !goes_on {
        return None;
    }
    match rest.next_piece().await {
        Ok((piece, goes_on)) => Some((Ok(piece), (None, rest, goes_on))),
        // The answer has begun: all that can be said is that it breaks off.
        Err(error) => {
            tracing::warn!(message = error.message, "a history could not be read to its end");
            Some((Err(io::Error::other(error.message)), (None, rest, false)))
        }
    }
}

/// What is not sent yet.
struct Rest {
    store: Store,
    id: RunId,
    key: String,
    start: HistoryStart,
    /// Points before the first one that was asked for.
    offset: usize,
    /// Points that were asked for.
    limit: usize,
    sent: usize,
}

impl Rest {
    /// The next piece of the JSON text, and whether another one follows.
    async fn next_piece(&mut self) -> Result<(Bytes, bool), ApiError> {
        let (id, key, start) = (self.id.clone(), self.key.clone(), self.start);
        let wanted = PIECE_POINTS.min(self.limit - self.sent);
        let is_first = self.sent == 0;
        let (mut text, count, last) = self
            .store
            .read(move |tx| {
                let mut text = Vec::new();
                let (mut count, mut last) = (0, None);
                // One more than is sent tells whether there are others.
                tx.visit_history(&id, &key, start, wanted + 1, |point| {
                    count += 1;
                    if count > wanted {
                        return;
                    }
                    last = Some(*point);
                    let before: &[u8] =
                        if is_first && count == 1 { b"{\"metrics\":[" } else { b"," };
                    text.extend_from_slice(before);
                    let message = MetricMessage {
                        key: &key,
                        value: Double(point.value().0),
                        timestamp: point.timestamp,
                        step: point.step,
                        run_id: None,
                    };
                    serde_json::to_writer(&mut text, &message)
                        .expect("numbers and text are JSON, and memory takes them");
                })?;
                Ok((text, count, last))
            })
            .await?;
        if let Some(last) = last {
            self.start = HistoryStart::After(last);
        }
        self.sent += count.min(wanted);
        let has_more = count > wanted;
        if has_more && self.sent < self.limit {
            return Ok((Bytes::from(text), true));
        }
        // An empty list is left out.
        text.extend_from_slice(if self.sent == 0 { b"{" } else { b"]" });
        if has_more {
            let token = page::token(self.offset + self.sent);
            let comma = if self.sent == 0 { "" } else { "," };
            text.extend_from_slice(format!("{comma}\"next_page_token\":\"{token}\"").as_bytes());
        }
        text.push(b'}');
        Ok((Bytes::from(text), false))
    }
}
