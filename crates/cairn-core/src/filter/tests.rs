//! The language as a whole: what is accepted, what is refused in which words, and where.

use proptest::prelude::*;

use super::*;
use crate::error::Invalid;

const ENTITIES: [Entity; 5] = [
    Entity::Runs,
    Entity::Experiments,
    Entity::RegisteredModels,
    Entity::ModelVersions,
    Entity::LoggedModels,
];

/// The clauses of a filter, without their places.
fn clauses(entity: Entity, text: &str) -> Result<Vec<(Field, Op, Value)>, Invalid> {
    fn flatten(expr: Expr, into: &mut Vec<(Field, Op, Value)>) {
        match expr {
            Expr::And(parts) => parts.into_iter().for_each(|part| flatten(part, into)),
            Expr::Compare(one) => into.push((one.field, one.op, one.value)),
            Expr::Or(_) | Expr::Not(_) => panic!("MLflow's language has neither"),
        }
    }
    let mut found = Vec::new();
    if let Some(expr) = parse(entity, text)? {
        flatten(expr, &mut found);
    }
    Ok(found)
}

fn check(entity: Entity, text: &str, field: Field, op: Op, value: Value) {
    assert_eq!(clauses(entity, text), Ok(vec![(field, op, value)]), "{text}");
}

/// The filter is refused with this message, pointing at this part of it.
fn check_refused(entity: Entity, text: &str, message: &str, place: &str) {
    let Err(refused) = parse(entity, text) else { panic!("{text:?} was accepted") };
    assert_eq!(refused.message, message, "{text}");
    let span = refused.span.expect(text);
    assert_eq!(&text[span.start..span.end], place, "{text}");
}

fn metric(key: &str) -> Field {
    Field::Metric(key.into())
}

fn param(key: &str) -> Field {
    Field::Param(key.into())
}

