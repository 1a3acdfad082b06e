//! Failures in words for the person at the window.

use std::path::{Path, PathBuf};

use cairn_core::Invalid;
use cairn_runtime::RuntimeError;
use cairn_store::{OpenError, StoreError};

use crate::dto::{CommandError, ErrorCode, TextSpan};

impl CommandError {
    /// A failure without hint and detail.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, detail: None, span: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

pub(crate) fn no_store() -> CommandError {
    CommandError::new(ErrorCode::NoStore, "No store is open")
        .with_hint("Open a folder with an mlflow.db, or start a new store.")
}

pub(crate) fn internal(error: impl std::fmt::Display) -> CommandError {
    CommandError::new(ErrorCode::Internal, "Something went wrong inside Cairn")
        .with_hint("Try again. If it happens again, report it with the detail.")
        .with_detail(error.to_string())
}

pub(crate) fn invalid(error: Invalid) -> CommandError {
    CommandError::new(ErrorCode::InvalidInput, error.message)
}

/// A filter that cannot be read, with the place in UTF-16 units.
pub(crate) fn invalid_filter(filter: &str, error: Invalid) -> CommandError {
    let units = |end: usize| filter.get(..end).unwrap_or(filter).encode_utf16().count() as u32;
    let span = error.span.map(|span| TextSpan { start: units(span.start), end: units(span.end) });
    CommandError { span, ..CommandError::new(ErrorCode::InvalidFilter, error.message) }
}

pub(crate) fn open_error(error: OpenError) -> CommandError {
    let code = match error {
        OpenError::DiskFull { .. } => ErrorCode::DiskFull,
        OpenError::Busy { .. } => ErrorCode::Busy,
        _ => ErrorCode::CannotOpen,
    };
    let hint = error.hint();
    CommandError::new(code, error.to_string()).with_hint(hint)
}

pub(crate) fn store_error(error: StoreError) -> CommandError {
    let message = error.to_string();
    match error {
        StoreError::Invalid(error) => invalid(error),
        StoreError::NotFound(_) => CommandError::new(ErrorCode::NotFound, message)
            .with_hint("It may have been deleted by another program."),
        StoreError::AlreadyExists(_)
        | StoreError::Conflict(_)
        | StoreError::InvalidState(_)
        | StoreError::UnsupportedByFile(_) => CommandError::new(ErrorCode::InvalidInput, message),
        StoreError::ReadOnly { .. } => CommandError::new(ErrorCode::ReadOnly, message),
        StoreError::Busy => CommandError::new(ErrorCode::Busy, message)
            .with_hint("Close the program that writes to the store, then try again."),
        StoreError::DiskFull { .. } => CommandError::new(ErrorCode::DiskFull, message),
        StoreError::Io { .. } => CommandError::new(ErrorCode::Internal, message)
            .with_hint("Check that the store's disk is there and readable."),
        StoreError::Fault(detail) => internal(detail),
        StoreError::Closed => CommandError::new(ErrorCode::NoStore, message),
        StoreError::Corrupt(_) => CommandError::new(ErrorCode::Internal, message).with_hint(
            "Restore a backup (Backups… in the store's menu). Cairn does not write to it any more.",
        ),
        StoreError::Sqlite(error) => internal(error),
    }
}

pub(crate) fn runtime_error(error: &RuntimeError) -> CommandError {
    let code = if matches!(error, RuntimeError::Cancelled) {
        ErrorCode::Cancelled
    } else {
        ErrorCode::Internal
    };
    let mut failure = CommandError::new(code, error.to_string());
    failure.hint = error.hint().map(str::to_owned);
    failure.detail = error.detail();
    failure
}

/// `~/x` as the person means it.
pub(crate) fn expand_home(path: &Path) -> PathBuf {
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    match (path.strip_prefix("~"), home) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    }
}

/// A path as the person writes it, with `~` for their home.
pub(crate) fn shorten_home(path: &Path) -> String {
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(below) if below.as_os_str().is_empty() => "~".to_owned(),
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_filter_is_counted_as_the_browser_counts() {
        let filter = "tags.𝄞é = 'x' OR";
        let start = filter.find("OR").unwrap();
        let error = invalid_filter(filter, Invalid::at("no", start, start + 2));
        let span = error.span.unwrap();
        let text: Vec<u16> = filter.encode_utf16().collect();
        assert_eq!(String::from_utf16_lossy(&text[span.start as usize..span.end as usize]), "OR");
    }
}
