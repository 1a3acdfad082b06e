//! From tokens to a tree, one clause after the other.

use super::{
    extended::Context,
    lexer::{Token, TokenKind, tokens},
    rules::{self, Operand, Use},
    tree::{Comparison, Entity, Expr, Field, Op, RunAttribute, Value},
};
use crate::{
    error::{Invalid, Span},
    ids::shorten,
};

/// The longest filter that is looked at, in bytes.
pub const MAX_FILTER_BYTES: usize = 1 << 20;

/// The most clauses of a filter; each becomes a sub-query of the search.
pub const MAX_CLAUSES: usize = 500;

/// Reads a filter in MLflow's language; `None` for one that asks nothing.
///
/// Every field in the answer exists for `entity`, and every operator and value suits its field.
/// A stray `AND` at either end or doubled is passed over, as MLflow does.
///
/// Errors: [`Invalid`] with the place of the first trouble, in MLflow's words where it has some.
/// Never panics; linear in the text, which may have up to [`MAX_FILTER_BYTES`].
pub fn parse(entity: Entity, text: &str) -> Result<Option<Expr>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    check_length(text)?;
    if text.trim().is_empty() {
        let message = format!("Invalid filter '{}'. Could not be parsed.", shorten(text));
        return Err(Invalid::at(message, 0, text.len()));
    }
    let tokens = tokens(text);
    let mut parser = Parser { entity, text, tokens: &tokens, next: 0, extended: None };
    let mut clauses = parser.clauses()?;
    Ok(match clauses.len() {
        0 => None,
        1 => clauses.pop(),
        _ => Some(Expr::And(clauses)),
    })
}

/// Refuses a filter that is too long to be looked at.
pub(super) fn check_length(text: &str) -> Result<(), Invalid> {
    if text.len() <= MAX_FILTER_BYTES {
        return Ok(());
    }
    Err(Invalid::at(
        format!("The filter has {} bytes; at most {MAX_FILTER_BYTES} are read", text.len()),
        0,
        text.len(),
    ))
}

/// Where the reading of a filter stands.
pub(super) struct Parser<'filter> {
    pub entity: Entity,
    pub text: &'filter str,
    pub tokens: &'filter [Token],
    pub next: usize,
    /// Set for Cairn's own dialect; its rules are in [`super::extended`].
    pub extended: Option<&'filter Context>,
}

impl<'filter> Parser<'filter> {
    fn clauses(&mut self) -> Result<Vec<Expr>, Invalid> {
        let mut clauses = Vec::new();
        let mut is_joined = true;
        while let Some(token) = self.peek() {
            if self.is_word(token, "AND") {
                self.next += 1;
                is_joined = true;
                continue;
            }
            if !is_joined {
                return Err(self.not_joined(token));
            }
            if clauses.len() == MAX_CLAUSES {
                return Err(refuse(
                    format!("The filter has more than {MAX_CLAUSES} clauses"),
                    token.span,
                ));
            }
            clauses.push(Expr::Compare(self.comparison()?));
            is_joined = false;
        }
        Ok(clauses)
    }

    /// What stands behind a whole clause and is no `AND`.
    pub(super) fn not_joined(&self, token: Token) -> Invalid {
        let starts_clause = matches!(token.kind, TokenKind::Name | TokenKind::Quoted);
        let hint = if starts_clause || self.is_word(token, "OR") {
            ". Clauses are joined by AND only"
        } else {
            ""
        };
        refuse(format!("{}{hint}", self.invalid_clause(token)), token.span)
    }

    fn comparison(&mut self) -> Result<Comparison, Invalid> {
        let (name, field) = self.field()?;
        let op = self.operator(name, &field)?;
        let value = self.value(&field, op)?;
        let end = self.tokens[self.next - 1].span.end;
        Ok(Comparison { field, op, value, span: Span { start: name.span.start, end } })
    }