fn tag(key: &str) -> Field {
    Field::Tag(key.into())
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn list(values: &[&str]) -> Value {
    Value::List(values.iter().map(|&value| value.into()).collect())
}

#[test]
fn an_empty_filter_asks_nothing() {
    for entity in ENTITIES {
        assert_eq!(parse(entity, ""), Ok(None));
        assert_eq!(parse(entity, "AND"), Ok(None));
        check_refused(entity, "  ", "Invalid filter '  '. Could not be parsed.", "  ");
    }
}

#[test]
fn clauses_are_joined_by_and_in_any_case() {
    let expected =
        Ok(vec![(metric("a"), Op::Gt, Value::Number(0.5)), (param("b"), Op::Eq, text("x and y"))]);
    for filter in [
        "metrics.a > 0.5 AND params.b = 'x and y'",
        "metrics.a>0.5 and params.b='x and y'AND",
        "\tmetric.a >.5\nAnd param.b = \"x and y\" AND AND",
        "AND `metrics`.`a` > 5e-1 and parameters.b = 'x and y'",
    ] {
        assert_eq!(clauses(Entity::Runs, filter), expected, "{filter}");
    }
}

#[test]
fn a_clause_knows_its_place() {
    let filter = "metrics.a = 1  AND  params.é IS NOT NULL ";
    let Ok(Some(Expr::And(parts))) = parse(Entity::Runs, filter) else { panic!("two clauses") };
    let places: Vec<_> = parts
        .iter()
        .map(|part| match part {
            Expr::Compare(one) => &filter[one.span.start..one.span.end],
            Expr::And(_) | Expr::Or(_) | Expr::Not(_) => "",
        })
        .collect();
    assert_eq!(places, ["metrics.a = 1", "params.é IS NOT NULL"]);
}

#[test]
fn keys_may_be_quoted_and_keep_their_dots() {
    for (filter, key) in [
        ("metrics.a.b.c = 1", "a.b.c"),
        ("metrics.`a-b/c d` = 1", "a-b/c d"),
        ("metrics.\"a-b\" = 1", "a-b"),
        ("metrics.'a b' = 1", "a b"),
        ("metrics.é = 1", "é"),
        ("metrics.模型 = 1", "模型"),
        ("metrics.1a = 1", "1a"),
        ("metrics.count = 1", "count"),
        ("metrics.and = 1", "and"),
        ("metrics.A = 1", "A"),
    ] {
        check(Entity::Runs, filter, metric(key), Op::Eq, Value::Integer(1));
    }
    check(Entity::Runs, "tags.mlflow.runName = 'x'", tag("mlflow.runName"), Op::Eq, text("x"));
}

#[test]
fn numbers_stay_exact() {
    for (written, value) in [
        ("7", Value::Integer(7)),
        ("-7", Value::Integer(-7)),
        ("9223372036854775807", Value::Integer(i64::MAX)),
        ("9223372036854775808", Value::Number(9_223_372_036_854_775_808.0)),
        ("5.", Value::Number(5.0)),
        ("-.5", Value::Number(-0.5)),
        ("1E-5", Value::Number(1e-5)),
        ("1e400", Value::Number(f64::INFINITY)),
    ] {
        check(Entity::Runs, &format!("metrics.a={written}"), metric("a"), Op::Eq, value);
    }
}

#[test]
fn texts_have_no_escape() {
    for (written, value) in [
        ("'x'", "x"),
        ("\"it's\"", "it's"),
        ("'it''s'", "it''s"),
        (r"'a\'b'", r"a\'b"),
        (r"'C:\'", r"C:\"),
        ("''", ""),
        ("'\"y\"'", "\"y\""),
        ("'x\ny'", "x\ny"),
        ("'模型'", "模型"),
    ] {
        check(Entity::Runs, &format!("params.a = {written}"), param("a"), Op::Eq, text(value));
    }
}

#[test]
fn operators_are_words_in_any_case() {
    check(Entity::Runs, "params.a LiKe 'x%'", param("a"), Op::Like, text("x%"));
    check(Entity::Runs, "params.a ilike 'x_'", param("a"), Op::ILike, text("x_"));
    check(Entity::Runs, "tags.a is  not\nnull", tag("a"), Op::IsNotNull, Value::None);
    check(Entity::Runs, "tags.a is null", tag("a"), Op::IsNull, Value::None);
    let run_id = Field::Run(RunAttribute::RunId);
    check(Entity::Runs, "run_id in('a',\"b\")", run_id.clone(), Op::In, list(&["a", "b"]));
    check(Entity::Runs, "run_id NOT  IN ('a',)", run_id, Op::NotIn, list(&["a"]));
}

#[test]
fn runs_have_attributes_under_many_spellings() {
    for (name, attribute) in [
        ("run_name", RunAttribute::RunName),
        ("`run name`", RunAttribute::RunName),
        ("\"Run Name\"", RunAttribute::RunName),
        ("attributes.`Run name`", RunAttribute::RunName),
        ("attr.status", RunAttribute::Status),
        ("attribute.user_id", RunAttribute::UserId),
        ("run.artifact_uri", RunAttribute::ArtifactUri),
        ("`status`", RunAttribute::Status),
    ] {
        check(Entity::Runs, &format!("{name} != 'x'"), Field::Run(attribute), Op::Ne, text("x"));
    }
    for (name, attribute) in [
        ("start_time", RunAttribute::StartTime),
        ("Created", RunAttribute::StartTime),
        ("attributes.created", RunAttribute::StartTime),
        ("end_time", RunAttribute::EndTime),
    ] {
        let filter = format!("{name} >= 1700000000000");
        let value = Value::Integer(1_700_000_000_000);
        check(Entity::Runs, &filter, Field::Run(attribute), Op::Ge, value);
    }
    check(
        Entity::Runs,
        "datasets.context NOT IN ('train', 'eval')",
        Field::Dataset(DatasetAttribute::Context),
        Op::NotIn,
        list(&["train", "eval"]),
    );
}

#[test]
fn other_entities_have_their_own_fields() {
    use ExperimentAttribute as Experiment;
    use ModelVersionAttribute as Version;
    let experiment = Entity::Experiments;
    check(
        experiment,
        "name ILIKE 'a%'",
        Field::Experiment(Experiment::Name),
        Op::ILike,
        text("a%"),
    );
    check(
        experiment,
        "attribute.experiment_id IN ('007', '2')",
        Field::Experiment(Experiment::ExperimentId),
        Op::In,
        list(&["7", "2"]),
    );
    check(
        experiment,
        "attributes.last_update_time <= 2",
        Field::Experiment(Experiment::LastUpdateTime),
        Op::Le,
        Value::Integer(2),
    );
    check(experiment, "tag.a IS NULL", tag("a"), Op::IsNull, Value::None);

    let models = Entity::RegisteredModels;
    let name = Field::RegisteredModel(RegisteredModelAttribute::Name);
    check(models, "name IN ('a')", name, Op::In, list(&["a"]));
    check(models, "tags.`a b` = 'x'", tag("a b"), Op::Eq, text("x"));

    let versions = Entity::ModelVersions;
    for filter in ["version_number = 3", "version_number='3'", "version_number=\"03\""] {
        let field = Field::ModelVersion(Version::VersionNumber);
        check(versions, filter, field, Op::Eq, Value::Integer(3));
    }
    check(versions, "run_id in ('a')", Field::ModelVersion(Version::RunId), Op::In, list(&["a"]));
    let source = Field::ModelVersion(Version::SourcePath);
    check(versions, "source_path LIKE 's3:%'", source, Op::Like, text("s3:%"));
}

#[test]
fn logged_models_read_values_more_literally() {
    let entity = Entity::LoggedModels;
    let name = || Field::LoggedModel(LoggedModelAttribute::Name);
    check(entity, "attributes.name = 'x'", name(), Op::Eq, text("x"));
    check(entity, "name = \"x\"", name(), Op::Eq, text("\"x\""));
    check(entity, "params.lr = 0.01", param("lr"), Op::Eq, text("0.01"));
    check(entity, "params.a IN ('x', 'y')", param("a"), Op::In, list(&["x", "y"]));
    check(entity, "metrics.`a b` > 1", metric("a b"), Op::Gt, Value::Integer(1));
    check(
        entity,
        "creation_timestamp_ms < 1.5",
        Field::LoggedModel(LoggedModelAttribute::CreationTimestamp),
        Op::Lt,
        Value::Number(1.5),
    );
    let status = Field::LoggedModel(LoggedModelAttribute::Status);
    check(entity, "status NOT IN ('READY')", status, Op::NotIn, list(&["READY"]));
}

#[test]
fn what_is_no_clause_is_refused_in_its_place() {
    let runs = Entity::Runs;
    for (filter, message, place) in [
        (
            "metrics.a=1 OR metrics.b=2",
            "Invalid clause(s) in filter string: 'OR'. Clauses are joined by AND only",
            "OR",
        ),
        ("NOT metrics.a=1", "Invalid clause(s) in filter string: 'NOT'", "NOT"),
        (
            "metrics.b=2 AND (metrics.a=1)",
            "Invalid clause(s) in filter string: '(metrics.a=1)'. Clauses are not put in parentheses",
            "(metrics.a=1)",
        ),
        ("metrics.a=1;", "Invalid clause(s) in filter string: ';'", ";"),
        ("metrics.a=1 -- hi", "Invalid clause(s) in filter string: '--'", "--"),
        (
            "metrics.a = 1 metrics.b=2",
            "Invalid clause(s) in filter string: 'metrics.b'. Clauses are joined by AND only",
            "metrics.b",
        ),
        ("1 = metrics.a", "Invalid comparison clause. Expected 'Identifier' found '1'", "1"),
        (
            "metrics.a-b = 1",
            "Invalid comparison clause. Expected 'Identifier' found 'metrics.a-b'. Such a key \
             stands in backticks: metrics.`a-b`",
            "metrics.a-b",
        ),
        (
            "metrics.acc/val>7",
            "Invalid comparison clause. Expected 'Identifier' found 'metrics.acc/val'. Such a key \
             stands in backticks: metrics.`acc/val`",
            "metrics.acc/val",
        ),
        (
            "metrics.a-1=2",
            "Invalid comparison clause. Expected 'Identifier' found 'metrics.a-1'. Such a key \
             stands in backticks: metrics.`a-1`",
            "metrics.a-1",
        ),
        (
            "status name = 'x'",
            "Invalid clause(s) in filter string: 'status'. An operator such as = or LIKE is expected \
             behind it",
            "status",
        ),
        (
            "params.a",
            "Invalid clause(s) in filter string: 'params.a'. An operator such as = or LIKE is \
             expected behind it",
            "params.a",
        ),
        (
            "params.a IS 'x'",
            "Invalid clause(s) in filter string: 'params.a'. An operator such as = or LIKE is \
             expected behind it",
            "IS",
        ),
        (
            "params.a = AND params.b = 'x'",
            "Invalid clause(s) in filter string: '='. A value is expected behind it",
            "",
        ),
        (
            "params.a = 'x",
            "Invalid clause(s) in filter string: ''x'. The quote is never closed",
            "'x",
        ),
        (
            "metrics.a BETWEEN 1 AND 2",
            "Invalid clause(s) in filter string: 'metrics.a'. An operator such as = or LIKE is \
             expected behind it",
            "metrics.a",
        ),
        ("= 'x'", "Invalid clause(s) in filter string: '='", "="),
    ] {
        check_refused(runs, filter, message, place);
    }
}

#[test]
fn unknown_names_are_refused_in_mlflows_words() {
    check_refused(
        Entity::Runs,
        "metrics.a = 1 AND foo.a = 1",
        "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', 'tag', 'attribute', \
         'dataset']",
        "foo.a",
    );
    check_refused(
        Entity::Runs,
        "STATUS = 'x'",
        "Invalid attribute key 'STATUS' specified. Valid keys are '{'run_id', 'run_name', \
         'status', 'artifact_uri', 'user_id', 'start_time', 'end_time', 'created', 'Created', \
         'run name', 'Run name', 'Run Name'}'",
        "STATUS",
    );
    check_refused(
        Entity::Runs,
        "dataset.foo = 'x'",
        "Invalid dataset key 'foo' specified. Valid keys are '{'name', 'digest', 'context'}'",
        "dataset.foo",
    );
    check_refused(
        Entity::Runs,
        "metrics. = 1",
        "Invalid metric key ''. A key name must be provided",
        "metrics.",
    );
    check_refused(
        Entity::RegisteredModels,
        "attributes.name = 'x'",
        "Invalid entity type 'attributes'. Valid entity types are ('attribute', 'tag', 'tags')",
        "attributes.name",
    );
    check_refused(
        Entity::ModelVersions,
        "stage = 'x'",
        "Invalid attribute key 'stage' specified. Valid keys are '{'name', 'run_id', \
         'source_path', 'version_number'}'",
        "stage",
    );
    check_refused(
        Entity::LoggedModels,
        "tag.a = 'x'",
        "Invalid entity type: 'tag'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
        "tag.a",
    );
}

#[test]
fn operators_that_do_not_suit_are_refused() {
    let numeric = "'{'!=', '<', '<=', '=', '>', '>='}'";
    let text_only = "'{'!=', '=', 'ILIKE', 'LIKE'}'";
    for (entity, filter, message, place) in [
        (
            Entity::Runs,
            "metrics.a == 1",
            format!("Invalid comparator '==' not one of {numeric}"),
            "==",
        ),
        (
            Entity::Runs,
            "metrics.a <> 1",
            format!("Invalid comparator '<>' not one of {numeric}"),
            "<>",
        ),
        (
            Entity::Runs,
            "params.a > '1'",
            "Invalid comparator '>' not one of '{'!=', '=', 'ILIKE', 'IS NOT NULL', 'IS NULL', \
             'LIKE'}'"
                .into(),
            ">",
        ),
        (
            Entity::Runs,
            "status > 'x'",
            format!("Invalid comparator '>' not one of {text_only}"),
            ">",
        ),
        (
            Entity::Runs,
            "tags.a not  like 'x'",
            "Invalid comparator 'NOT LIKE' not one of '{'!=', '=', 'ILIKE', 'IS NOT NULL', \
             'IS NULL', 'LIKE'}'"
                .into(),
            "not  like",
        ),
        (
            Entity::Runs,
            "status IN ('x')",
            "Only ['run_id'] attributes support comparison with a list of quoted string values."
                .into(),
            "IN",
        ),
        (
            Entity::Runs,
            "metrics.a IS NULL",
            "IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'a'"
                .into(),
            "IS NULL",
        ),
        (
            Entity::RegisteredModels,
            "tags.a IS NULL",
            format!("Invalid comparator 'IS NULL' not one of {text_only}"),
            "IS NULL",
        ),
        (
            Entity::ModelVersions,
            "version_number LIKE '1'",
            format!("Invalid comparator 'LIKE' not one of {numeric}"),
            "LIKE",
        ),
        (
            Entity::LoggedModels,
            "status LIKE 'R%'",
            "Invalid comparison operator for attributes.status: 'LIKE'. Expected one of ('!=', \
             '=', 'IN', 'NOT IN')."
                .into(),
            "LIKE",
        ),
    ] {
        check_refused(entity, filter, &message, place);
    }
}

#[test]
fn values_that_do_not_suit_are_refused() {
    for (entity, filter, message, place) in [
        (
            Entity::Runs,
            "metrics.a = '1'",
            "Expected numeric value type for metric. Found '1'",
            "'1'",
        ),
        (
            Entity::Runs,
            "metrics.a = 0x10",
            "Expected numeric value type for metric. Found 0x10",
            "0x10",
        ),
        (
            Entity::Runs,
            "start_time = '1'",
            "Expected numeric value type for numeric attribute: start_time. Found '1'",
            "'1'",
        ),
        (
            Entity::Runs,
            "params.a = 1",
            "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1",
            "1",
        ),
        (
            Entity::Runs,
            "status = RUNNING",
            "Parameter value is either not quoted or unidentified quote types used for string \
             value RUNNING. Use either single or double quotes.",
            "RUNNING",
        ),
        (
            Entity::Runs,
            "run_id = ('a')",
            "Expected a quoted string value for attributes. Got value ('a')",
            "('a')",
        ),
        (
            Entity::Runs,
            "run_id IN ()",
            "While parsing a list in the query, expected a non-empty list of string values, but \
             got empty list",
            "()",
        ),
        (
            Entity::Runs,
            "run_id IN ('a', abc)",
            "While parsing a list in the query, expected string value, punctuation, or \
             whitespace, but got different type in list: ('a', abc)",
            "abc",
        ),
        (
            Entity::Runs,
            "run_id IN ('a'",
            "Invalid clause(s) in filter string: '('a''. The list is never closed",
            "('a'",
        ),
        (
            Entity::Experiments,
            "creation_time > 1.5",
            "Invalid value for numeric attribute 'creation_time': 1.5",
            "1.5",
        ),
        (
            Entity::Experiments,
            "experiment_id = 'abc'",
            "Invalid experiment ID 'abc'. Experiment ID must be a valid integer.",
            "'abc'",
        ),
        (
            Entity::ModelVersions,
            "version_number = 'x'",
            "Invalid value for numeric attribute 'version_number': 'x'",
            "'x'",
        ),
        (
            Entity::LoggedModels,
            "metrics.a = '1'",
            "Expected numeric value type for metric. Found '1'",
            "'1'",
        ),
    ] {
        check_refused(entity, filter, message, place);
    }
}

#[test]
fn filters_are_bounded() {
    let too_long = "x".repeat(MAX_FILTER_BYTES + 1);
    assert!(parse(Entity::Runs, &too_long).unwrap_err().message.starts_with("The filter has"));
    let clauses = |count: usize| vec!["metrics.a = 1"; count].join(" AND ");
    assert!(parse(Entity::Runs, &clauses(MAX_CLAUSES)).is_ok());
    let refused = parse(Entity::Runs, &clauses(MAX_CLAUSES + 1)).unwrap_err();
    assert_eq!(refused.message, "The filter has more than 500 clauses");
}

/// The largest filters of several shapes are answered at once, not after minutes.
#[test]
fn large_filters_take_linear_time() {
    let repeat = |part: &str| part.repeat(MAX_FILTER_BYTES / part.len());
    let started = std::time::Instant::now();
    for filter in [
        repeat("("),
        repeat("'"),
        repeat("'a\\' "),
        repeat("\"'`"),
        repeat("a."),
        repeat("AND "),
        format!("run_id IN ({}", repeat("'a',").split_off(20)),
        repeat("é"),
        repeat("-"),
    ] {
        let _ = parse(Entity::Runs, &filter);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

fn order(entity: Entity, keys: &[&str]) -> Result<Vec<OrderItem>, Invalid> {
    parse_order(entity, &keys.iter().map(|&key| key.into()).collect::<Vec<_>>())
}

#[test]
fn orders_are_names_with_a_direction() {
    let item = |field, ascending| OrderItem { field, ascending };
    assert_eq!(
        order(Entity::Runs, &["metrics.`a b` DESC", "params.x.y asc", "Created", "tags.desc"]),
        Ok(vec![
            item(metric("a b"), false),
            item(param("x.y"), true),
            item(Field::Run(RunAttribute::StartTime), true),
            item(tag("desc"), true),
        ])
    );
    let updated = Field::RegisteredModel(RegisteredModelAttribute::LastUpdatedTimestamp);
    assert_eq!(
        order(Entity::RegisteredModels, &["timestamp desc"]),
        Ok(vec![item(updated, false)])
    );
    let created = Field::ModelVersion(ModelVersionAttribute::CreationTimestamp);
    assert_eq!(
        order(Entity::ModelVersions, &["attribute.creation_timestamp"]),
        Ok(vec![item(created, true)])
    );
    assert_eq!(
        order(Entity::LoggedModels, &["metrics.a DESC"]),
        Ok(vec![item(metric("a"), false)])
    );
    assert_eq!(logged_model_order_field("metrics.a b"), Ok(metric("a b")));
}

#[test]
fn a_field_is_ordered_by_once() {
    assert_eq!(
        order(Entity::Runs, &["start_time", "created DESC"]).unwrap_err().message,
        "`order_by` contains duplicate fields: ['start_time', 'created DESC']"
    );
    let name = OrderItem { field: Field::Experiment(ExperimentAttribute::Name), ascending: true };
    assert_eq!(order(Entity::Experiments, &["name", "name DESC"]), Ok(vec![name]));
    assert!(order(Entity::RegisteredModels, &["timestamp", "last_updated_timestamp"]).is_err());
}

#[test]
fn orders_that_mean_nothing_are_refused() {
    for (entity, key, message) in [
        (Entity::Runs, "", "Invalid order_by clause ''. Could not be parsed."),
        (Entity::Runs, "ASC", "Invalid order_by clause 'ASC'. Could not be parsed."),
        (Entity::Runs, "metrics.a FOO", "Invalid ordering key in order_by clause 'metrics.a FOO'."),
        (
            Entity::Runs,
            "metrics.a desc asc",
            "Invalid order_by clause 'metrics.a desc asc'. Could not be parsed.",
        ),
        (
            Entity::Runs,
            "metrics.a-b desc",
            "Invalid order_by clause 'metrics.a-b desc'. Could not be parsed.",
        ),
        (
            Entity::Runs,
            "dataset.name",
            "Invalid identifier type 'dataset'. Runs are not ordered by datasets",
        ),
        (
            Entity::Runs,
            "`run name`",
            "Invalid attribute key 'run name' specified. Valid keys are '{'run_id', 'run_name', \
             'status', 'artifact_uri', 'user_id', 'start_time', 'end_time', 'created', 'Created'}'",
        ),
        (
            Entity::Experiments,
            "tags.a",
            "Invalid order_by entity: tag. Experiments are ordered by attributes",
        ),
        (
            Entity::RegisteredModels,
            "attribute.name",
            "Invalid order by key 'attribute.name' specified. Valid keys are {'name', \
             'timestamp', 'last_updated_timestamp'}",
        ),
        (
            Entity::ModelVersions,
            "tags.a",
            "Invalid order by key 'a' specified. Valid keys are {'name', 'version_number', \
             'creation_timestamp', 'last_updated_timestamp'}",
        ),
        (
            Entity::LoggedModels,
            "params.a",
            "Invalid order by field name: params.a. Only metrics are supported.",
        ),
    ] {
        let refused = order(entity, &[key]).expect_err(key);
        assert_eq!(refused.message, message, "{key}");
        let span = refused.span.expect(key);
        assert!(key.get(span.start..span.end).is_some(), "{key}");
    }
    assert_eq!(
        logged_model_order_field("foo").unwrap_err().message,
        "Invalid order by field name: foo"
    );
}

/// A key as a filter can hold it: in backticks, so without backticks.
fn any_key() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        "[a-zA-Z_é][a-zA-Z0-9_.]{0,8}".prop_map(|key| (key.clone(), key)),
        "[^`]{1,8}".prop_map(|key| (format!("`{key}`"), key)),
    ]
}

/// A text and how it is quoted; quotes and backslashes of the other kind are part of it.
fn any_text() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        "[^'\\\\]{0,8}".prop_map(|inside| (format!("'{inside}'"), inside)),
        "[^\"\\\\]{0,8}".prop_map(|inside| (format!("\"{inside}\""), inside)),
    ]
}

