//! Page tokens: an offset in MLflow's disguise.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{error::ApiError, json::Json};

/// The token of a page that begins at `offset`: base64 of `{"offset": N}`.
pub(crate) fn token(offset: usize) -> String {
    STANDARD.encode(format!("{{\"offset\": {offset}}}"))
}

/// The offset that a token holds; 0 for no token.
///
/// Errors: 400 for what is no token of this kind, offset 0 included.
pub(crate) fn offset(token: Option<&str>) -> Result<usize, ApiError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(0) };
    let bytes = STANDARD
        .decode(token)
        .map_err(|_| ApiError::invalid("Invalid page token, could not base64-decode"))?;
    let Ok(Json::Object(members)) = Json::parse(&bytes) else {
        return Err(ApiError::invalid(
            "Invalid page token, could not parse the decoded text as JSON",
        ));
    };
    let offset = members.iter().find(|(name, _)| name == "offset").map(|(_, value)| value);
    match offset {
        Some(Json::Int(offset @ 1..)) => usize::try_from(*offset)
            .map_err(|_| ApiError::invalid("Invalid page token, its offset is out of range")),
        _ => Err(ApiError::invalid("Invalid page token, it has no offset above 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_ones_of_mlflow() {
        assert_eq!(token(1), "eyJvZmZzZXQiOiAxfQ==");
        assert_eq!(offset(Some("eyJvZmZzZXQiOiAxfQ==")), Ok(1));
        assert_eq!(offset(None), Ok(0));
        assert_eq!(offset(Some("")), Ok(0));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        for text in ["x", "e30=", "eyJvZmZzZXQiOiAwfQ==", "eyJvZmZzZXQiOiAtMX0=", "W10="] {
            assert!(offset(Some(text)).is_err(), "{text}");
        }
    }
}
