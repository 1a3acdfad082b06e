//! Limits of MLflow's interface, and the texts that refuse what exceeds them.
//!
//! Lengths count characters, not bytes. A `parameter` is the place of the value in the request, as
//! MLflow's clients know it: `name` or `metrics[3].name` for metrics, `key`, `params[1].key` or
//! `tags[0].key` for the rest.
//!
//! Source: MLflow's answers to such requests.

use std::{collections::HashSet, fmt::Write as _};

use crate::{error::Invalid, ids::shorten};

/// The longest key of a metric, a parameter or a tag.
pub const MAX_KEY_CHARS: usize = 250;
/// The longest parameter value; longer ones are cut.
pub const MAX_PARAM_VALUE_CHARS: usize = 6_000;
/// The longest value of a run's tag; longer ones are cut.
pub const MAX_RUN_TAG_VALUE_CHARS: usize = 8_000;
/// The longest experiment name.
pub const MAX_EXPERIMENT_NAME_CHARS: usize = 500;
/// The longest value of an experiment's tag.
pub const MAX_EXPERIMENT_TAG_VALUE_CHARS: usize = 20_000;
/// The longest value of a tag of a registered model or of a model version.
pub const MAX_REGISTRY_TAG_VALUE_CHARS: usize = 100_000;
/// The longest alias of a registered model.
pub const MAX_ALIAS_CHARS: usize = 255;
/// The longest artifact location that a client may ask for.
pub const MAX_ARTIFACT_LOCATION_CHARS: usize = 2_048;
/// Metrics in one batch, and metrics, parameters and tags together.
pub const MAX_BATCH_METRICS: usize = 1_000;
/// Parameters in one batch.
pub const MAX_BATCH_PARAMS: usize = 100;
/// Tags in one batch.
pub const MAX_BATCH_TAGS: usize = 100;
/// The longest name of a dataset.
pub const MAX_DATASET_NAME_CHARS: usize = 500;
/// The longest digest of a dataset.
pub const MAX_DATASET_DIGEST_CHARS: usize = 36;
/// The longest source of a dataset.
pub const MAX_DATASET_SOURCE_CHARS: usize = 65_535;
/// The longest schema of a dataset.
pub const MAX_DATASET_SCHEMA_CHARS: usize = 1_048_575;
/// The longest profile of a dataset.
pub const MAX_DATASET_PROFILE_CHARS: usize = 16_777_215;
/// The longest key of a tag on a run's use of a dataset.
pub const MAX_INPUT_TAG_KEY_CHARS: usize = 255;
/// The longest value of a tag on a run's use of a dataset.
pub const MAX_INPUT_TAG_VALUE_CHARS: usize = 500;

/// Checks the key of a metric.
pub fn check_metric_key(key: &str, parameter: &str) -> Result<(), Invalid> {
    check_key(key, parameter)?;
    check_length(key, MAX_KEY_CHARS, "Metric name")
}

/// Checks the key of a run's parameter.
pub fn check_param_key(key: &str, parameter: &str) -> Result<(), Invalid> {
    check_key(key, parameter)?;
    check_length(key, MAX_KEY_CHARS, "Param key")
}

/// Checks the key of a tag of any entity.
pub fn check_tag_key(key: &str, parameter: &str) -> Result<(), Invalid> {
    check_key(key, parameter)?;
    check_length(key, MAX_KEY_CHARS, parameter)
}

/// Cuts a parameter's value to what is stored; nothing tells the client.
pub fn param_value(value: &str) -> &str {
    truncate(value, MAX_PARAM_VALUE_CHARS)
}

/// Cuts the value of a run's tag to what is stored; nothing tells the client.
pub fn run_tag_value(value: &str) -> &str {
    truncate(value, MAX_RUN_TAG_VALUE_CHARS)
}

/// Checks a metric's time, in milliseconds since 1970; `key` and `value` are for the message.
pub fn check_metric_timestamp(
    key: &str,
    value: f64,
    timestamp: i64,
    parameter: &str,
) -> Result<(), Invalid> {
    if timestamp >= 0 {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "Invalid value {timestamp} for parameter '{parameter}' supplied: metric '{}' \
         (value={value:?}). Timestamp must be a nonnegative long (64-bit integer) ",
        shorten(key)
    )))
}

