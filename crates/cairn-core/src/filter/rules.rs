//! Which names each entity knows, which operators each field takes, and what it is compared with.
//!
//! Source: the tables of MLflow's search interface, and the texts with which MLflow refuses.

use super::tree::{
    DatasetAttribute, Entity, ExperimentAttribute, Field, LoggedModelAttribute,
    ModelVersionAttribute, Op, RegisteredModelAttribute, RunAttribute,
};
use crate::ids::shorten;

/// What stands on the right of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// A quoted text.
    Text,
    /// A quoted text that holds a whole number.
    IntegerText,
    /// Any number.
    Number,
    /// A whole number.
    Integer,
    /// A whole number, in quotes or not.
    IntegerOrText,
}

/// Whether names are looked up for a filter or for an order; they differ a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Filter,
    Order,
}

/// What the part of a name before its first dot can mean.
enum Prefix {
    Metric,
    Param,
    Tag,
    Attribute,
    Dataset,
}

const NUMERIC: &[Op] = &[Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Gt, Op::Ge];
const TEXT: &[Op] = &[Op::Ne, Op::Eq, Op::ILike, Op::Like];
const TEXT_OR_NULL: &[Op] = &[Op::Ne, Op::Eq, Op::ILike, Op::IsNotNull, Op::IsNull, Op::Like];
const TEXT_OR_LIST: &[Op] = &[Op::Ne, Op::Eq, Op::ILike, Op::In, Op::Like, Op::NotIn];
const EXACT_OR_LIST: &[Op] = &[Op::Ne, Op::Eq, Op::In, Op::NotIn];

/// The operators of a field, and what they compare it with.
pub(super) fn operators(entity: Entity, field: &Field) -> (&'static [Op], Operand) {
    match field {
        Field::Metric(_) => (NUMERIC, Operand::Number),
        Field::Param(_) | Field::Tag(_) => match entity {
            Entity::Runs | Entity::Experiments => (TEXT_OR_NULL, Operand::Text),
            Entity::RegisteredModels | Entity::ModelVersions => (TEXT, Operand::Text),
            Entity::LoggedModels => (TEXT_OR_LIST, Operand::Text),
        },
        Field::Dataset(_) => (TEXT_OR_LIST, Operand::Text),
        Field::Run(attribute) => match attribute {
            RunAttribute::RunId => (TEXT_OR_LIST, Operand::Text),
            RunAttribute::RunName
            | RunAttribute::Status
            | RunAttribute::ArtifactUri
            | RunAttribute::UserId => (TEXT, Operand::Text),
            RunAttribute::StartTime | RunAttribute::EndTime | RunAttribute::Duration => {
                (NUMERIC, Operand::Number)
            }
        },
        Field::Experiment(attribute) => match attribute {
            ExperimentAttribute::Name => (TEXT, Operand::Text),
            ExperimentAttribute::ExperimentId => (EXACT_OR_LIST, Operand::IntegerText),
            ExperimentAttribute::CreationTime | ExperimentAttribute::LastUpdateTime => {
                (NUMERIC, Operand::Integer)
            }
        },
        Field::RegisteredModel(attribute) => match attribute {
            RegisteredModelAttribute::Name => (TEXT_OR_LIST, Operand::Text),
            RegisteredModelAttribute::LastUpdatedTimestamp => (NUMERIC, Operand::Integer),
        },
        Field::ModelVersion(attribute) => match attribute {
            ModelVersionAttribute::Name | ModelVersionAttribute::RunId => {
                (TEXT_OR_LIST, Operand::Text)
            }
            ModelVersionAttribute::SourcePath => (TEXT, Operand::Text),
            ModelVersionAttribute::VersionNumber => (NUMERIC, Operand::IntegerOrText),
            ModelVersionAttribute::CreationTimestamp
            | ModelVersionAttribute::LastUpdatedTimestamp => (NUMERIC, Operand::Integer),
        },
        Field::LoggedModel(attribute) => match attribute {
            LoggedModelAttribute::Status => (EXACT_OR_LIST, Operand::Text),
            LoggedModelAttribute::Name
            | LoggedModelAttribute::ModelId
            | LoggedModelAttribute::ModelType
            | LoggedModelAttribute::StatusMessage
            | LoggedModelAttribute::SourceRunId
            | LoggedModelAttribute::ExperimentId
            | LoggedModelAttribute::LifecycleStage
            | LoggedModelAttribute::ArtifactLocation => (TEXT_OR_LIST, Operand::Text),
            LoggedModelAttribute::CreationTimestamp
            | LoggedModelAttribute::LastUpdatedTimestamp => (NUMERIC, Operand::Number),
        },
    }
}