    pub(super) fn field(&mut self) -> Result<(Token, Field), Invalid> {
        let Some(name) = self.peek() else {
            let end = self.text.len();
            return Err(Invalid::at(
                "Invalid comparison clause. Expected 3 tokens found 0",
                end,
                end,
            ));
        };
        match name.kind {
            TokenKind::Name | TokenKind::Quoted => {}
            TokenKind::Number | TokenKind::Text => return Err(self.not_a_name(name.span)),
            TokenKind::Open => {
                let span = self.group(name);
                let message = format!(
                    "Invalid clause(s) in filter string: '{}'. Clauses are not put in parentheses",
                    shorten(self.slice(span))
                );
                return Err(refuse(message, span));
            }
            _ => return Err(refuse(self.invalid_clause(name), name.span)),
        }
        self.next += 1;
        // `metrics.a-b` is one name to its writer, but has a character that only quotes can hold.
        if let Some(glued) = self.peek().filter(|after| {
            after.span.start == name.span.end
                && matches!(after.kind, TokenKind::Unknown | TokenKind::Number)
                && self.slice(after.span) != ";"
        }) {
            let rest = &self.text[glued.span.start..];
            let stop = rest.find(|c: char| c.is_whitespace() || "=!<>;'\"`".contains(c));
            let end = glued.span.start + stop.unwrap_or(rest.len());
            return Err(self.not_a_name(Span { start: name.span.start, end }));
        }
        let written = name.text(self.text);
        let field = match rules::field(self.entity, Use::Filter, written) {
            Err(_) if self.extended.is_some() && rules::is_duration(self.entity, written) => {
                Field::Run(RunAttribute::Duration)
            }
            other => other.map_err(|message| refuse(message, name.span))?,
        };
        Ok((name, field))
    }

    fn not_a_name(&self, span: Span) -> Invalid {
        let written = self.slice(span);
        let hint = match written.split_once('.') {
            Some((prefix, key))
                if prefix.chars().all(super::lexer::is_word)
                    && prefix.starts_with(char::is_alphabetic) =>
            {
                format!(". Such a key stands in backticks: {}.`{}`", shorten(prefix), shorten(key))
            }
            _ => String::new(),
        };
        refuse(
            format!(
                "Invalid comparison clause. Expected 'Identifier' found '{}'{hint}",
                shorten(written)
            ),
            span,
        )
    }

    pub(super) fn operator(&mut self, name: Token, field: &Field) -> Result<Op, Invalid> {
        let first = self.peek();
        let written = match first.map(|token| (token.kind, token)) {
            Some((TokenKind::Operator, token)) => {
                self.next += 1;
                self.slice(token.span).to_owned()
            }
            Some((TokenKind::Keyword | TokenKind::Name, token)) => self.word_operator(token),
            _ => String::new(),
        };
        let (Some(first), false) = (first, written.is_empty()) else {
            let message = format!(
                "{}. An operator such as = or LIKE is expected behind it",
                self.invalid_clause(name)
            );
            return Err(match first {
                // `run name = 'x'`: the trouble is the name, not what follows it.
                Some(after) if after.kind != TokenKind::Name => refuse(message, after.span),
                _ => refuse(message, name.span),
            });
        };
        let span = Span { start: first.span.start, end: self.tokens[self.next - 1].span.end };
        if self.extended.is_some() {
            return self.extended_operator(&written, field, span);
        }
        let (allowed, _) = rules::operators(self.entity, field);
        Op::from_written(&written)
            .filter(|op| allowed.contains(op))
            .ok_or_else(|| refuse(rules::refused_operator(self.entity, field, &written), span))
    }

    /// Steps over an operator of one or more words; gives it in capitals with single spaces, or
    /// nothing if these words are no operator.
    fn word_operator(&mut self, first: Token) -> String {
        const OPERATORS: [&[&str]; 10] = [
            &["NOT", "REGEXP"],
            &["REGEXP"],
            &["NOT", "LIKE"],
            &["NOT", "ILIKE"],
            &["NOT", "IN"],
            &["IS", "NOT", "NULL"],
            &["IS", "NULL"],
            &["LIKE"],
            &["ILIKE"],
            &["IN"],
        ];
        debug_assert_eq!(first, self.tokens[self.next]);
        let rest = &self.tokens[self.next..];
        let found = OPERATORS.iter().find(|words| {
            rest.len() >= words.len()
                && words.iter().zip(rest).all(|(word, token)| self.is_word(*token, word))
        });
        found.map_or_else(String::new, |words| {
            self.next += words.len();
            words.join(" ")
        })
    }

