//! YAML as MLflow reads it (PyYAML's safe loader), with the place of everything, and without trust.
//!
//! What comes out is a tree of texts. A scalar's text is what Python's `str` makes of the value that
//! PyYAML reads, since that is what MLflow puts into a command: `1.50` is `1.5`, `yes` is `True`, `010` is `8`.
//! Bounded in size, depth and number of nodes, those that aliases repeat included; tags other than YAML's
//! own, and two equal keys in one mapping, are refused.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use crate::problem::Place;

/// The largest file that is read.
pub const MAX_BYTES: usize = 1 << 20;
/// Nodes of one file, those that aliases repeat included.
const MAX_NODES: usize = 20_000;
/// Mappings and lists in each other.
const MAX_DEPTH: usize = 32;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins in the file; for what an alias stands for, where it was written.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// Any other scalar.
    Scalar {
        /// As Python's `str` shows it.
        text: String,
        /// Whether PyYAML reads a text, not a number, a truth value or a date.
        is_text: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping in the file's order.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// As Python's `str` shows it.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// Why a text is no YAML that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub reason: String,
    /// What would be right.
    pub hint: Option<&'static str>,
}

/// Reads a text that holds one document; an empty one is null.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return fail(first, format!("the file is larger than {} KiB", MAX_BYTES / 1024), None);
    }
    // The scanner reads on behind it as if nothing were there.
    if let Some(at) = text.find('\0') {
        return fail(place_of(text, at), "the file holds a zero byte".to_owned(), None);
    }
    let mut builder =
        Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    loop {
        let (event, place) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            Event::StreamEnd => {
                return Ok(document.unwrap_or(Node { place: first, value: Value::Null }));
            }
            _ if document.is_some() => {
                return fail(
                    place,
                    "the file holds more than one document".to_owned(),
                    Some("Remove the line \"---\" and what follows it."),
                );
            }
            event => document = Some(builder.node(event, place, 0)?),
        }
    }
}

impl Node {
    /// The value of a key of a mapping; `None` also when this is no mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }

    /// The pairs of a mapping.
    pub fn entries(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// A scalar as Python's `str` shows it.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// What it is, for a sentence: `a list`, `a number or date`.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar { is_text: true, .. } => "a text",
            Value::Scalar { is_text: false, .. } => "a number, date or truth value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Null | Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Map(pairs) => 1 + pairs.iter().map(|(_, node)| 1 + node.count()).sum::<usize>(),
        }
    }
}

fn fail<T>(place: Place, reason: String, hint: Option<&'static str>) -> Result<T, YamlError> {
    Err(YamlError { place, reason, hint })
}