/// What stands on the right of an operator in Cairn's own dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text; for parameters and tags also a number.
    Text {
        or_number: bool,
    },
    /// A text of a fixed few, compared as a whole.
    Word,
    /// A quoted text that holds a whole number.
    IntegerText,
    Number,
    /// Milliseconds since 1970, a date, or a time before now.
    Time,
    /// Milliseconds, or a number with a unit.
    Duration,
    /// A whole number, in quotes or not.
    Version,
}

/// What a field is compared with in Cairn's own dialect, and by which operators, in groups.
pub(super) fn extended(entity: Entity, field: &Field) -> (Kind, &'static [&'static [Op]]) {
    const EQUAL: &[Op] = &[Op::Eq, Op::Ne];
    const RANGE: &[Op] = &[Op::Gt, Op::Ge, Op::Lt, Op::Le];
    const PATTERN: &[Op] =
        &[Op::Like, Op::NotLike, Op::ILike, Op::NotILike, Op::Regexp, Op::NotRegexp];
    const LIST: &[Op] = &[Op::In, Op::NotIn];
    const PRESENCE: &[Op] = &[Op::IsNull, Op::IsNotNull];
    const NUMBERS: &[&[Op]] = &[EQUAL, RANGE, LIST, PRESENCE];
    const TEXTS: &[&[Op]] = &[EQUAL, PATTERN, LIST, PRESENCE];
    const TEXTS_OR_NUMBERS: &[&[Op]] = &[EQUAL, RANGE, PATTERN, LIST, PRESENCE];
    // Whether there is a dataset is no question about one of its fields.
    const DATASET: &[&[Op]] = &[EQUAL, PATTERN, LIST];
    const WORDS: &[&[Op]] = &[EXACT_OR_LIST];
    match field {
        Field::Metric(_) => (Kind::Number, NUMBERS),
        Field::Param(_) | Field::Tag(_) => (Kind::Text { or_number: true }, TEXTS_OR_NUMBERS),
        Field::Dataset(_) => (Kind::Text { or_number: false }, DATASET),
        Field::Run(RunAttribute::Duration) => (Kind::Duration, NUMBERS),
        Field::LoggedModel(LoggedModelAttribute::Status) => (Kind::Word, WORDS),
        field => match operators(entity, field).1 {
            Operand::Text => (Kind::Text { or_number: false }, TEXTS),
            Operand::IntegerText => (Kind::IntegerText, WORDS),
            // Every other number of an entity's own is a time.
            Operand::Number | Operand::Integer => (Kind::Time, NUMBERS),
            Operand::IntegerOrText => (Kind::Version, NUMBERS),
        },
    }
}

/// Whether a name means a run's duration, which MLflow's language has no name for.
pub(super) fn is_duration(entity: Entity, name: &str) -> bool {
    let (prefix, key) = split(name);
    entity == Entity::Runs
        && unquote(key, entity) == "duration"
        && prefix
            .is_none_or(|written| matches!(self::prefix(entity, written), Some(Prefix::Attribute)))
}

