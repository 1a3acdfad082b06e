//! Texts of a column, each different one kept once.

use std::collections::{HashMap, HashSet};

use cairn_core::{
    Invalid,
    filter::tree::{Op, Value},
};
use regex::Regex;

use super::select::{is_number_match, number_order};
use crate::{Result, sql::number_in};

/// The code of a value that is NULL in the file: there, but equal to nothing.
const NULL: u32 = u32::MAX;

/// One text per position of the column, as codes into a dictionary.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    /// The different texts, one behind the other.
    bytes: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    codes: Vec<u32>,
}

impl Texts {
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
            + size_of::<usize>() * self.ends.capacity()
            + size_of::<u32>() * self.codes.capacity()
    }

    /// The different texts, in the order of their codes.
    pub fn distinct(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|code| self.text(code))
    }

    /// The code at a position, unless it is NULL.
    pub fn code(&self, position: usize) -> Option<usize> {
        let code = self.codes[position];
        (code != NULL).then_some(code as usize)
    }

    pub fn insert(&mut self, position: usize, text: Option<&str>) {
        let code = self.code_of(text);
        self.codes.insert(position, code);
    }

    pub fn remove(&mut self, position: usize) {
        self.codes.remove(position);
    }

    pub fn replace(&mut self, position: usize, text: Option<&str>) {
        if self.code(position).map(|code| self.text(code)) == text {
            return;
        }
        self.codes[position] = self.code_of(text);
        if self.ends.len() > 2 * self.codes.len() + 1024 {
            self.compact();
        }
    }

    fn text(&self, code: usize) -> &str {
        let start = if code == 0 { 0 } else { self.ends[code - 1] };
        &self.bytes[start..self.ends[code]]
    }

    /// The code of a text; looks for it only in a small dictionary, so that a large one may hold a
    /// text more than once.
    fn code_of(&mut self, text: Option<&str>) -> u32 {
        const LOOKED_THROUGH: usize = 256;
        let Some(text) = text else { return NULL };
        if self.ends.len() <= LOOKED_THROUGH
            && let Some(code) = self.distinct().position(|known| known == text)
        {
            return code as u32;
        }
        self.add(text)
    }

    fn add(&mut self, text: &str) -> u32 {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        (self.ends.len() - 1) as u32
    }

    /// Drops texts that no position has any more.
    fn compact(&mut self) {
        let mut builder = TextsBuilder::default();
        for position in 0..self.codes.len() {
            builder.push(self.code(position).map(|code| self.text(code)));
        }
        *self = builder.finish();
    }
}

/// Collects texts in the order of their positions.
#[derive(Default)]
pub(super) struct TextsBuilder {
    texts: Texts,
    known: HashMap<Box<str>, u32>,
}

impl TextsBuilder {
    pub fn push(&mut self, text: Option<&str>) {
        let code = text.map_or(NULL, |text| {
            self.known.get(text).copied().unwrap_or_else(|| {
                let code = self.texts.add(text);
                self.known.insert(text.into(), code);
                code
            })
        });
        self.texts.codes.push(code);
    }

    /// Puts the positions into another order.
    pub fn finish_in_order(mut self, order: &[usize]) -> Texts {
        self.texts.codes = order.iter().map(|position| self.texts.codes[*position]).collect();
        self.finish()
    }

    pub fn finish(mut self) -> Texts {
        self.texts.bytes.shrink_to_fit();
        self.texts.ends.shrink_to_fit();
        self.texts.codes.shrink_to_fit();
        self.texts
    }
}

