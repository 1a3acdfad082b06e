//! What a filter or an order means, after every name and operator in it was checked.

use crate::error::Span;

/// The kind of thing that is searched. Each has its own fields and its own allowed operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// Runs.
    Runs,
    /// Experiments.
    Experiments,
    /// Registered models.
    RegisteredModels,
    /// Versions of registered models.
    ModelVersions,
    /// Logged models.
    LoggedModels,
}

/// A condition on one row.
///
/// MLflow knows comparisons joined by `AND` only; `Or` and `Not` come from Cairn's own dialect
/// ([`super::parse_extended`]). Two-valued: a comparison holds or does not, and `Not` of one that
/// does not hold because the row has no such field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// All of these hold. Never empty, and in the order of the text.
    And(Vec<Expr>),
    /// At least one of these holds. Never empty, and in the order of the text.
    Or(Vec<Expr>),
    /// This does not hold.
    Not(Box<Expr>),
    /// One comparison.
    Compare(Comparison),
}

/// One clause: a field, an operator, and what it is compared with.
///
/// The parser has checked that the operator suits the field and the value suits the operator:
/// see [`Op`] for which value each operator carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub field: Field,
    /// How.
    pub op: Op,
    /// With what.
    pub value: Value,
    /// The whole clause, in bytes of the filter.
    pub span: Span,
}

/// A field of the searched entity.
///
/// `Metric`, `Param` and `Tag` belong to the entity that is searched (a run's tag, a model
/// version's tag); an attribute names its entity, and is only ever met in a search of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// The latest value of a metric, by key. Runs and logged models.
    Metric(String),
    /// A parameter, by key; compared as text. Runs and logged models.
    Param(String),
    /// A tag, by key. Every entity; for orders runs only.
    Tag(String),
    /// Something about a dataset that a run used. Filters of runs only, never an order.
    Dataset(DatasetAttribute),
    /// A run's own field.
    Run(RunAttribute),
    /// An experiment's own field.
    Experiment(ExperimentAttribute),
    /// A registered model's own field.
    RegisteredModel(RegisteredModelAttribute),
    /// A model version's own field.
    ModelVersion(ModelVersionAttribute),
    /// A logged model's own field.
    LoggedModel(LoggedModelAttribute),
}

/// A run's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunAttribute {
    /// Text; the only run field that takes `IN` and `NOT IN`.
    RunId,
    /// Text. MLflow compares the tag `mlflow.runName`, which equals the run's name.
    RunName,
    /// Text, a status name in capitals.
    Status,
    /// Text.
    ArtifactUri,
    /// Text.
    UserId,
    /// Number, milliseconds since 1970. Also spelled `created`.
    StartTime,
    /// Number, milliseconds since 1970.
    EndTime,
    /// Number, milliseconds from start to end, or until now for a run that has no end. Cairn's own
    /// dialect only.
    Duration,
}

/// The fields of a dataset that a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetAttribute {
    /// Text.
    Name,
    /// Text.
    Digest,
    /// Text: the input tag `mlflow.data.context`.
    Context,
}

/// An experiment's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExperimentAttribute {
    /// Text.
    Name,
    /// Text in the filter although the column is a number: always the digits of an `i64`. Takes
    /// `=`, `!=`, `IN` and `NOT IN` only.
    ExperimentId,
    /// Whole number, milliseconds since 1970.
    CreationTime,
    /// Whole number, milliseconds since 1970.
    LastUpdateTime,
}

/// A registered model's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegisteredModelAttribute {
    /// Text; takes `IN` and `NOT IN`.
    Name,
    /// Milliseconds since 1970; only in orders, where `timestamp` means it too.
    LastUpdatedTimestamp,
}

/// A model version's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelVersionAttribute {
    /// Text, the registered model's name; takes `IN` and `NOT IN`.
    Name,
    /// Whole number; in the tree always [`Value::Integer`], also where it was written in quotes.
    VersionNumber,
    /// Text; takes `IN` and `NOT IN`. Only in filters.
    RunId,
    /// Text, the column `source`. Only in filters.
    SourcePath,
    /// Milliseconds since 1970; only in orders.
    CreationTimestamp,
    /// Milliseconds since 1970; only in orders.
    LastUpdatedTimestamp,
}

