//! What is wrong with a file that describes an environment, and where.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A mistake in a file, made to be shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecProblem {
    /// The file, relative to the project's folder where it lies in it.
    pub file: PathBuf,
    /// The line, from 1 on; 0 for the file as a whole.
    pub line: usize,
    /// The column, from 1 on; 0 for the whole line.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right; empty when the message says it.
    pub hint: String,
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for SpecProblem {}

/// The start of a text that may be long, for a sentence.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}