fn place_of(text: &str, at: usize) -> Place {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

struct Builder<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                Ok((event, Place { line: span.start.line(), column: span.start.col() + 1 }))
            }
            Some(Err(error)) => {
                let marker = error.marker();
                fail(
                    Place { line: marker.line().max(1), column: marker.col() + 1 },
                    format!("this is not YAML: {}", error.info()),
                    Some(
                        "Check the indentation, the quotes, and the colons of this line and the one before.",
                    ),
                )
            }
            None => Ok((Event::StreamEnd, Place::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, YamlError> {
        self.count(1, place)?;
        if depth > MAX_DEPTH {
            return fail(place, format!("it is nested deeper than {MAX_DEPTH} levels"), None);
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref(), place)?;
                Ok(self.remember(anchor, Node { place, value }))
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", place)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, place) => items.push(self.node(event, place, depth + 1)?),
                    }
                }
                Ok(self.remember(anchor, Node { place, value: Value::List(items) }))
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", place)?;
                let pairs = self.mapping(depth)?;
                Ok(self.remember(anchor, Node { place, value: Value::Map(pairs) }))
            }
            Event::Alias(anchor) => {
                // An alias inside its own anchor is not complete yet, so it is not known either.
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return fail(
                        place,
                        "this alias stands for nothing that is complete".to_owned(),
                        None,
                    );
                };
                self.count(node.count(), place)?;
                Ok(node)
            }
            _ => fail(place, "the file ends in the middle".to_owned(), None),
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, YamlError> {
        let mut pairs: Vec<(Key, Node)> = Vec::new();
        let mut known: HashMap<String, Place> = HashMap::new();
        let mut merged: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = match self.node(event, place, depth + 1)?.value {
                Value::Scalar { text, .. } => Key { text, place },
                Value::Null => Key { text: "None".to_owned(), place },
                Value::List(_) | Value::Map(_) => {
                    return fail(
                        place,
                        "this key is a list or a mapping".to_owned(),
                        Some("Use a name as key."),
                    );
                }
            };
            let (event, place) = self.next()?;
            let value = self.node(event, place, depth + 1)?;
            if is_merge {
                merge(&value, &mut merged)?;
                continue;
            }
            if let Some(first) = known.insert(key.text.clone(), key.place) {
                return fail(
                    key.place,
                    format!(
                        "\"{}\" is given twice, first in line {}",
                        shortened(&key.text),
                        first.line
                    ),
                    Some("Keep one of the two."),
                );
            }
            pairs.push((key, value));
        }
        for (key, value) in merged {
            if !known.contains_key(&key.text) {
                known.insert(key.text.clone(), key.place);
                pairs.push((key, value));
            }
        }
        Ok(pairs)
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), YamlError> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        fail(place, format!("the file holds more than {MAX_NODES} values, aliases included"), None)
    }

    fn remember(&mut self, anchor: usize, node: Node) -> Node {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        node
    }
}

/// The start of a text that may be long.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

fn merge(value: &Node, merged: &mut Vec<(Key, Node)>) -> Result<(), YamlError> {
    match &value.value {
        Value::Map(pairs) => merged.extend(pairs.iter().cloned()),
        Value::List(items) if items.iter().all(|item| item.entries().is_some()) => {
            for item in items {
                merged.extend(item.entries().unwrap_or_default().iter().cloned());
            }
        }
        _ => {
            return fail(
                value.place,
                format!("\"<<\" takes a mapping, and this is {}", value.kind()),
                None,
            );
        }
    }
    Ok(())
}

fn check_tag(tag: Option<&Tag>, wanted: &str, place: Place) -> Result<(), YamlError> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == wanted) => refuse_tag(tag, place),
        _ => Ok(()),
    }
}

fn refuse_tag<T>(tag: &Tag, place: Place) -> Result<T, YamlError> {
    fail(
        place,
        format!("the tag {} is not allowed", shortened(&format!("{}{}", tag.handle, tag.suffix))),
        Some("Remove it; a project file holds texts, numbers, lists and mappings only."),
    )
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    place: Place,
) -> Result<Value, YamlError> {
    let as_text = || Value::Scalar { text: text.to_owned(), is_text: true };
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => return Ok(as_text()),
        Some(tag)
            if !(tag.is_yaml_core_schema()
                && matches!(
                    tag.suffix.as_str(),
                    "int" | "float" | "bool" | "null" | "timestamp"
                )) =>
        {
            return refuse_tag(tag, place);
        }
        None if style != ScalarStyle::Plain => return Ok(as_text()),
        _ => {}
    }
    Ok(plain(text))
}

/// A plain scalar by the rules of YAML 1.1 as PyYAML has them, shown as Python's `str` does.
fn plain(text: &str) -> Value {
    let other = |text: String| Value::Scalar { text, is_text: false };
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return other("True".to_owned());
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return other("False".to_owned());
        }
        _ => {}
    }
    // Everything below begins like a number; most texts do not.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        || text.len() > 400
    {
        return Value::Scalar { text: text.to_owned(), is_text: true };
    }
    if INTEGER.is_match(text) {
        return other(integer(text));
    }
    if FLOAT.is_match(text) {
        return other(float(text));
    }
    if DATE.is_match(text) {
        // Python shows a date as it is written, and a time not; the latter is too odd to imitate.
        return other(text.to_owned());
    }
    Value::Scalar { text: text.to_owned(), is_text: true }
}

