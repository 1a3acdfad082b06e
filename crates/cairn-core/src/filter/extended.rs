//! Cairn's own dialect: what MLflow's language says, and what people miss in it.

use jiff::tz::TimeZone;
use regex::RegexBuilder;

use super::{
    dates,
    lexer::{Token, TokenKind, tokens},
    parser::{MAX_CLAUSES, Parser, check_length, experiment_id, inside, refuse},
    rules::{self, Kind},
    tree::{Comparison, Entity, Expr, Field, Op, Value},
};
use crate::{
    error::{Invalid, Span},
    ids::shorten,
    time::UnixMillis,
};

/// How deep parentheses and `NOT` may be nested.
const MAX_DEPTH: usize = 64;

/// The most memory that a regular expression may take, bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// When and where a filter is read.
#[derive(Debug, Clone)]
pub struct Context {
    /// What `-7d` and `today` are counted from.
    pub now: UnixMillis,
    /// The zone of dates that name none.
    pub zone: TimeZone,
}

/// Reads a filter in Cairn's own dialect; `None` for one that asks nothing.
///
/// Everything that [`super::parse`] accepts means the same here. Beyond it:
/// - `OR`, `NOT` and parentheses; `AND` binds tighter than `OR`.
/// - A number against a parameter or a tag (`params.lr < 0.01`) compares as numbers.
/// - `IN`, `NOT IN`, `IS NULL`, `IS NOT NULL` for every field, `NOT LIKE`, `NOT ILIKE`, `REGEXP` and
///   `NOT REGEXP` for every text.
/// - Dates against times (`start_time >= '2026-11-01'`, `created = 'today'`), and times before now
///   (`start_time > -7d`).
/// - The field `duration` of runs, against `90s` or `1h30m`.
///
/// Every regular expression in the answer is valid.
///
/// Errors: [`Invalid`] with the place of the first trouble. Never panics; linear in the text.
pub fn parse_extended(
    entity: Entity,
    text: &str,
    context: &Context,
) -> Result<Option<Expr>, Invalid> {
    check_length(text)?;
    let tokens = tokens(text);
    let mut parser = Parser { entity, text, tokens: &tokens, next: 0, extended: Some(context) };
    let mut clauses = 0;
    let expr = parser.alternatives(0, &mut clauses)?;
    match parser.peek() {
        Some(token) if token.kind == TokenKind::Close => {
            Err(refuse(format!("{}. It closes nothing", parser.invalid_clause(token)), token.span))
        }
        Some(token) => Err(refuse(
            format!("{}. Clauses are joined by AND or OR", parser.invalid_clause(token)),
            token.span,
        )),
        None => Ok(expr),
    }
}

/// What a field is compared with.
enum Literal {
    Text(String),
    Number(Value),
    /// What a date covers.
    Covered(dates::Covered),
}