/// The field with a name; the refusal is MLflow's sentence about it.
pub(super) fn field(entity: Entity, used_in: Use, name: &str) -> Result<Field, String> {
    if entity == Entity::RegisteredModels && used_in == Use::Order {
        return registered_model_order(name);
    }
    let (prefix, key) = split(name);
    let prefix = match prefix {
        None => Prefix::Attribute,
        Some(written) => {
            self::prefix(entity, written).ok_or_else(|| unknown_prefix(entity, written))?
        }
    };
    let key = unquote(key, entity);
    match prefix {
        Prefix::Metric => keyed(Field::Metric, "metric", key),
        Prefix::Param => keyed(Field::Param, "parameter", key),
        Prefix::Tag => match (used_in, entity) {
            (Use::Filter, _) | (Use::Order, Entity::Runs) => keyed(Field::Tag, "tag", key),
            (Use::Order, Entity::Experiments) => {
                Err("Invalid order_by entity: tag. Experiments are ordered by attributes".into())
            }
            (Use::Order, Entity::LoggedModels) => Err(only_metrics(name)),
            (Use::Order, Entity::RegisteredModels | Entity::ModelVersions) => Err(format!(
                "Invalid order by key '{}' specified. Valid keys are {}",
                shorten(key),
                attribute_names(entity, used_in)
            )),
        },
        Prefix::Dataset if used_in == Use::Order => {
            Err("Invalid identifier type 'dataset'. Runs are not ordered by datasets".into())
        }
        Prefix::Dataset => DATASET_NAMES
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, attribute)| Field::Dataset(*attribute))
            .ok_or_else(|| {
                unknown_key("dataset", key, &set(DATASET_NAMES.iter().map(|(n, _)| *n)))
            }),
        Prefix::Attribute => attributes(entity, used_in)
            .find(|(known, _)| *known == key)
            .map(|(_, field)| field)
            .ok_or_else(|| unknown_key("attribute", key, &attribute_names(entity, used_in))),
    }
    .and_then(|field| match field {
        Field::Param(_) if used_in == Use::Order && entity == Entity::LoggedModels => {
            Err(only_metrics(name))
        }
        field => Ok(field),
    })
}

/// The field that logged models are ordered by; the interface sends it without quotes, so that a
/// metric's key is everything behind the dot.
pub(super) fn logged_model_order(name: &str) -> Result<Field, String> {
    let Some((prefix, key)) = name.split_once('.') else {
        return attributes(Entity::LoggedModels, Use::Order)
            .find(|(known, _)| *known == name)
            .map(|(_, field)| field)
            .ok_or_else(|| format!("Invalid order by field name: {}", shorten(name)));
    };
    if prefix != "metrics" {
        return Err(only_metrics(name));
    }
    keyed(Field::Metric, "metric", unquote(key, Entity::LoggedModels))
}

/// Registered models are ordered by bare names only.
fn registered_model_order(name: &str) -> Result<Field, String> {
    attributes(Entity::RegisteredModels, Use::Order)
        .find(|(known, _)| *known == name)
        .map(|(_, field)| field)
        .ok_or_else(|| {
            format!(
                "Invalid order by key '{}' specified. Valid keys are {}",
                shorten(name),
                attribute_names(Entity::RegisteredModels, Use::Order)
            )
        })
}

fn only_metrics(name: &str) -> String {
    format!("Invalid order by field name: {}. Only metrics are supported.", shorten(name))
}

fn keyed(field: fn(String) -> Field, kind: &str, key: &str) -> Result<Field, String> {
    if key.is_empty() {
        return Err(format!("Invalid {kind} key ''. A key name must be provided"));
    }
    Ok(field(key.to_owned()))
}

/// Cuts a name at its first dot, dots in a leading quoted part aside.
fn split(name: &str) -> (Option<&str>, &str) {
    for quote in ['`', '"'] {
        if let Some((inside, rest)) =
            name.strip_prefix(quote).and_then(|inside| inside.split_once(quote))
        {
            return match rest.strip_prefix('.') {
                Some(key) => (Some(inside), key),
                None => (None, name),
            };
        }
    }
    match name.split_once('.') {
        Some((prefix, key)) => (Some(prefix), key),
        None => (None, name),
    }
}