    pub(super) fn value(&mut self, field: &Field, op: Op) -> Result<Value, Invalid> {
        if matches!(op, Op::IsNull | Op::IsNotNull) {
            return Ok(Value::None);
        }
        let Some(token) = self.peek().filter(|token| token.kind != TokenKind::Keyword) else {
            let operator = self.tokens[self.next - 1];
            let message =
                format!("{}. A value is expected behind it", self.invalid_clause(operator));
            return Err(Invalid::at(message, operator.span.end, operator.span.end));
        };
        if matches!(token.kind, TokenKind::Operator | TokenKind::Comma | TokenKind::Close) {
            return Err(refuse(self.invalid_clause(token), token.span));
        }
        if token.kind == TokenKind::Unclosed {
            return Err(self.unclosed(token));
        }
        let (_, operand) = rules::operators(self.entity, field);
        if matches!(op, Op::In | Op::NotIn) {
            return self.list(token, operand);
        }
        let value = match operand {
            Operand::Text => self.text_value(field, token)?,
            Operand::IntegerText => {
                let Value::Text(text) = self.text_value(field, token)? else {
                    return Err(self.not_text(field, token));
                };
                Value::Text(experiment_id(&text, token.span)?)
            }
            Operand::Number => self.number(field, token)?,
            Operand::Integer => self.integer(field, token)?,
            Operand::IntegerOrText => self.version_number(field, token)?,
        };
        self.next += 1;
        Ok(value)
    }

    fn text_value(&self, field: &Field, token: Token) -> Result<Value, Invalid> {
        let written = token.text(self.text);
        let is_logged_model = self.entity == Entity::LoggedModels;
        let text = match token.kind {
            TokenKind::Text => Some(inside(written)),
            // MLflow takes only single quotes off here, and takes bare words and numbers as text.
            TokenKind::Quoted | TokenKind::Number | TokenKind::Name if is_logged_model => {
                Some(written)
            }
            TokenKind::Quoted if written.starts_with('"') => Some(inside(written)),
            _ => None,
        };
        text.map(|text| Value::Text(text.to_owned())).ok_or_else(|| self.not_text(field, token))
    }

    /// MLflow's sentence about a value that should be a quoted text.
    pub(super) fn not_text(&self, field: &Field, token: Token) -> Invalid {
        let span = if token.kind == TokenKind::Open { self.group(token) } else { token.span };
        let written = shorten(self.slice(span));
        let message = match (token.kind, field) {
            (TokenKind::Name | TokenKind::Quoted, _) => format!(
                "Parameter value is either not quoted or unidentified quote types used for string \
                 value {written}. Use either single or double quotes."
            ),
            (_, Field::Param(_)) => format!(
                "Expected a quoted string value for parameter (e.g. 'my-value'). Got value {written}"
            ),
            (_, Field::Tag(_)) => format!(
                "Expected a quoted string value for tag (e.g. 'my-value'). Got value {written}"
            ),
            (_, Field::Dataset(_)) => format!(
                "Expected a quoted string value for dataset attributes. Got value {written}"
            ),
            (_, Field::RegisteredModel(_) | Field::ModelVersion(_)) => format!(
                "Expected a quoted string value or a list of quoted string values for attributes. \
                 Got value {written}"
            ),
            _ => format!("Expected a quoted string value for attributes. Got value {written}"),
        };
        refuse(message, span)
    }

    pub(super) fn number(&self, field: &Field, token: Token) -> Result<Value, Invalid> {
        let written = token.text(self.text);
        let value = match token.kind {
            TokenKind::Number => match written.parse() {
                Ok(whole) => Some(Value::Integer(whole)),
                Err(_) => written.parse().ok().map(Value::Number),
            },
            _ => None,
        };
        value.ok_or_else(|| {
            let span = if token.kind == TokenKind::Open { self.group(token) } else { token.span };
            let written = shorten(self.slice(span));
            let message = if let Field::Metric(_) = field {
                format!("Expected numeric value type for metric. Found {written}")
            } else {
                format!(
                    "Expected numeric value type for numeric attribute: {}. Found {written}",
                    rules::attribute_name(self.entity, field)
                )
            };
            refuse(message, span)
        })
    }

    fn integer(&self, field: &Field, token: Token) -> Result<Value, Invalid> {
        match self.number(field, token)? {
            value @ Value::Integer(_) => Ok(value),
            _ => Err(self.not_whole(field, token)),
        }
    }

    pub(super) fn version_number(&self, field: &Field, token: Token) -> Result<Value, Invalid> {
        let written = token.text(self.text);
        let is_double_quoted = token.kind == TokenKind::Quoted && written.starts_with('"');
        if token.kind == TokenKind::Text || is_double_quoted {
            return match inside(written).trim().parse() {
                Ok(whole) => Ok(Value::Integer(whole)),
                Err(_) => Err(self.not_whole(field, token)),
            };
        }
        self.integer(field, token)
    }

