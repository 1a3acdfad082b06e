//! Reading the fields of a request as leniently as MLflow does, and no more.
//!
//! MLflow parses into protocol buffers: both spellings of a name, numbers as texts, unknown fields
//! ignored. What it drops silently (a value of the wrong type, an unknown enum name) is refused
//! here, in the words that it uses elsewhere.

use std::{borrow::Cow, fmt};

use cairn_core::{ExperimentId, Invalid, LoggedModelId, RunId, RunStatus, ViewType};

use crate::{error::ApiError, json::Json};

/// The fields of one object of a request.
///
/// Names are given in snake_case; in a JSON body the lowerCamelCase spelling is accepted too.
/// A `null` counts as absent.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    members: Members<'a>,
    place: Place,
    from_query: bool,
}

/// The members of an object: of the request itself, or of an object in it.
#[derive(Debug, Clone)]
enum Members<'a> {
    Owned(Vec<(Cow<'a, str>, Json<'a>)>),
    Borrowed(&'a [(Cow<'a, str>, Json<'a>)]),
}

impl<'a> Members<'a> {
    fn as_slice(&self) -> &[(Cow<'a, str>, Json<'a>)] {
        match self {
            Self::Owned(members) => members,
            Self::Borrowed(members) => members,
        }
    }
}