/// Takes the quotes off a key that is quoted as a whole. In logged models only backticks quote.
fn unquote(key: &str, entity: Entity) -> &str {
    let quotes: &[char] = if entity == Entity::LoggedModels { &['`'] } else { &['`', '"', '\''] };
    quotes.iter().find_map(|&quote| key.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(key)
}

fn prefix(entity: Entity, written: &str) -> Option<Prefix> {
    Some(match (entity, written) {
        (Entity::Runs, "metric" | "metrics") | (Entity::LoggedModels, "metrics") => Prefix::Metric,
        (Entity::Runs, "param" | "params" | "parameter" | "parameters")
        | (Entity::LoggedModels, "params") => Prefix::Param,
        (
            Entity::Runs
            | Entity::Experiments
            | Entity::RegisteredModels
            | Entity::ModelVersions
            | Entity::LoggedModels,
            "tags",
        )
        | (
            Entity::Runs | Entity::Experiments | Entity::RegisteredModels | Entity::ModelVersions,
            "tag",
        ) => Prefix::Tag,
        (Entity::Runs, "attribute" | "attributes" | "attr" | "run")
        | (Entity::Experiments, "attribute" | "attributes")
        | (Entity::RegisteredModels | Entity::ModelVersions, "attribute")
        | (Entity::LoggedModels, "attributes") => Prefix::Attribute,
        (Entity::Runs, "dataset" | "datasets") => Prefix::Dataset,
        _ => return None,
    })
}

fn unknown_prefix(entity: Entity, written: &str) -> String {
    let written = shorten(written);
    match entity {
        Entity::Runs => format!(
            "Invalid entity type '{written}'. Valid values are ['metric', 'parameter', 'tag', \
             'attribute', 'dataset']"
        ),
        Entity::Experiments | Entity::RegisteredModels | Entity::ModelVersions => format!(
            "Invalid entity type '{written}'. Valid entity types are ('attribute', 'tag', 'tags')"
        ),
        Entity::LoggedModels => format!(
            "Invalid entity type: '{written}'. Expected one of ['attributes', 'metrics', 'params', \
             'tags']."
        ),
    }
}

fn unknown_key(kind: &str, key: &str, valid: &str) -> String {
    format!("Invalid {kind} key '{}' specified. Valid keys are '{valid}'", shorten(key))
}

/// The names in the form of a Python set, as MLflow's sentences show them.
fn set<'name>(names: impl Iterator<Item = &'name str>) -> String {
    let quoted: Vec<_> = names.map(|name| format!("'{name}'")).collect();
    format!("{{{}}}", quoted.join(", "))
}

fn attribute_names(entity: Entity, used_in: Use) -> String {
    set(attributes(entity, used_in).map(|(name, _)| name))
}

/// All spellings of the attributes that an entity has in filters or in orders.
fn attributes(entity: Entity, used_in: Use) -> impl Iterator<Item = (&'static str, Field)> {
    let named = match (entity, used_in) {
        (Entity::Runs, _) => RUN_NAMES,
        (Entity::Experiments, _) => EXPERIMENT_NAMES,
        (Entity::RegisteredModels, Use::Filter) => MODEL_FILTER_NAMES,
        (Entity::RegisteredModels, Use::Order) => MODEL_ORDER_NAMES,
        (Entity::ModelVersions, Use::Filter) => VERSION_FILTER_NAMES,
        (Entity::ModelVersions, Use::Order) => VERSION_ORDER_NAMES,
        (Entity::LoggedModels, _) => LOGGED_MODEL_NAMES,
    };
    // Spellings with a space are for filters only.
    named
        .iter()
        .filter(move |(name, _)| used_in == Use::Filter || !name.contains(' '))
        .map(|(name, field)| (*name, field.clone()))
}