/// Checks how much one batch holds.
pub fn check_batch_counts(metrics: usize, params: usize, tags: usize) -> Result<(), Invalid> {
    let total = metrics.saturating_add(params).saturating_add(tags);
    for (count, limit, what) in [
        (metrics, MAX_BATCH_METRICS, "metrics"),
        (params, MAX_BATCH_PARAMS, "params"),
        (tags, MAX_BATCH_TAGS, "tags"),
        (total, MAX_BATCH_METRICS, "metrics, params, and tags"),
    ] {
        if count > limit {
            return Err(Invalid::new(format!(
                "A batch logging request can contain at most {limit} {what}. Got {count} {what}. \
                 Please split up {what} across multiple requests and try again."
            )));
        }
    }
    Ok(())
}

/// Refuses a batch that names a parameter twice, also with the same value.
pub fn check_unique_param_keys<'key>(
    keys: impl IntoIterator<Item = &'key str>,
) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    let mut twice = Vec::new();
    for key in keys {
        if !seen.insert(key) && !twice.contains(&key) {
            twice.push(key);
        }
    }
    if twice.is_empty() {
        return Ok(());
    }
    let listed: Vec<_> = twice.iter().map(|key| format!("'{}'", shorten(key))).collect();
    Err(Invalid::new(format!(
        "Duplicate parameter keys have been submitted: [{}]. Please ensure the request contains \
         only one param value per param key.",
        listed.join(", ")
    )))
}

/// Checks the name of a new or renamed experiment.
pub fn check_experiment_name(name: &str) -> Result<(), Invalid> {
    if name.trim().is_empty() {
        return Err(Invalid::new(format!("Invalid experiment name: '{}'", shorten(name))));
    }
    check_length(name, MAX_EXPERIMENT_NAME_CHARS, "name")
}

/// Checks a tag of an experiment.
pub fn check_experiment_tag(key: &str, value: &str) -> Result<(), Invalid> {
    check_tag_key(key, "key")?;
    check_length(value, MAX_EXPERIMENT_TAG_VALUE_CHARS, "value")
}

/// Checks where a client wants an experiment's artifacts: a path or a URL.
pub fn check_artifact_location(location: &str) -> Result<(), Invalid> {
    if location.chars().count() > MAX_ARTIFACT_LOCATION_CHARS {
        return Err(Invalid::new(format!(
            "Invalid artifact path length. The length of the artifact path cannot be greater than \
             {MAX_ARTIFACT_LOCATION_CHARS} characters. To configure this limit, please set the \
             MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable."
        )));
    }
    if has_fragment_or_params(location) {
        return Err(Invalid::new("'artifact_location' URL can't include fragments or params."));
    }
    Ok(())
}

/// Whether something stands behind a `#`, or behind a `;` in the last part of a path.
///
/// Schemes other than the web's know no parameters: in `s3://bucket/a;b` the `;` is a character of
/// the name.
fn has_fragment_or_params(location: &str) -> bool {
    let (before, fragment) = location.split_once('#').unwrap_or((location, ""));
    let path = before.split_once('?').map_or(before, |(path, _)| path);
    let scheme = path.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let has_params = !is_scheme
        || matches!(scheme.to_ascii_lowercase().as_str(), "" | "http" | "https" | "ftp" | "sftp");
    let last_part = path.rsplit('/').next().unwrap_or_default();
    let params = last_part.split_once(';').map_or("", |(_, params)| params);
    !fragment.is_empty() || has_params && !params.is_empty()
}

/// Checks a tag of a registered model or of a model version.
pub fn check_registry_tag(key: &str, value: &str) -> Result<(), Invalid> {
    check_tag_key(key, "key")?;
    check_length(value, MAX_REGISTRY_TAG_VALUE_CHARS, "value")
}

/// Checks what a client calls an alias of a registered model, whether or not one may have that name.
pub fn check_alias_name(alias: &str) -> Result<(), Invalid> {
    if alias.is_empty() {
        return Err(Invalid::new("Registered model alias name cannot be empty."));
    }
    if !alias.chars().all(|c| is_word(c) || c == '-') {
        return Err(Invalid::new(format!(
            "Invalid alias name: '{}'. Names may only contain alphanumerics, underscores (_), and \
             dashes (-).",
            shorten(alias)
        )));
    }
    check_length(alias, MAX_ALIAS_CHARS, "Registered model alias name")
}