/// Where an object lies in the request, for error texts: nowhere, or `metrics[3]`.
#[derive(Debug, Clone, Copy)]
enum Place {
    Top,
    Item(&'static str, usize),
    Member(&'static str),
}

impl<'a> Fields<'a> {
    /// The fields of a JSON body; an empty body has none.
    ///
    /// Errors: 400 for what is no JSON, or no object.
    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::top(Vec::new(), false));
        }
        let json = Json::parse(body).map_err(|error| {
            ApiError::invalid(format!("Bad Request. The body is no valid JSON: {error}."))
        })?;
        match json {
            Json::Object(members) => Ok(Self::top(members, false)),
            Json::Null => Ok(Self::top(Vec::new(), false)),
            other => Err(ApiError::invalid(format!(
                "Bad Request. The body must be a JSON object, not of type '{}'.",
                other.type_name()
            ))),
        }
    }

    /// The fields of a query string.
    pub(crate) fn from_query(query: &'a str) -> Self {
        match crate::query::as_object(query) {
            Json::Object(members) => Self::top(members, true),
            _ => Self::top(Vec::new(), true),
        }
    }

    fn top(members: Vec<(Cow<'a, str>, Json<'a>)>, from_query: bool) -> Self {
        Self { members: Members::Owned(members), place: Place::Top, from_query }
    }

    /// A field's value; `None` when it is absent or null.
    ///
    /// Errors: 400 when the object has the field in both spellings.
    fn find(&self, name: &str) -> Result<Option<&Json<'a>>, ApiError> {
        // The last of a repeated name counts.
        let members = self.members.as_slice();
        let snake = members.iter().rev().find(|(known, _)| known == name);
        let camel = if self.from_query || !name.contains('_') {
            None
        } else {
            members.iter().rev().find(|(known, _)| is_camel_of(known, name))
        };
        match (snake, camel) {
            (Some((snake, _)), Some((camel, _))) => Err(ApiError::invalid(format!(
                "Request specifies both '{snake}' and '{camel}'; provide only one of them."
            ))),
            (Some((_, Json::Null)), _) | (_, Some((_, Json::Null))) | (None, None) => Ok(None),
            (Some((_, value)), None) | (None, Some((_, value))) => Ok(Some(value)),
        }
    }

    fn wrong_type(&self, name: &str, value: &Json<'_>) -> ApiError {
        ApiError::invalid(format!(
            "Invalid value {value} for parameter '{}' supplied:  Hint: Value was of type '{}'. See \
             the API docs for more information about request parameters.",
            self.full_name(name),
            value.type_name()
        ))
    }

    /// A field's name with the place of its object.
    fn full_name(&self, name: &str) -> String {
        match self.place {
            Place::Top => name.to_owned(),
            Place::Item(list, index) => format!("{list}[{index}].{name}"),
            Place::Member(object) => format!("{object}.{name}"),
        }
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.find(name)? {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// A text that must be there and not be empty.
    pub(crate) fn required_text(&self, name: &str) -> Result<&str, ApiError> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.missing(name)),
        }
    }

    /// A text as an owned string; empty when absent.
    pub(crate) fn text_or_empty(&self, name: &str) -> Result<String, ApiError> {
        Ok(self.text(name)?.unwrap_or_default().to_owned())
    }

    /// A whole number, also written as a text (`"12"`) or with a fraction of zero (`12.0`).
    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.find(name)? else { return Ok(None) };
        let number = match value {
            Json::Int(number) => Some(*number),
            Json::Double(number) => whole(*number),
            Json::Text(text) => text.parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.wrong_type(name, value))
    }

    /// A whole number that must be there.
    pub(crate) fn required_int(&self, name: &str) -> Result<i64, ApiError> {
        self.int(name)?.ok_or_else(|| self.missing(name))
    }

    /// A double, also written as a text, `"NaN"`, `"Infinity"` and `"-Infinity"` included.
    pub(crate) fn double(&self, name: &str) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.find(name)? else { return Ok(None) };
        let number = match value {
            Json::Int(number) => Some(*number as f64),
            Json::Double(number) => Some(*number),
            Json::Text(text) => match text.as_ref() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                // Rust also reads `inf`, `nan` and the like, which no client sends.
                text if text.bytes().any(|byte| byte.is_ascii_digit()) => text.parse().ok(),
                _ => None,
            },
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.wrong_type(name, value))
    }

    /// A truth value; in a query string `true` or `false` in any case.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.find(name)? {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(Json::Text(text)) if self.from_query && text.eq_ignore_ascii_case("true") => {
                Ok(Some(true))
            }
            Some(Json::Text(text)) if self.from_query && text.eq_ignore_ascii_case("false") => {
                Ok(Some(false))
            }
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// A list of texts; empty when absent. In a query string one value is a list of one.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, ApiError> {
        match self.find(name)? {
            None => Ok(Vec::new()),
            Some(Json::Text(text)) if self.from_query => Ok(vec![text]),
            Some(Json::List(items)) => items
                .iter()
                .map(|item| match item {
                    Json::Text(text) => Ok(text.as_ref()),
                    other => Err(self.wrong_type(name, other)),
                })
                .collect(),
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// A list of objects; empty when absent. The objects name their place in error texts.
    pub(crate) fn objects<'s>(&'s self, name: &'static str) -> Result<Vec<Fields<'s>>, ApiError>
    where
        'a: 's,
    {
        match self.find(name)? {
            None => Ok(Vec::new()),
            Some(Json::List(items)) => items
                .iter()
                .enumerate()
                .map(|(index, item)| match item {
                    Json::Object(members) => Ok(self.nested(members, Place::Item(name, index))),
                    other => Err(self.wrong_type(name, other)),
                })
                .collect(),
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// An object.
    pub(crate) fn object<'s>(&'s self, name: &'static str) -> Result<Option<Fields<'s>>, ApiError>
    where
        'a: 's,
    {
        match self.find(name)? {
            None => Ok(None),
            Some(Json::Object(members)) => Ok(Some(self.nested(members, Place::Member(name)))),
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    fn nested<'s>(&self, members: &'s [(Cow<'a, str>, Json<'a>)], place: Place) -> Fields<'s>
    where
        'a: 's,
    {
        Fields { members: Members::Borrowed(members), place, from_query: self.from_query }
    }

    /// The refusal of a request without a field that it needs.
    pub(crate) fn missing(&self, name: &str) -> ApiError {
        Invalid::missing(&self.full_name(name)).into()
    }

    /// The experiment that a field names.
    pub(crate) fn experiment_id(&self, name: &str) -> Result<ExperimentId, ApiError> {
        Ok(self.required_text(name)?.parse()?)
    }

    /// The experiments that a field lists.
    pub(crate) fn experiment_ids(&self, name: &str) -> Result<Vec<ExperimentId>, ApiError> {
        self.texts(name)?.into_iter().map(|text| Ok(text.parse()?)).collect()
    }

    /// The run that `run_id`, or its old name `run_uuid`, names.
    ///
    /// A text that can be no run's id is answered like a run that does not exist.
    pub(crate) fn run_id(&self) -> Result<RunId, ApiError> {
        match self.text("run_id")? {
            Some(text) if !text.is_empty() => find_run_id(text),
            _ => match self.text("run_uuid")? {
                Some(text) if !text.is_empty() => find_run_id(text),
                _ => Err(self.missing("run_id")),
            },
        }
    }

    /// The run that `run_id` names, for the routes that do not take `run_uuid`.
    pub(crate) fn run_id_only(&self) -> Result<RunId, ApiError> {
        find_run_id(self.required_text("run_id")?)
    }

    /// The logged model that a field names, if it is there.
    pub(crate) fn model_id(&self, name: &str) -> Result<Option<LoggedModelId>, ApiError> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(Some(text.parse()?)),
            _ => Ok(None),
        }
    }

    /// The view that a field asks for, by name or number; the active ones when absent.
    pub(crate) fn view_type(&self, name: &str) -> Result<ViewType, ApiError> {
        let Some(value) = self.find(name)? else { return Ok(ViewType::default()) };
        match value {
            Json::Text(text) if text == "ACTIVE_ONLY" => Ok(ViewType::ActiveOnly),
            Json::Text(text) if text == "DELETED_ONLY" => Ok(ViewType::DeletedOnly),
            Json::Text(text) if text == "ALL" => Ok(ViewType::All),
            Json::Int(1) => Ok(ViewType::ActiveOnly),
            Json::Int(2) => Ok(ViewType::DeletedOnly),
            Json::Int(3) => Ok(ViewType::All),
            other => Err(self.not_one_of(name, other, "ACTIVE_ONLY, DELETED_ONLY, ALL")),
        }
    }

    /// The status of a run that `status` names, by name or number.
    pub(crate) fn run_status(&self) -> Result<Option<RunStatus>, ApiError> {
        let Some(value) = self.find("status")? else { return Ok(None) };
        let status = match value {
            Json::Text(text) => text.parse().ok(),
            Json::Int(number) => RunStatus::from_number(*number),
            _ => None,
        };
        status.map(Some).ok_or_else(|| {
            self.not_one_of("status", value, "RUNNING, SCHEDULED, FINISHED, FAILED, KILLED")
        })
    }

    /// A name out of a list, or its number in MLflow's protocol.
    pub(crate) fn one_of<T: Copy>(
        &self,
        name: &str,
        values: &[(&str, i64, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.find(name)? else { return Ok(None) };
        let found = values.iter().find(|(text, number, _)| match value {
            Json::Text(given) => given == text,
            Json::Int(given) => given == number,
            _ => false,
        });
        found.map(|(.., found)| Some(*found)).ok_or_else(|| {
            let names: Vec<_> = values.iter().map(|(text, ..)| *text).collect();
            self.not_one_of(name, value, &names.join(", "))
        })
    }

    fn not_one_of(&self, name: &str, value: &impl fmt::Display, valid: &str) -> ApiError {
        ApiError::invalid(format!(
            "Invalid value '{value}' for parameter '{}' supplied: Valid values are {valid}.",
            self.full_name(name)
        ))
    }
}

/// The run that a text names; what can be none is answered like a run that does not exist.
pub(crate) fn find_run_id(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::not_found(format!("Run with id={} not found", Json::Text(text.into())))
    })
}

/// Whether `camel` is the lowerCamelCase spelling of `snake`.
fn is_camel_of(camel: &str, snake: &str) -> bool {
    let mut wanted = snake.split('_').enumerate().flat_map(|(index, word)| {
        word.chars().enumerate().map(move |(at, letter)| {
            if index > 0 && at == 0 { letter.to_ascii_uppercase() } else { letter }
        })
    });
    camel.chars().all(|letter| wanted.next() == Some(letter)) && wanted.next().is_none()
}

/// A double as the whole number that it is.
fn whole(number: f64) -> Option<i64> {
    // 2^63 is the first double beyond i64.
    (number.fract() == 0.0 && number >= -(2f64.powi(63)) && number < 2f64.powi(63))
        .then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &'static str) -> Fields<'static> {
        Fields::from_body(text.as_bytes()).expect("a good body")
    }

    fn message<T: fmt::Debug>(result: Result<T, ApiError>) -> String {
        result.expect_err("refused").message
    }

    #[test]
    fn both_spellings_are_read_and_never_together() {
        assert_eq!(fields(r#"{"run_name":"a"}"#).text("run_name").unwrap(), Some("a"));
        assert_eq!(fields(r#"{"runName":"a"}"#).text("run_name").unwrap(), Some("a"));
        assert_eq!(fields(r#"{"runname":"a"}"#).text("run_name").unwrap(), None);
        assert_eq!(
            message(fields(r#"{"runName":"a","run_name":"a"}"#).text("run_name")),
            "Request specifies both 'run_name' and 'runName'; provide only one of them."
        );
        assert_eq!(Fields::from_query("runName=a").text("run_name").unwrap(), None);
    }

    #[test]
    fn numbers_may_be_texts() {
        for (text, expected) in [
            (r#"{"n":12}"#, Some(12)),
            (r#"{"n":"1700000000000"}"#, Some(1_700_000_000_000)),
            (r#"{"n":12.0}"#, Some(12)),
            (r#"{"n":"-9223372036854775808"}"#, Some(i64::MIN)),
            (r#"{"n":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(fields(text).int("n").unwrap(), expected, "{text}");
        }
        for text in [
            r#"{"n":1.5}"#,
            r#"{"n":"x"}"#,
            r#"{"n":true}"#,
            r#"{"n":9223372036854775808}"#,
            r#"{"n":[]}"#,
        ] {
            assert!(fields(text).int("n").is_err(), "{text}");
        }
    }

    #[test]
    fn doubles_have_names_for_what_json_has_not() {
        assert!(fields(r#"{"v":"NaN"}"#).double("v").unwrap().unwrap().is_nan());
        assert_eq!(fields(r#"{"v":"-Infinity"}"#).double("v").unwrap(), Some(f64::NEG_INFINITY));
        assert_eq!(fields(r#"{"v":"1e3"}"#).double("v").unwrap(), Some(1000.0));
        assert_eq!(fields(r#"{"v":3}"#).double("v").unwrap(), Some(3.0));
        for text in [r#"{"v":"nan"}"#, r#"{"v":"inf"}"#, r#"{"v":"abc"}"#, r#"{"v":false}"#] {
            assert!(fields(text).double("v").is_err(), "{text}");
        }
    }

    #[test]
    fn wrong_types_are_named_with_their_place() {
        let batch = fields(r#"{"metrics":[{"key":"a"},{"key":5}]}"#);
        let metrics = batch.objects("metrics").unwrap();
        assert_eq!(
            message(metrics[1].text("key")),
            "Invalid value 5 for parameter 'metrics[1].key' supplied:  Hint: Value was of type \
             'int'. See the API docs for more information about request parameters."
        );
    }

    #[test]
    fn an_empty_text_is_missing() {
        assert_eq!(
            message(fields(r#"{"name":""}"#).required_text("name")),
            "Missing value for required parameter 'name'. See the API docs for more information \
             about request parameters."
        );
    }

    #[test]
    fn enums_are_read_by_name_and_number() {
        assert_eq!(fields(r#"{"v":"ALL"}"#).view_type("v").unwrap(), ViewType::All);
        assert_eq!(fields(r#"{"v":2}"#).view_type("v").unwrap(), ViewType::DeletedOnly);
        assert!(fields(r#"{"v":"all"}"#).view_type("v").is_err());
        assert_eq!(fields(r#"{"status":3}"#).run_status().unwrap(), Some(RunStatus::Finished));
        assert!(fields(r#"{"status":"DONE"}"#).run_status().is_err());
    }

    #[test]
    fn bodies_that_are_no_object_are_refused() {
        for text in ["[1]", "3", "{", "nonsense", r#"{"a":NaN}"#] {
            assert!(Fields::from_body(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Fields::from_body(b" \n").is_ok());
    }
}