const RUN_NAMES: &[(&str, Field)] = &[
    ("run_id", Field::Run(RunAttribute::RunId)),
    ("run_name", Field::Run(RunAttribute::RunName)),
    ("status", Field::Run(RunAttribute::Status)),
    ("artifact_uri", Field::Run(RunAttribute::ArtifactUri)),
    ("user_id", Field::Run(RunAttribute::UserId)),
    ("start_time", Field::Run(RunAttribute::StartTime)),
    ("end_time", Field::Run(RunAttribute::EndTime)),
    ("created", Field::Run(RunAttribute::StartTime)),
    ("Created", Field::Run(RunAttribute::StartTime)),
    ("run name", Field::Run(RunAttribute::RunName)),
    ("Run name", Field::Run(RunAttribute::RunName)),
    ("Run Name", Field::Run(RunAttribute::RunName)),
];

const EXPERIMENT_NAMES: &[(&str, Field)] = &[
    ("name", Field::Experiment(ExperimentAttribute::Name)),
    ("experiment_id", Field::Experiment(ExperimentAttribute::ExperimentId)),
    ("creation_time", Field::Experiment(ExperimentAttribute::CreationTime)),
    ("last_update_time", Field::Experiment(ExperimentAttribute::LastUpdateTime)),
];

const MODEL_FILTER_NAMES: &[(&str, Field)] =
    &[("name", Field::RegisteredModel(RegisteredModelAttribute::Name))];

const MODEL_ORDER_NAMES: &[(&str, Field)] = &[
    ("name", Field::RegisteredModel(RegisteredModelAttribute::Name)),
    ("timestamp", Field::RegisteredModel(RegisteredModelAttribute::LastUpdatedTimestamp)),
    (
        "last_updated_timestamp",
        Field::RegisteredModel(RegisteredModelAttribute::LastUpdatedTimestamp),
    ),
];

const VERSION_FILTER_NAMES: &[(&str, Field)] = &[
    ("name", Field::ModelVersion(ModelVersionAttribute::Name)),
    ("run_id", Field::ModelVersion(ModelVersionAttribute::RunId)),
    ("source_path", Field::ModelVersion(ModelVersionAttribute::SourcePath)),
    ("version_number", Field::ModelVersion(ModelVersionAttribute::VersionNumber)),
];

const VERSION_ORDER_NAMES: &[(&str, Field)] = &[
    ("name", Field::ModelVersion(ModelVersionAttribute::Name)),
    ("version_number", Field::ModelVersion(ModelVersionAttribute::VersionNumber)),
    ("creation_timestamp", Field::ModelVersion(ModelVersionAttribute::CreationTimestamp)),
    ("last_updated_timestamp", Field::ModelVersion(ModelVersionAttribute::LastUpdatedTimestamp)),
];

const LOGGED_MODEL_NAMES: &[(&str, Field)] = &[
    ("name", Field::LoggedModel(LoggedModelAttribute::Name)),
    ("model_id", Field::LoggedModel(LoggedModelAttribute::ModelId)),
    ("model_type", Field::LoggedModel(LoggedModelAttribute::ModelType)),
    ("status", Field::LoggedModel(LoggedModelAttribute::Status)),
    ("status_message", Field::LoggedModel(LoggedModelAttribute::StatusMessage)),
    ("source_run_id", Field::LoggedModel(LoggedModelAttribute::SourceRunId)),
    ("experiment_id", Field::LoggedModel(LoggedModelAttribute::ExperimentId)),
    ("lifecycle_stage", Field::LoggedModel(LoggedModelAttribute::LifecycleStage)),
    ("artifact_location", Field::LoggedModel(LoggedModelAttribute::ArtifactLocation)),
    ("creation_timestamp", Field::LoggedModel(LoggedModelAttribute::CreationTimestamp)),
    ("creation_timestamp_ms", Field::LoggedModel(LoggedModelAttribute::CreationTimestamp)),
    ("creation_time", Field::LoggedModel(LoggedModelAttribute::CreationTimestamp)),
    ("last_updated_timestamp", Field::LoggedModel(LoggedModelAttribute::LastUpdatedTimestamp)),
    ("last_updated_timestamp_ms", Field::LoggedModel(LoggedModelAttribute::LastUpdatedTimestamp)),
];

