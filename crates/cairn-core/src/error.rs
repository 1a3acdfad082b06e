//! Why an input was refused.

use std::fmt;

/// A place in a text, in bytes: `start` inclusive, `end` exclusive, both on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte of the place.
    pub start: usize,
    /// First byte after the place; equal to `start` for a point between two characters.
    pub end: usize,
}

/// An input that cannot be accepted as it is, in words for the person who sent it.
///
/// The message names what is wrong and with which value. MLflow's own wording is kept where its
/// clients look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// One sentence without blame: what was refused and why.
    pub message: String,
    /// Where in the text the trouble is; only set for inputs that are a language (filters, orders).
    pub span: Option<Span>,
}

impl Invalid {
    /// Refuses an input with a message and no place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None }
    }

    /// Refuses a text at a place.
    pub fn at(message: impl Into<String>, start: usize, end: usize) -> Self {
        Self { message: message.into(), span: Some(Span { start, end }) }
    }

    /// A required field is absent or empty, in MLflow's words.
    pub fn missing(parameter: &str) -> Self {
        Self::new(format!(
            "Missing value for required parameter '{parameter}'. See the API docs for more \
             information about request parameters."
        ))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}
