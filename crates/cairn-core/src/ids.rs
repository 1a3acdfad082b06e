//! Ids of experiments, runs and logged models, checked once where they enter the program.

use std::{fmt, str::FromStr};

use crate::error::Invalid;

/// The number of an experiment; a string of digits in MLflow's JSON.
///
/// MLflow's file store gives 18-digit numbers, so the whole of `i64` is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExperimentId(pub i64);

impl FromStr for ExperimentId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| {
            Invalid::new(format!(
                "Invalid experiment ID: '{text}'. An experiment ID is a whole number."
            ))
        })
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a run: 32 hexadecimal digits when MLflow or Cairn made it.
///
/// Accepts what MLflow accepts (a letter or digit, then up to 255 word characters or dashes), so
/// that it can be part of a file path without further checks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// Makes an id from 16 random bytes, in the form of a UUID version 4 without dashes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(hex_uuid4(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_id(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(format!("Invalid run ID: '{}'", shorten(text))))
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a logged model: `m-` and 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoggedModelId(String);

impl LoggedModelId {
    /// Makes an id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("m-{}", hex_uuid4(bytes)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LoggedModelId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_id(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(format!("Invalid logged model ID: '{}'", shorten(text))))
        }
    }
}

impl fmt::Display for LoggedModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 32 lower-case hexadecimal digits with the version and variant bits of a UUID version 4.
fn hex_uuid4(mut bytes: [u8; 16]) -> String {
    use std::fmt::Write as _;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a text is `[A-Za-z0-9][\w-]{0,255}` (MLflow's rule for ids that reach a path).
fn is_id(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.chars().count() <= 256
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// Cuts a refused text so that an error message stays readable.
pub(crate) fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 120;
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_uuid4_without_dashes() {
        let id = RunId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffffffff4fffbfffffffffffffff");
        assert!(id.as_str().parse::<RunId>().is_ok());
        assert!(LoggedModelId::from_random([0; 16]).as_str().starts_with("m-0000"));
    }

    #[test]
    fn ids_that_could_leave_a_folder_are_refused() {
        for text in ["", "../x", "a/b", "-a", ".", "a b", "a\0b", &"x".repeat(257)] {
            assert!(text.parse::<RunId>().is_err(), "{text:?}");
            assert!(text.parse::<LoggedModelId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn experiment_ids_use_all_of_i64() {
        assert_eq!("912345678901234567".parse(), Ok(ExperimentId(912_345_678_901_234_567)));
        assert!("1.5".parse::<ExperimentId>().is_err());
        assert!("".parse::<ExperimentId>().is_err());
    }
}