static INTEGER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        "^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
    )
});
static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    )
});
static DATE: LazyLock<Regex> = LazyLock::new(|| regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is written here")
}

/// What Python's `str(int)` shows of an integer of YAML 1.1.
fn integer(text: &str) -> String {
    let digits = text.replace('_', "");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let number = if digits.contains(':') {
        digits.split(':').try_fold(0_i128, |sum, part| {
            sum.checked_mul(60)?.checked_add(part.parse::<i128>().ok()?)
        })
    } else if let Some(bits) = digits.strip_prefix("0b") {
        i128::from_str_radix(bits, 2).ok()
    } else if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(&digits[1..], 8).ok()
    } else {
        // Of any size.
        return if digits == "0" { digits.to_owned() } else { format!("{sign}{digits}") };
    };
    match number {
        Some(0) => "0".to_owned(),
        Some(number) => format!("{sign}{number}"),
        None => text.to_owned(),
    }
}

/// What Python's `str(float)` shows of a float of YAML 1.1.
fn float(text: &str) -> String {
    let lower = text.replace('_', "").to_lowercase();
    let (sign, digits) = match lower.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    let number = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ if digits.contains(':') => digits
            .split(':')
            .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap_or_default()),
        _ => match digits.parse() {
            Ok(number) => number,
            Err(_) => return text.to_owned(),
        },
    };
    python_float(sign * number)
}

/// A float as Python's `repr` shows it: the shortest digits that give the number back, with an exponent below
/// 1e-4 and from 1e16 on.
pub(crate) fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of `key: <written>` as PyYAML and `str` give it; `None` for null.
    fn check(written: &str, expected: Option<&str>) {
        let node = parse(&format!("key: {written}")).expect("it is YAML");
        let value = node.get("key").expect("the key is there");
        assert_eq!(value.text(), expected, "{written}");
    }

    #[test]
    fn scalars_are_shown_as_python_shows_them() {
        for (written, expected) in [
            ("0.5", "0.5"),
            ("1.50", "1.5"),
            ("1e-3", "1e-3"),
            ("1.0e-3", "0.001"),
            ("1.0e-5", "1e-05"),
            ("1.0e+20", "1e+20"),
            ("123456789012345678.0", "1.2345678901234568e+17"),
            ("010", "8"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("1_000", "1000"),
            ("12:30", "750"),
            ("-0", "0"),
            ("+7", "7"),
            ("yes", "True"),
            ("Off", "False"),
            ("'yes'", "yes"),
            ("\"010\"", "010"),
            ("!!str 010", "010"),
            (".inf", "inf"),
            ("-.INF", "-inf"),
            (".NaN", "nan"),
            ("2020-01-02", "2020-01-02"),
            (
                "99999999999999999999999999999999999999999999",
                "99999999999999999999999999999999999999999999",
            ),
            ("1.2.3", "1.2.3"),
            ("-x", "-x"),
        ] {
            check(written, Some(expected));
        }
        check("~", None);
        check("", None);
        check("null", None);
    }

    #[test]
    fn places_are_counted_from_one() {
        let node = parse("a:\n  b: 1\n").expect("it is YAML");
        let b = node.get("a").and_then(|a| a.get("b")).expect("both are there");
        assert_eq!(b.place, Place { line: 2, column: 6 });
    }

    #[test]
    fn a_merge_gives_what_is_not_given_itself() {
        let node =
            parse("base: &base {x: 1, y: 2}\nown:\n  <<: *base\n  y: 3\n").expect("it is YAML");
        let own = node.get("own").expect("it is there");
        assert_eq!(own.get("x").and_then(Node::text), Some("1"));
        assert_eq!(own.get("y").and_then(Node::text), Some("3"));
    }
}
