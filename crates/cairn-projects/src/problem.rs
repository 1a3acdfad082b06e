//! What is wrong with a project, at which place, and what would be right.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something in a project's files, or in what was asked of it, that keeps it from running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, relative to the project's folder: `MLproject`, `conda.yaml`. Empty when it is what was asked.
    pub file: String,
    /// From 1 on; `None` when it concerns the whole file or no file.
    pub line: Option<usize>,
    /// In characters, from 1 on.
    pub column: Option<usize>,
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
    /// What would be right; `None` when the message says it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with what was asked: an entry point, a parameter.
    pub fn of_request(message: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Self {
            file: String::new(),
            line: None,
            column: None,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A problem of a file as a whole.
    pub fn of_file(
        file: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) -> Self {
        Self { file: file.into(), ..Self::of_request(message, hint) }
    }

    /// A problem at a place in a file.
    pub fn at(
        file: impl Into<String>,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) -> Self {
        Self {
            line: Some(place.line),
            column: Some(place.column),
            ..Self::of_file(file, message, hint)
        }
    }
}

/// `MLproject, line 4: …`, and the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (true, _) => {}
            (false, Some(line)) => write!(f, "{}, line {line}: ", self.file)?,
            (false, None) => write!(f, "{}: ", self.file)?,
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{hint}"),
            None => Ok(()),
        }
    }
}

/// A place in a text, both from 1 on; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// From 1 on.
    pub line: usize,
    /// From 1 on.
    pub column: usize,
}