/// Checks a new alias of a registered model.
pub fn check_alias(alias: &str) -> Result<(), Invalid> {
    check_alias_name(alias)?;
    if alias.eq_ignore_ascii_case("latest") {
        return Err(Invalid::new("'latest' alias name (case insensitive) is reserved."));
    }
    let version = alias.strip_prefix(['v', 'V']).unwrap_or_default();
    if !version.is_empty() && version.chars().all(char::is_numeric) {
        return Err(Invalid::new(format!("Version alias name '{}' is reserved.", shorten(alias))));
    }
    Ok(())
}

/// Checks the name of a new or renamed registered model.
pub fn check_registered_model_name(name: &str) -> Result<(), Invalid> {
    if name.trim().is_empty() {
        return Err(Invalid::new("Missing value for required parameter 'name'."));
    }
    if name.contains(['/', ':']) {
        return Err(Invalid::new(format!(
            "Invalid model name '{}'. Names cannot contain '/' or ':'.",
            shorten(name)
        )));
    }
    check_is_own_path(name, "name")
}

/// Checks the name of a new logged model.
pub fn check_logged_model_name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() || name.contains(['/', ':', '.', '%', '"', '\'']) {
        let quote = if name.contains('\'') && !name.contains('"') { '"' } else { '\'' };
        return Err(Invalid::new(format!(
            "Invalid model name ({quote}{}{quote}) provided. Model name must be a non-empty string \
             and cannot contain the following characters: ('/', ':', '.', '%', '\"', \"'\")",
            shorten(name)
        )));
    }
    Ok(())
}

/// Checks the fields of a dataset that a run used; schema and profile may be absent.
pub fn check_dataset(
    name: &str,
    digest: &str,
    source: &str,
    schema: Option<&str>,
    profile: Option<&str>,
) -> Result<(), Invalid> {
    check_length(name, MAX_DATASET_NAME_CHARS, "name")?;
    check_length(digest, MAX_DATASET_DIGEST_CHARS, "digest")?;
    check_length(source, MAX_DATASET_SOURCE_CHARS, "source")?;
    check_length(schema.unwrap_or_default(), MAX_DATASET_SCHEMA_CHARS, "schema")?;
    check_length(profile.unwrap_or_default(), MAX_DATASET_PROFILE_CHARS, "profile")
}

/// Checks a tag on a run's use of a dataset; any character may be in its key.
pub fn check_input_tag(key: &str, value: &str) -> Result<(), Invalid> {
    check_length(key, MAX_INPUT_TAG_KEY_CHARS, "key")?;
    check_length(value, MAX_INPUT_TAG_VALUE_CHARS, "value")
}

/// Checks a key's characters, and that it could be the path of a file as it is.
pub fn check_key(key: &str, parameter: &str) -> Result<(), Invalid> {
    if !key.chars().all(|c| is_word(c) || matches!(c, '/' | '.' | '-' | ' ' | ':')) {
        return Err(Invalid::new(format!(
            "Invalid value {} for parameter '{parameter}' supplied: Names may only contain \
             alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and \
             slashes (/).",
            json_string(&shorten(key))
        )));
    }
    check_is_own_path(key, parameter)
}

/// Checks that a name, read as a relative path, is already in its shortest form and stays inside.
fn check_is_own_path(name: &str, parameter: &str) -> Result<(), Invalid> {
    let normal = normal_path(name);
    if normal == name && normal != "." && !normal.starts_with("..") && !normal.starts_with('/') {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "Invalid value {} for parameter '{parameter}' supplied: Names may be treated as files in \
         certain cases, and must not resolve to other names when treated as such. This name would \
         resolve to '{}'",
        json_string(&shorten(name)),
        shorten(&normal)
    )))
}

/// A path without empty, `.` and `x/..` parts, as POSIX resolves it without looking at any disk.
fn normal_path(path: &str) -> String {
    // Exactly two leading slashes mean something of their own in POSIX, and stay.
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".into() } else { joined }
}

fn check_length(text: &str, limit: usize, what: &str) -> Result<(), Invalid> {
    // Bytes bound characters from above, so most texts are never walked.
    if text.len() <= limit || text.chars().count() <= limit {
        return Ok(());
    }
    Err(Invalid::new(format!("'{what}' exceeds the maximum length of {limit} characters")))
}