/// What a text is tested for.
pub(super) enum TextTest<'a> {
    Is(&'a str),
    IsNot(&'a str),
    Like(Like, bool),
    Regex(Regex, bool),
    In(HashSet<&'a str>, bool),
    Number(Op, &'a Value),
}

impl<'a> TextTest<'a> {
    /// The test of a comparison that is about values (not about whether there is one).
    pub fn new(op: Op, value: &'a Value) -> Result<Self> {
        Ok(match (op, value) {
            (Op::Eq, Value::Text(text)) => Self::Is(text),
            (Op::Ne, Value::Text(text)) => Self::IsNot(text),
            (Op::Like, Value::Text(text)) => Self::Like(Like::new(text, false), true),
            (Op::NotLike, Value::Text(text)) => Self::Like(Like::new(text, false), false),
            (Op::ILike, Value::Text(text)) => Self::Like(Like::new(text, true), true),
            (Op::NotILike, Value::Text(text)) => Self::Like(Like::new(text, true), false),
            (Op::Regexp | Op::NotRegexp, Value::Text(text)) => {
                let regex = Regex::new(text).map_err(|error| Invalid::new(error.to_string()))?;
                Self::Regex(regex, op == Op::Regexp)
            }
            (Op::In | Op::NotIn, Value::List(texts)) => {
                Self::In(texts.iter().map(String::as_str).collect(), op == Op::In)
            }
            (_, Value::Integer(_) | Value::Number(_)) => Self::Number(op, value),
            _ => {
                let message = format!("{} does not suit this value", op.as_str());
                return Err(Invalid::new(message).into());
            }
        })
    }

    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(other) => text == *other,
            Self::IsNot(other) => text != *other,
            Self::Like(pattern, wanted) => pattern.matches(text) == *wanted,
            Self::Regex(regex, wanted) => regex.is_match(text) == *wanted,
            Self::In(texts, wanted) => texts.contains(text) == *wanted,
            Self::Number(op, value) => number_in(text)
                .is_some_and(|number| is_number_match(number_order(number, value), *op)),
        }
    }
}

/// A pattern of `LIKE`: `%` is any text, `_` any one character, and there is no escape.
pub(super) struct Like {
    pattern: Vec<char>,
    /// Upper and lower case of ASCII letters are the same, as in SQLite.
    ignores_case: bool,
}

impl Like {
    pub fn new(pattern: &str, ignores_case: bool) -> Self {
        let fold = |c: char| if ignores_case { c.to_ascii_lowercase() } else { c };
        let mut folded: Vec<char> = pattern.chars().map(fold).collect();
        folded.dedup_by(|a, b| *a == '%' && *b == '%');
        Self { pattern: folded, ignores_case }
    }

    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Where to go on after the last `%` once it has taken one more character.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (self.pattern.get(at), rest.next()) {
                (Some('%'), _) => {
                    at += 1;
                    rest = before;
                    if at == self.pattern.len() {
                        return true;
                    }
                    retry = Some((at, rest.clone()));
                }
                (Some('_'), Some(_)) => at += 1,
                (Some(wanted), Some(c))
                    if *wanted == if self.ignores_case { c.to_ascii_lowercase() } else { c } =>
                {
                    at += 1;
                }
                (None, None) => return true,
                _ => {
                    let Some((after, from)) = &mut retry else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    at = *after;
                    rest = from.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn texts_are_kept_once_and_changes_leave_nothing_behind() {
        let mut builder = TextsBuilder::default();
        for text in [Some("a"), None, Some("b"), Some("a"), Some("")] {
            builder.push(text);
        }
        let mut texts = builder.finish();
        let all = |texts: &Texts| -> Vec<Option<String>> {
            (0..texts.codes.len())
                .map(|at| texts.code(at).map(|code| texts.text(code).to_owned()))
                .collect()
        };
        assert_eq!(texts.distinct().len(), 3);
        texts.replace(0, Some("c"));
        texts.insert(1, Some("b"));
        texts.remove(3);
        assert_eq!(
            all(&texts),
            [Some("c"), Some("b"), None, Some("a"), Some("")].map(|text| text.map(str::to_owned))
        );
        for number in 0..20_000 {
            texts.replace(2, Some(&format!("value {number}")));
        }
        assert!(texts.distinct().len() < 2_000, "{}", texts.distinct().len());
        assert_eq!(all(&texts)[2].as_deref(), Some("value 19999"));
        assert_eq!(all(&texts)[0].as_deref(), Some("c"));
    }

    proptest! {
        #[test]
        fn like_is_sqlites(
            pattern in "[%_aAéÉß\\\\b]{0,8}",
            text in "[aAéÉß%_\\\\b]{0,8}",
            ignores_case: bool,
        ) {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch("PRAGMA case_sensitive_like = ON").unwrap();
            let sql = if ignores_case { "SELECT LOWER(?1) LIKE LOWER(?2)" } else { "SELECT ?1 LIKE ?2" };
            let expected: bool =
                connection.query_row(sql, [&text, &pattern], |row| row.get(0)).unwrap();
            prop_assert_eq!(Like::new(&pattern, ignores_case).matches(&text), expected);
        }
    }
}