fn any_case(word: &'static str) -> impl Strategy<Value = String> {
    any::<u32>().prop_map(move |bits| {
        word.chars()
            .enumerate()
            .map(|(at, c)| if bits >> at & 1 == 1 { c.to_ascii_lowercase() } else { c })
            .collect()
    })
}

/// A clause over runs as text, and what it means.
fn any_clause() -> impl Strategy<Value = (String, (Field, Op, Value))> {
    let numeric_ops = prop::sample::select(vec![Op::Eq, Op::Ne, Op::Gt, Op::Ge, Op::Lt, Op::Le]);
    let text_ops = prop::sample::select(vec![Op::Eq, Op::Ne, Op::Like, Op::ILike]);
    let number = prop_oneof![
        any::<i64>().prop_map(|whole| (whole.to_string(), Value::Integer(whole))),
        (-1e300_f64..1e300).prop_map(|number| (format!("{number:e}"), Value::Number(number))),
    ];
    let metrics = (prop::sample::select(vec!["metrics", "metric"]), any_key(), numeric_ops, number)
        .prop_map(|(prefix, (written, key), op, (number, value))| {
            let text = format!("{prefix}.{written}{}{number}", op.as_str());
            // `{:e}` writes whole numbers without a dot, which `5e0` keeps apart from `5`.
            (text, (Field::Metric(key), op, value))
        });
    let texts = (prop::bool::ANY, any_key(), text_ops, any_text()).prop_flat_map(
        |(is_tag, (written, key), op, (quoted, value))| {
            any_case(op.as_str()).prop_map(move |op_text| {
                let (prefix, field) = if is_tag {
                    ("tags", Field::Tag(key.clone()))
                } else {
                    ("params", Field::Param(key.clone()))
                };
                let text = format!("{prefix}.{written} {op_text} {quoted}");
                (text, (field, op, Value::Text(value.clone())))
            })
        },
    );
    let nulls = (any_key(), any_case("IS NOT NULL")).prop_map(|((written, key), op_text)| {
        (format!("tag.{written} {op_text}"), (Field::Tag(key), Op::IsNotNull, Value::None))
    });
    let lists = (prop::collection::vec(any_text(), 1..4), any_case("NOT IN")).prop_map(
        |(texts, op_text)| {
            let (quoted, values): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
            let text = format!("attributes.run_id {op_text} ({})", quoted.join(" , "));
            let field = Field::Run(RunAttribute::RunId);
            (text, (field, Op::NotIn, Value::List(values)))
        },
    );
    prop_oneof![metrics, texts, nulls, lists]
}