const DATASET_NAMES: &[(&str, DatasetAttribute)] = &[
    ("name", DatasetAttribute::Name),
    ("digest", DatasetAttribute::Digest),
    ("context", DatasetAttribute::Context),
];

/// MLflow's sentence about an operator that a field does not take.
pub(super) fn refused_operator(entity: Entity, field: &Field, written: &str) -> String {
    let (allowed, _) = operators(entity, field);
    let written = shorten(written);
    let names = || allowed.iter().map(|op| op.as_str());
    match (entity, written.as_str()) {
        (Entity::LoggedModels, _) => {
            let names: Vec<_> = names().map(|name| format!("'{name}'")).collect();
            format!(
                "Invalid comparison operator for {}: '{written}'. Expected one of ({}).",
                describe(entity, field),
                names.join(", ")
            )
        }
        (Entity::Runs, "IS NULL" | "IS NOT NULL") => format!(
            "IS NULL / IS NOT NULL is only supported for tags and params, not for {}",
            describe(entity, field)
        ),
        (Entity::Experiments, "IS NULL" | "IS NOT NULL") => format!(
            "IS NULL / IS NOT NULL is only supported for tags, not for {}",
            describe(entity, field)
        ),
        (Entity::Runs, "IN" | "NOT IN") if matches!(field, Field::Run(_)) => {
            only_lists(&["run_id"])
        }
        (Entity::Experiments, "IN" | "NOT IN") if matches!(field, Field::Experiment(_)) => {
            only_lists(&["experiment_id"])
        }
        (Entity::ModelVersions, "IN" | "NOT IN") if matches!(field, Field::ModelVersion(_)) => {
            only_lists(&["name", "run_id"])
        }
        _ => format!("Invalid comparator '{written}' not one of '{}'", set(names())),
    }
}

fn only_lists(attributes: &[&str]) -> String {
    let names: Vec<_> = attributes.iter().map(|name| format!("'{name}'")).collect();
    format!(
        "Only [{}] attributes support comparison with a list of quoted string values.",
        names.join(", ")
    )
}

/// A field as MLflow's sentences name it: `'attribute' 'status'`, or `attributes.status` for logged
/// models.
pub(super) fn describe(entity: Entity, field: &Field) -> String {
    let (kind, plural, key) = match field {
        Field::Metric(key) => ("metric", "metrics", key.as_str()),
        Field::Param(key) => ("parameter", "params", key.as_str()),
        Field::Tag(key) => ("tag", "tags", key.as_str()),
        Field::Dataset(attribute) => ("dataset", "datasets", dataset_name(*attribute)),
        Field::Run(_)
        | Field::Experiment(_)
        | Field::RegisteredModel(_)
        | Field::ModelVersion(_)
        | Field::LoggedModel(_) => ("attribute", "attributes", attribute_name(entity, field)),
    };
    if entity == Entity::LoggedModels {
        format!("{plural}.{}", shorten(key))
    } else {
        format!("'{kind}' '{}'", shorten(key))
    }
}

/// The first spelling of an attribute.
pub(super) fn attribute_name(entity: Entity, field: &Field) -> &'static str {
    attributes(entity, Use::Filter)
        .chain(attributes(entity, Use::Order))
        .find(|(_, known)| known == field)
        .map_or("", |(name, _)| name)
}

fn dataset_name(attribute: DatasetAttribute) -> &'static str {
    DATASET_NAMES.iter().find(|(_, known)| *known == attribute).map_or("", |(name, _)| *name)
}
