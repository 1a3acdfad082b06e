//! What is asked of the program, and what it answers.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One environment.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// Channels by name or address, the first one first.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Packages as conda writes them.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Instead of both: exactly these packages, each an address with `#` and a digest.
    #[serde(default)]
    pub explicit: Vec<String>,
    /// Where the environment is made.
    pub prefix: PathBuf,
    /// For packages and lists of them, shared by all environments.
    pub cache: PathBuf,
}

/// What was made.
#[derive(Debug, Serialize)]
pub struct Made {
    /// Every package, an address with `#` and a digest.
    pub explicit: Vec<String>,
    /// Variables that activating the environment sets.
    pub variables: Vec<(String, String)>,
}

/// Why nothing was made.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// In words.
    pub message: String,
    /// The channel that could not be read, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

impl Failure {
    /// A failure that is no channel's.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), channel: None }
    }

    /// With everything that the error was caused by.
    pub fn because(what: &str, error: impl Into<anyhow::Error>) -> Self {
        Self::new(format!("{what}: {:#}", error.into()))
    }
}

impl Request {
    /// Reads one from a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read(path)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("{} is no request: {error}", path.display())))
    }
}