    fn not_whole(&self, field: &Field, token: Token) -> Invalid {
        let message = format!(
            "Invalid value for numeric attribute '{}': {}",
            rules::attribute_name(self.entity, field),
            shorten(token.text(self.text))
        );
        refuse(message, token.span)
    }

    /// `('a', 'b')`; a comma behind the last text is passed over.
    fn list(&mut self, open: Token, operand: Operand) -> Result<Value, Invalid> {
        if open.kind != TokenKind::Open {
            let message = format!(
                "{}. A list such as ('a', 'b') is expected here",
                self.invalid_clause(open)
            );
            return Err(refuse(message, open.span));
        }
        self.next += 1;
        let mut texts = Vec::new();
        let mut may_follow = true;
        loop {
            let Some(token) = self.peek() else {
                let message = format!(
                    "Invalid clause(s) in filter string: '{}'. The list is never closed",
                    shorten(&self.text[open.span.start..])
                );
                return Err(Invalid::at(message, open.span.start, self.text.len()));
            };
            let written = token.text(self.text);
            let is_text = token.kind == TokenKind::Text
                || token.kind == TokenKind::Quoted && written.starts_with('"');
            self.next += 1;
            match token.kind {
                TokenKind::Close if texts.is_empty() && may_follow => {
                    return Err(Invalid::at(
                        "While parsing a list in the query, expected a non-empty list of string \
                         values, but got empty list",
                        open.span.start,
                        token.span.end,
                    ));
                }
                TokenKind::Close => return Ok(Value::List(texts)),
                TokenKind::Comma if !may_follow => may_follow = true,
                TokenKind::Unclosed => return Err(self.unclosed(token)),
                _ if is_text && may_follow => {
                    let text = inside(written);
                    texts.push(if operand == Operand::IntegerText {
                        experiment_id(text, token.span)?
                    } else {
                        text.to_owned()
                    });
                    may_follow = false;
                }
                _ => {
                    let message = format!(
                        "While parsing a list in the query, expected string value, punctuation, or \
                         whitespace, but got different type in list: {}",
                        shorten(self.slice(self.group(open)))
                    );
                    return Err(refuse(message, token.span));
                }
            }
        }
    }

    pub(super) fn unclosed(&self, token: Token) -> Invalid {
        let message = format!("{}. The quote is never closed", self.invalid_clause(token));
        refuse(message, token.span)
    }

    /// From an opening parenthesis to the one that closes it, or to the end.
    pub(super) fn group(&self, open: Token) -> Span {
        let mut depth = 0_usize;
        let from = self.tokens.partition_point(|token| token.span.start < open.span.start);
        for token in &self.tokens[from..] {
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Span { start: open.span.start, end: token.span.end };
            }
        }
        Span { start: open.span.start, end: self.text.len() }
    }

    pub(super) fn invalid_clause(&self, token: Token) -> String {
        format!("Invalid clause(s) in filter string: '{}'", shorten(token.text(self.text)))
    }

    pub(super) fn is_word(&self, token: Token, word: &str) -> bool {
        // In MLflow's language REGEXP is a name as any other.
        let is_keyword = token.kind == TokenKind::Keyword
            || (self.extended.is_some() && token.kind == TokenKind::Name && word == "REGEXP");
        is_keyword && token.text(self.text).eq_ignore_ascii_case(word)
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }

    pub(super) fn slice(&self, span: Span) -> &'filter str {
        &self.text[span.start..span.end]
    }
}

/// The digits of an experiment's id in their shortest form.
pub(super) fn experiment_id(text: &str, span: Span) -> Result<String, Invalid> {
    text.trim().parse::<i64>().map(|id| id.to_string()).map_err(|_| {
        refuse(
            format!(
                "Invalid experiment ID '{}'. Experiment ID must be a valid integer.",
                shorten(text)
            ),
            span,
        )
    })
}

/// A quoted token without its quotes, which are one byte each.
pub(super) fn inside(written: &str) -> &str {
    &written[1..written.len() - 1]
}

pub(super) fn refuse(message: String, span: Span) -> Invalid {
    Invalid::at(message, span.start, span.end)
}