fn truncate(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

/// A letter or digit of any script, or an underscore.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A text as JSON in ASCII, the form in which MLflow's messages show values.
fn json_string(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            ' '..='~' => json.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(result: Result<(), Invalid>, expected: &str) {
        assert_eq!(result.map_err(|refused| refused.message), Err(expected.to_owned()));
    }

    #[test]
    fn keys_have_word_characters_of_any_script() {
        for key in ["a", "a/b", "val loss", "a:b", "é", "模型", "a²", "-", "_x.y-z"] {
            assert_eq!(check_metric_key(key, "name"), Ok(()), "{key}");
        }
        for (key, shown) in [
            ("a\tb", r#""a\tb""#),
            ("a%b", r#""a%b""#),
            ("a\u{301}", r#""a\u0301""#),
            ("😀", r#""\ud83d\ude00""#),
            ("a\"\\", r#""a\"\\""#),
            ("a\n", r#""a\n""#),
        ] {
            check(
                check_param_key(key, "params[1].key"),
                &format!(
                    "Invalid value {shown} for parameter 'params[1].key' supplied: Names may only \
                     contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), \
                     colon(:) and slashes (/)."
                ),
            );
        }
    }

    #[test]
    fn keys_are_their_own_paths() {
        for (key, resolved) in [
            ("a//b", "a/b"),
            ("a/", "a"),
            ("/a", "/a"),
            ("//a", "//a"),
            ("///a", "/a"),
            ("/", "/"),
            ("../a", "../a"),
            ("..a", "..a"),
            (".", "."),
            ("..", ".."),
            ("...", "..."),
            ("", "."),
            ("a/./b", "a/b"),
            ("a/..", "."),
            ("a/../../b", "../b"),
            ("/../b", "/b"),
        ] {
            check(
                check_metric_key(key, "metrics[3].name"),
                &format!(
                    "Invalid value \"{key}\" for parameter 'metrics[3].name' supplied: Names may \
                     be treated as files in certain cases, and must not resolve to other names \
                     when treated as such. This name would resolve to '{resolved}'"
                ),
            );
        }
    }

    #[test]
    fn lengths_count_characters() {
        let longest = "é".repeat(MAX_KEY_CHARS);
        let too_long = "é".repeat(MAX_KEY_CHARS + 1);
        assert_eq!(check_metric_key(&longest, "name"), Ok(()));
        check(
            check_metric_key(&too_long, "metrics[0].name"),
            "'Metric name' exceeds the maximum length of 250 characters",
        );
        check(
            check_param_key(&too_long, "key"),
            "'Param key' exceeds the maximum length of 250 characters",
        );
        check(
            check_tag_key(&too_long, "tags[0].key"),
            "'tags[0].key' exceeds the maximum length of 250 characters",
        );
        check(
            check_experiment_tag("a", &"x".repeat(20_001)),
            "'value' exceeds the maximum length of 20000 characters",
        );
        check(
            check_registry_tag("a", &"x".repeat(100_001)),
            "'value' exceeds the maximum length of 100000 characters",
        );
    }

    #[test]
    fn long_values_of_runs_are_cut() {
        assert_eq!(param_value(&"é".repeat(6_001)), "é".repeat(6_000));
        assert_eq!(run_tag_value(&"é".repeat(8_001)), "é".repeat(8_000));
        let kept = "é".repeat(6_000);
        assert_eq!(param_value(&kept), kept);
        assert_eq!(param_value(""), "");
    }

    #[test]
    fn times_before_1970_are_refused() {
        assert_eq!(check_metric_timestamp("a", 1.0, 0, "timestamp"), Ok(()));
        check(
            check_metric_timestamp("a", 1.0, -1, "metrics[2].timestamp"),
            "Invalid value -1 for parameter 'metrics[2].timestamp' supplied: metric 'a' \
             (value=1.0). Timestamp must be a nonnegative long (64-bit integer) ",
        );
    }

    #[test]
    fn batches_are_bounded() {
        assert_eq!(check_batch_counts(800, 100, 100), Ok(()));
        check(
            check_batch_counts(1_001, 0, 0),
            "A batch logging request can contain at most 1000 metrics. Got 1001 metrics. Please \
             split up metrics across multiple requests and try again.",
        );
        check(
            check_batch_counts(0, 101, 0),
            "A batch logging request can contain at most 100 params. Got 101 params. Please split \
             up params across multiple requests and try again.",
        );
        check(
            check_batch_counts(1_000, 0, 1),
            "A batch logging request can contain at most 1000 metrics, params, and tags. Got 1001 \
             metrics, params, and tags. Please split up metrics, params, and tags across multiple \
             requests and try again.",
        );
        assert_eq!(check_unique_param_keys(["a", "b"]), Ok(()));
        check(
            check_unique_param_keys(["a", "a", "b", "b", "b"]),
            "Duplicate parameter keys have been submitted: ['a', 'b']. Please ensure the request \
             contains only one param value per param key.",
        );
    }

    #[test]
    fn experiment_names_are_not_blank() {
        assert_eq!(check_experiment_name("a/b: c?"), Ok(()));
        check(check_experiment_name("  "), "Invalid experiment name: '  '");
        check(
            check_experiment_name(&"a".repeat(501)),
            "'name' exceeds the maximum length of 500 characters",
        );
    }

    #[test]
    fn artifact_locations_have_no_fragments_or_params() {
        for location in
            ["/data/x", "s3://b/a;b", "s3://b/a?b=1", "", "#", "a;b/c", "mlflow-artifacts:/x"]
        {
            assert_eq!(check_artifact_location(location), Ok(()), "{location}");
        }
        for location in ["/data/x#y", "s3://b/a#c", "/data/x;y", "https://h/a;b?c", "x;y"] {
            check(
                check_artifact_location(location),
                "'artifact_location' URL can't include fragments or params.",
            );
        }
        let refused = check_artifact_location(&"x".repeat(2_049)).unwrap_err();
        assert!(refused.message.starts_with("Invalid artifact path length. "));
    }

    #[test]
    fn aliases_are_words_that_mean_no_version() {
        for alias in ["champion", "a-b", "é", "v", "v1a", "vv1", "latest2"] {
            assert_eq!(check_alias(alias), Ok(()), "{alias}");
        }
        check(check_alias(""), "Registered model alias name cannot be empty.");
        check(
            check_alias("a b"),
            "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores (_), and \
             dashes (-).",
        );
        check(check_alias("LATEST"), "'latest' alias name (case insensitive) is reserved.");
        check(check_alias("V12"), "Version alias name 'V12' is reserved.");
        check(
            check_alias(&"a".repeat(256)),
            "'Registered model alias name' exceeds the maximum length of 255 characters",
        );
    }

    #[test]
    fn model_names_fit_their_addresses() {
        for name in ["a.b", "a%b", "a b", "模型", &"a".repeat(300)] {
            assert_eq!(check_registered_model_name(name), Ok(()), "{name}");
        }
        check(
            check_registered_model_name("a/b"),
            "Invalid model name 'a/b'. Names cannot contain '/' or ':'.",
        );
        check(check_registered_model_name(" "), "Missing value for required parameter 'name'.");
        assert!(check_registered_model_name("..").is_err());
        assert_eq!(check_logged_model_name("a b"), Ok(()));
        check(
            check_logged_model_name("a.b"),
            "Invalid model name ('a.b') provided. Model name must be a non-empty string and cannot \
             contain the following characters: ('/', ':', '.', '%', '\"', \"'\")",
        );
        assert!(check_logged_model_name("").is_err());
    }

    #[test]
    fn datasets_are_bounded() {
        assert_eq!(check_dataset("n", "d", "s", None, Some("{}")), Ok(()));
        check(
            check_dataset("n", &"d".repeat(37), "s", None, None),
            "'digest' exceeds the maximum length of 36 characters",
        );
        check(
            check_dataset("n", "d", "s", Some(&"x".repeat(1_048_576)), None),
            "'schema' exceeds the maximum length of 1048575 characters",
        );
        assert_eq!(check_input_tag("mlflow.data.context", "any % text"), Ok(()));
        check(
            check_input_tag("k", &"v".repeat(501)),
            "'value' exceeds the maximum length of 500 characters",
        );
    }

    proptest! {
        #[test]
        fn accepted_keys_stay_inside_their_folder(key in "[a./ -]{0,12}|\\PC{0,12}") {
            if check_tag_key(&key, "key").is_ok() {
                prop_assert!(!key.starts_with('/') && !key.is_empty());
                prop_assert!(key.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
    }
}