/// A logged model's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoggedModelAttribute {
    /// Text.
    Name,
    /// Text.
    ModelId,
    /// Text.
    ModelType,
    /// Text in the filter: `PENDING`, `READY`, `UPLOAD_FAILED`, or a text that is no status and
    /// equals none. The column is a number. Takes `=`, `!=`, `IN` and `NOT IN` only.
    Status,
    /// Text.
    StatusMessage,
    /// Text.
    SourceRunId,
    /// Text in the filter, and not always digits, although the column is a number.
    ExperimentId,
    /// Text.
    LifecycleStage,
    /// Text.
    ArtifactLocation,
    /// Number, milliseconds since 1970. Also spelled with `_ms`, and `creation_time`.
    CreationTimestamp,
    /// Number, milliseconds since 1970. Also spelled with `_ms`.
    LastUpdatedTimestamp,
}

/// A comparison operator, and the kind of [`Value`] that it carries.
///
/// In Cairn's own dialect a number may stand against a parameter or a tag: then texts that are
/// numbers are compared as such, and others do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `=`: text or number, as the field is.
    Eq,
    /// `!=`: text or number. A row without the field does not match.
    Ne,
    /// `>`: number.
    Gt,
    /// `>=`: number.
    Ge,
    /// `<`: number.
    Lt,
    /// `<=`: number.
    Le,
    /// `LIKE`: text with the wildcards `%` and `_` and no escape character; upper and lower case
    /// differ.
    Like,
    /// `ILIKE`: as `LIKE`, but upper and lower case are the same.
    ILike,
    /// `NOT LIKE`: as `LIKE`; a row without the field does not match. Cairn's own dialect only.
    NotLike,
    /// `NOT ILIKE`: likewise.
    NotILike,
    /// `REGEXP`: a regular expression in the syntax of the crate `regex` that finds something in
    /// the text; always a valid one. Cairn's own dialect only.
    Regexp,
    /// `NOT REGEXP`: likewise; a row without the field does not match.
    NotRegexp,
    /// `IN`: a list, never empty.
    In,
    /// `NOT IN`: a list, never empty.
    NotIn,
    /// `IS NULL`: no value. The row has no such field.
    IsNull,
    /// `IS NOT NULL`: no value. The row has such a field.
    IsNotNull,
}

impl Op {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Like => "LIKE",
            Self::ILike => "ILIKE",
            Self::NotLike => "NOT LIKE",
            Self::NotILike => "NOT ILIKE",
            Self::Regexp => "REGEXP",
            Self::NotRegexp => "NOT REGEXP",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::IsNull => "IS NULL",
            Self::IsNotNull => "IS NOT NULL",
        }
    }

    /// The operator with a spelling in capitals and single spaces, or `None`.
    pub(super) fn from_written(written: &str) -> Option<Self> {
        [
            Self::Eq,
            Self::Ne,
            Self::Gt,
            Self::Ge,
            Self::Lt,
            Self::Le,
            Self::Like,
            Self::ILike,
            Self::NotLike,
            Self::NotILike,
            Self::Regexp,
            Self::NotRegexp,
            Self::In,
            Self::NotIn,
            Self::IsNull,
            Self::IsNotNull,
        ]
        .into_iter()
        .find(|op| op.as_str() == written)
    }
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text, without its quotes. What looks like an escape in it is none.
    Text(String),
    /// A whole number, exact.
    Integer(i64),
    /// Any other number: fractions, and what `i64` cannot hold. Never NaN; infinite where the digits
    /// exceed the largest double.
    Number(f64),
    /// The texts of a list in parentheses, in their order.
    List(Vec<String>),
    /// Nothing, for `IS NULL` and `IS NOT NULL`.
    None,
}

/// One key of an order.
///
/// The default order and the keys that break ties are no part of it; they are the store's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// What is sorted by.
    pub field: Field,
    /// Smallest first.
    pub ascending: bool,
}