impl Parser<'_> {
    /// Clauses joined by `AND` and `OR`, up to what belongs to neither. `None` if there are none.
    fn alternatives(&mut self, depth: usize, clauses: &mut usize) -> Result<Option<Expr>, Invalid> {
        let mut parts = Vec::new();
        loop {
            let part = self.all(depth, clauses)?;
            let or = self.peek().filter(|token| self.is_word(*token, "OR"));
            match (part, or) {
                (Some(part), _) => parts.push(part),
                (None, Some(or)) => {
                    return Err(refuse(
                        format!("{}. A clause is expected before it", self.invalid_clause(or)),
                        or.span,
                    ));
                }
                (None, None) if !parts.is_empty() => {
                    let before = self.tokens[self.next - 1];
                    return Err(Invalid::at(
                        format!("{}. A clause is expected behind it", self.invalid_clause(before)),
                        before.span.end,
                        before.span.end,
                    ));
                }
                (None, None) => {}
            }
            if or.is_none() {
                break;
            }
            self.next += 1;
        }
        Ok(match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Some(Expr::Or(parts)),
        })
    }

    /// Clauses joined by `AND`; a stray one is passed over, as MLflow does.
    fn all(&mut self, depth: usize, clauses: &mut usize) -> Result<Option<Expr>, Invalid> {
        let mut parts = Vec::new();
        let mut is_joined = true;
        while let Some(token) = self.peek() {
            if self.is_word(token, "AND") {
                self.next += 1;
                is_joined = true;
            } else if is_joined && token.kind != TokenKind::Close && !self.is_word(token, "OR") {
                parts.push(self.one(depth, clauses)?);
                is_joined = false;
            } else {
                break;
            }
        }
        Ok(match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Some(Expr::And(parts)),
        })
    }

    /// A clause, its opposite, or a group in parentheses.
    fn one(&mut self, depth: usize, clauses: &mut usize) -> Result<Expr, Invalid> {
        let Some(token) = self.peek() else {
            let before = self.tokens[self.next - 1];
            return Err(Invalid::at(
                format!("{}. A clause is expected behind it", self.invalid_clause(before)),
                before.span.end,
                before.span.end,
            ));
        };
        let is_not = self.is_word(token, "NOT");
        if (is_not || token.kind == TokenKind::Open) && depth == MAX_DEPTH {
            return Err(refuse(
                format!("The filter is nested more than {MAX_DEPTH} deep"),
                token.span,
            ));
        }
        if is_not {
            self.next += 1;
            return Ok(Expr::Not(Box::new(self.one(depth + 1, clauses)?)));
        }
        if token.kind == TokenKind::Open {
            self.next += 1;
            let inside = self.alternatives(depth + 1, clauses)?;
            let close = self.peek();
            return match (inside, close.map(|close| (close.kind, close))) {
                (Some(expr), Some((TokenKind::Close, _))) => {
                    self.next += 1;
                    Ok(expr)
                }
                (None, Some((TokenKind::Close, close))) => Err(Invalid::at(
                    "A clause is expected between the parentheses",
                    token.span.start,
                    close.span.end,
                )),
                (_, Some((_, other))) => Err(refuse(
                    format!("{}. Clauses are joined by AND or OR", self.invalid_clause(other)),
                    other.span,
                )),
                (_, None) => Err(Invalid::at(
                    "The parenthesis is never closed",
                    token.span.start,
                    self.text.len(),
                )),
            };
        }
        *clauses += 1;
        if *clauses > MAX_CLAUSES {
            return Err(refuse(
                format!("The filter has more than {MAX_CLAUSES} clauses"),
                token.span,
            ));
        }
        self.extended_clause()
    }

    fn extended_clause(&mut self) -> Result<Expr, Invalid> {
        let (name, field) = self.field()?;
        let op = self.operator(name, &field)?;
        let place = |parser: &Self| Span {
            start: name.span.start,
            end: parser.tokens[parser.next - 1].span.end,
        };
        let compare =
            |op, value, span| Expr::Compare(Comparison { field: field.clone(), op, value, span });
        if matches!(op, Op::IsNull | Op::IsNotNull) {
            return Ok(compare(op, Value::None, place(self)));
        }
        if matches!(op, Op::In | Op::NotIn) {
            let literals = self.literals(&field)?;
            let span = place(self);
            let texts: Vec<String> = literals
                .iter()
                .filter_map(|literal| match literal {
                    Literal::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect();
            if texts.len() == literals.len() {
                return Ok(compare(op, Value::List(texts), span));
            }
            // Numbers and dates one by one: equal to one of them, or unequal to all.
            let each = if op == Op::In { Op::Eq } else { Op::Ne };
            let parts = literals
                .into_iter()
                .map(|literal| related(each, literal, |op, value| compare(op, value, span)))
                .collect();
            return Ok(if op == Op::In { Expr::Or(parts) } else { Expr::And(parts) });
        }
        let token = self.operand(op)?;
        let literal = self.literal(&field, op, token)?;
        self.next += 1;
        let span = place(self);
        Ok(related(op, literal, |op, value| compare(op, value, span)))
    }

    /// The operator with a spelling, if the field takes it.
    pub(super) fn extended_operator(
        &self,
        written: &str,
        field: &Field,
        span: Span,
    ) -> Result<Op, Invalid> {
        let (_, allowed) = rules::extended(self.entity, field);
        let allowed = || allowed.iter().copied().flatten();
        Op::from_written(written).filter(|op| allowed().any(|one| one == op)).ok_or_else(|| {
            let names: Vec<&str> = allowed().map(|op| op.as_str()).collect();
            let written = match written {
                "==" => "'==' (equality is '=')".to_owned(),
                "<>" => "'<>' (inequality is '!=')".to_owned(),
                _ => format!("'{}'", shorten(written)),
            };
            refuse(
                format!(
                    "{} cannot be compared by {written}. It takes {}",
                    rules::describe(self.entity, field),
                    names.join(", ")
                ),
                span,
            )
        })
    }

    /// What stands behind an operator.
    fn operand(&self, op: Op) -> Result<Token, Invalid> {
        let missing = |parser: &Self| {
            let operator = parser.tokens[parser.next - 1];
            Invalid::at(
                format!("A value is expected behind {}", op.as_str()),
                operator.span.end,
                operator.span.end,
            )
        };
        let token = self.peek().ok_or_else(|| missing(self))?;
        match token.kind {
            TokenKind::Keyword | TokenKind::Close | TokenKind::Comma => Err(missing(self)),
            TokenKind::Operator => Err(refuse(self.invalid_clause(token), token.span)),
            TokenKind::Unclosed => Err(self.unclosed(token)),
            _ => Ok(token),
        }
    }

    /// `('a', 'b')` or `(1, 2)`.
    fn literals(&mut self, field: &Field) -> Result<Vec<Literal>, Invalid> {
        let open = self.operand(Op::In)?;
        if open.kind != TokenKind::Open {
            return Err(refuse("A list such as ('a', 'b') is expected here".to_owned(), open.span));
        }
        self.next += 1;
        let mut found = Vec::new();
        loop {
            let Some(token) = self.peek() else {
                return Err(Invalid::at(
                    "The list is never closed",
                    open.span.start,
                    self.text.len(),
                ));
            };
            if token.kind == TokenKind::Close && !found.is_empty() {
                self.next += 1;
                return Ok(found);
            }
            if token.kind == TokenKind::Close {
                return Err(Invalid::at("The list is empty", open.span.start, token.span.end));
            }
            let token = self.operand(Op::In)?;
            found.push(self.literal(field, Op::In, token)?);
            self.next += 1;
            match self.peek().map(|token| (token.kind, token)) {
                Some((TokenKind::Comma, _)) => self.next += 1,
                Some((TokenKind::Close, _)) | None => {}
                Some((_, other)) => {
                    return Err(refuse(
                        format!("A comma is expected before '{}'", shorten(self.slice(other.span))),
                        other.span,
                    ));
                }
            }
        }
    }

    fn literal(&self, field: &Field, op: Op, token: Token) -> Result<Literal, Invalid> {
        let written = self.slice(token.span);
        let text = match token.kind {
            TokenKind::Text => Some(inside(written)),
            TokenKind::Quoted if written.starts_with('"') => Some(inside(written)),
            _ => None,
        };
        let is_number = token.kind == TokenKind::Number;
        let (kind, _) = rules::extended(self.entity, field);
        let needs_number = matches!(op, Op::Gt | Op::Ge | Op::Lt | Op::Le);
        match (kind, text) {
            (Kind::Text { or_number: true }, None)
                if is_number && (needs_number || matches!(op, Op::Eq | Op::Ne | Op::In)) =>
            {
                Ok(Literal::Number(self.number(field, token)?))
            }
            (Kind::Text { or_number: true }, _) if needs_number => Err(refuse(
                format!("{} compares with a number here, such as 0.5, without quotes", op.as_str()),
                token.span,
            )),
            (Kind::Text { .. } | Kind::Word, Some(text)) => {
                if matches!(op, Op::Regexp | Op::NotRegexp) {
                    check_regex(text, token.span)?;
                }
                Ok(Literal::Text(text.to_owned()))
            }
            (Kind::IntegerText, Some(text)) => Ok(Literal::Text(experiment_id(text, token.span)?)),
            (Kind::IntegerText, None) if is_number => {
                Ok(Literal::Text(experiment_id(written, token.span)?))
            }
            (Kind::Text { .. } | Kind::Word | Kind::IntegerText, None) => {
                Err(self.not_text(field, token))
            }
            (Kind::Number, _) => Ok(Literal::Number(self.number(field, token)?)),
            (Kind::Version, _) => Ok(Literal::Number(self.version_number(field, token)?)),
            (Kind::Time, _) => self.time(field, token, text),
            (Kind::Duration, _) => {
                if is_number {
                    return Ok(Literal::Number(self.number(field, token)?));
                }
                dates::duration(text.unwrap_or(written))
                    .map(|millis| Literal::Number(Value::Integer(millis)))
                    .ok_or_else(|| {
                        refuse(
                            format!(
                                "'{}' is no duration. One is 90s, 1h30m or 2d; a bare number is \
                                 milliseconds",
                                shorten(written)
                            ),
                            token.span,
                        )
                    })
            }
        }
    }

    fn time(&self, field: &Field, token: Token, text: Option<&str>) -> Result<Literal, Invalid> {
        let written = self.slice(token.span);
        if token.kind == TokenKind::Number {
            return Ok(Literal::Number(self.number(field, token)?));
        }
        // Only called for this dialect, which has a context.
        let found = self.extended.and_then(|context| match text {
            Some(text) => dates::date(text, context.now, &context.zone).map(Literal::Covered),
            None => dates::duration(written).filter(|duration| *duration < 0).map(|duration| {
                Literal::Number(Value::Integer(dates::before(context.now, -duration)))
            }),
        });
        found.ok_or_else(|| {
            refuse(
                format!(
                    "'{}' is no time. One is '2026-11-21', '2026-11-21 09:30', 'today', -7d for \
                     seven days ago, or milliseconds since 1970",
                    shorten(text.unwrap_or(written))
                ),
                token.span,
            )
        })
    }
}

/// The comparison with a literal; a date stands for all that it covers.
fn related(op: Op, literal: Literal, compare: impl Fn(Op, Value) -> Expr) -> Expr {
    let (from, until) = match literal {
        Literal::Text(text) => return compare(op, Value::Text(text)),
        Literal::Number(value) => return compare(op, value),
        Literal::Covered((from, until)) => (Value::Integer(from), Value::Integer(until)),
    };
    match op {
        Op::Gt => compare(Op::Ge, until),
        Op::Le => compare(Op::Lt, until),
        Op::Ge | Op::Lt => compare(op, from),
        Op::Ne => Expr::Or(vec![compare(Op::Lt, from), compare(Op::Ge, until)]),
        _ => Expr::And(vec![compare(Op::Ge, from), compare(Op::Lt, until)]),
    }
}

fn check_regex(text: &str, span: Span) -> Result<(), Invalid> {
    let built = RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).build();
    built.map(drop).map_err(|error| {
        // The last line says what is wrong; those before it draw where.
        let error = error.to_string();
        let what = error.lines().last().unwrap_or_default();
        let what = what.strip_prefix("error: ").unwrap_or(what);
        refuse(format!("The regular expression is not valid: {what}"), span)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filter::parse;

    const ENTITIES: [Entity; 5] = [
        Entity::Runs,
        Entity::Experiments,
        Entity::RegisteredModels,
        Entity::ModelVersions,
        Entity::LoggedModels,
    ];

    fn context() -> Context {
        // 2026-11-21 12:00 UTC
        Context { now: UnixMillis(1_795_262_400_000), zone: TimeZone::UTC }
    }

    /// The tree in a form that shows how it is joined.
    fn show(expr: &Expr) -> String {
        let join = |parts: &[Expr], word: &str| {
            format!("({})", parts.iter().map(show).collect::<Vec<_>>().join(word))
        };
        match expr {
            Expr::And(parts) => join(parts, " & "),
            Expr::Or(parts) => join(parts, " | "),
            Expr::Not(part) => format!("!{}", show(part)),
            Expr::Compare(Comparison { field, op, value, .. }) => {
                let name = match field {
                    Field::Metric(key) | Field::Param(key) | Field::Tag(key) => key.clone(),
                    other => rules::attribute_name(Entity::Runs, other).to_owned(),
                };
                let value = match value {
                    Value::Text(text) => format!("'{text}'"),
                    Value::Integer(number) => number.to_string(),
                    Value::Number(number) => number.to_string(),
                    Value::List(texts) => format!("{texts:?}"),
                    Value::None => String::new(),
                };
                format!("{name} {} {value}", op.as_str()).trim_end().to_owned()
            }
        }
    }

    fn check(text: &str, expected: &str) {
        let found = parse_extended(Entity::Runs, text, &context());
        assert_eq!(found.map(|expr| expr.as_ref().map(show)), Ok(Some(expected.into())), "{text}");
    }

    fn check_refused(text: &str, message: &str, place: &str) {
        let Err(refused) = parse_extended(Entity::Runs, text, &context()) else {
            panic!("{text:?} was accepted")
        };
        assert!(refused.message.contains(message), "{text}: {}", refused.message);
        let span = refused.span.expect(text);
        assert_eq!(&text[span.start..span.end], place, "{text}");
    }

    #[test]
    fn and_binds_tighter_than_or() {
        check("metrics.a > 1 OR metrics.b > 2 AND metrics.c > 3", "(a > 1 | (b > 2 & c > 3))");
        check("(metrics.a > 1 or metrics.b > 2) and metrics.c > 3", "((a > 1 | b > 2) & c > 3)");
        check("NOT metrics.a > 1 AND NOT (tags.x = 'y')", "(!a > 1 & !x = 'y')");
        check("((metrics.a = 1))", "a = 1");
        check("AND metrics.a = 1 AND AND", "a = 1");
        assert_eq!(parse_extended(Entity::Runs, "  ", &context()), Ok(None));
    }

    #[test]
    fn numbers_stand_against_parameters_and_tags() {
        check("params.lr < 0.01", "lr < 0.01");
        check("params.lr = 1e-3 OR tags.fold IN (1, 2)", "(lr = 0.001 | (fold = 1 | fold = 2))");
        check("tags.fold NOT IN (1, 2)", "(fold != 1 & fold != 2)");
        check("params.lr = '0.01'", "lr = '0.01'");
        check_refused("params.lr < '0.01'", "compares with a number here", "'0.01'");
        check_refused("user_id > 3", "'attribute' 'user_id' cannot be compared by '>'", ">");
        check_refused("params.lr LIKE 3", "Expected a quoted string value", "3");
    }

    #[test]
    fn texts_take_lists_patterns_and_absence() {
        check("status in ('FAILED', 'KILLED',)", r#"status IN ["FAILED", "KILLED"]"#);
        check(
            "params.m not like 'a%' and tags.t not ilike 'b'",
            "(m NOT LIKE 'a%' & t NOT ILIKE 'b')",
        );
        check("run_name regexp '^a.*\\d$'", "run_name REGEXP '^a.*\\d$'");
        check("tags.t NOT REGEXP \"x|y\"", "t NOT REGEXP 'x|y'");
        check("metrics.a IS NULL OR end_time IS NOT NULL", "(a IS NULL | end_time IS NOT NULL)");
        check_refused(
            "run_name REGEXP '('",
            "The regular expression is not valid: unclosed group",
            "'('",
        );
        check_refused("metrics.a IN ('x')", "Expected numeric value type for metric", "'x'");
        check_refused("metrics.a IN ()", "The list is empty", "()");
        check_refused("metrics.a IN (1 2)", "A comma is expected", "2");
        check_refused("dataset.name IS NULL", "cannot be compared by 'IS NULL'", "IS NULL");
    }

    #[test]
    fn dates_and_durations() {
        const DAY: &str = "1795219200000";
        const NEXT: &str = "1795305600000";
        check("start_time >= '2026-11-21'", &format!("start_time >= {DAY}"));
        check("start_time > 'today'", &format!("start_time >= {NEXT}"));
        check("created <= 'today'", &format!("start_time < {NEXT}"));
        check("start_time = 'today'", &format!("(start_time >= {DAY} & start_time < {NEXT})"));
        check("start_time != 'today'", &format!("(start_time < {DAY} | start_time >= {NEXT})"));
        check("start_time > -12h", &format!("start_time > {DAY}"));
        check("end_time < 1700000000000", "end_time < 1700000000000");
        check("duration > 1h30m", " > 5400000");
        check("attributes.duration <= 250", " <= 250");
        check_refused("start_time > 7d", "'7d' is no time", "7d");
        check_refused("start_time > 'soon'", "'soon' is no time", "'soon'");
        check_refused("duration > 'long'", "is no duration", "'long'");
    }

    #[test]
    fn errors_point_at_their_place() {
        check_refused("metrics.a = 1 metrics.b = 2", "joined by AND or OR", "metrics.b");
        check_refused("(metrics.a = 1", "never closed", "(metrics.a = 1");
        check_refused("metrics.a = 1)", "It closes nothing", ")");
        check_refused("()", "A clause is expected between", "()");
        check_refused("OR metrics.a = 1", "A clause is expected before it", "OR");
        check_refused("metrics.a = 1 OR", "A clause is expected behind it", "");
        check_refused("NOT", "A clause is expected behind it", "");
        check_refused("metrics.a", "An operator such as", "metrics.a");
        check_refused("metrics.a ==", "equality is '='", "==");
        check_refused("metrics.a >", "A value is expected", "");
        let deep = format!("{}metrics.a = 1", "(".repeat(65));
        check_refused(&deep, "nested more than 64 deep", "(");
    }

    #[test]
    fn every_entity_has_its_own_fields() {
        let accepted = [
            (Entity::Experiments, "name REGEXP 'x' OR creation_time > -1d OR experiment_id = 5"),
            (Entity::Experiments, "tags.n > 3 AND NOT name LIKE 'a%'"),
            (Entity::RegisteredModels, "name IN ('a') OR tags.stage IS NULL"),
            (Entity::ModelVersions, "version_number IN (1, 2) OR source_path NOT LIKE 's3%'"),
            (Entity::LoggedModels, "metrics.f1 IS NOT NULL AND (status = 'READY' OR params.k > 2)"),
        ];
        for (entity, text) in accepted {
            assert!(matches!(parse_extended(entity, text, &context()), Ok(Some(_))), "{text}");
        }
        assert!(parse_extended(Entity::Experiments, "duration > 1s", &context()).is_err());
    }

    proptest! {
        /// What MLflow's language says, this one says too.
        #[test]
        fn mlflows_filters_mean_the_same(
            clauses in prop::collection::vec(
                prop::sample::select(vec![
                    "metrics.a > 1", "metrics.`b c` != -0.5", "params.p = 'x'", "tags.t ILIKE '%Y_'",
                    "tags.t IS NULL", "status = \"RUNNING\"", "run_id IN ('a', 'b')",
                    "start_time <= 5", "dataset.name NOT IN ('d')", "`run name` = 'z'",
                ]),
                1..6,
            ),
            joint in prop::sample::select(vec![" AND ", " and\n", "  And AND "]),
        ) {
            let text = clauses.join(joint);
            let strict = parse(Entity::Runs, &text);
            prop_assert!(strict.is_ok(), "{:?}", strict);
            prop_assert_eq!(parse_extended(Entity::Runs, &text, &context()), strict);
        }

        #[test]
        fn no_text_makes_it_panic(text in "([a-z.]{1,9}|[=<>!]{1,2}|'[^']{0,4}'|-?[0-9]{1,3}[dhms]?|OR|AND|NOT|IN|\\(|\\)|,|REGEXP| |\\PC){0,20}") {
            for entity in ENTITIES {
                if let Err(refused) = parse_extended(entity, &text, &context())
                    && let Some(span) = refused.span
                {
                    prop_assert!(text.get(span.start..span.end).is_some(), "{:?}", refused);
                }
            }
        }
    }
}