proptest! {
    #[test]
    fn filters_mean_what_they_were_written_from(
        parts in prop::collection::vec(any_clause(), 1..6),
        and in any_case("AND"),
    ) {
        let (texts, meanings): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let filter = texts.join(&format!(" {and}\n"));
        prop_assert_eq!(clauses(Entity::Runs, &filter), Ok(meanings));
    }

    #[test]
    fn any_text_is_answered_without_panic(
        filter in prop_oneof![
            any::<String>(),
            "[ a-z.'\"`=<>!(),;éAND0-9\\\\-]{0,80}",
            "(metrics|tags|name|run_id|status)(\\.| |`|'|\"|=|IN|IS|NOT|NULL|LIKE|\\(|\\)|,|1|-|x|AND){0,12}",
        ],
    ) {
        for entity in ENTITIES {
            if let Err(refused) = parse(entity, &filter) {
                let span = refused.span.expect("a place");
                prop_assert!(filter.get(span.start..span.end).is_some(), "{:?}", span);
            }
            if let Err(refused) = parse_order(entity, std::slice::from_ref(&filter)) {
                let span = refused.span.expect("a place");
                prop_assert!(filter.get(span.start..span.end).is_some(), "{:?}", span);
            }
            let _ = logged_model_order_field(&filter);
        }
    }
}
