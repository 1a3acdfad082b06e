//! `meta.yaml`, read without trusting it.
//!
//! MLflow writes these files with PyYAML: one mapping of scalars, now and then a mapping or list in
//! it. What is read here is a tree of texts; what a text means is up to the field that asks.
//! Bounded in size, depth and number of nodes; tags other than YAML's own scalars (`!!python/…`)
//! are refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

/// Nodes of one file, those that aliases repeat included.
const MAX_NODES: usize = 20_000;
/// Mappings and lists in each other.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// `null`, `~` or nothing.
    Null,
    /// Any other scalar, as text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping with texts as keys, in the file's order.
    Map(Vec<(String, Node)>),
}

/// Why a file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlError {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for YamlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Reads a file that holds one mapping.
pub(super) fn parse(text: &str) -> Result<Node, YamlError> {
    let mut builder =
        Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    loop {
        let (event, line) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd | Event::DocumentEnd => {
                return Err(YamlError { line, reason: "it is empty".to_owned() });
            }
            event => {
                let node = builder.node(event, line, 0)?;
                if !matches!(node, Node::Map(_)) {
                    return Err(YamlError { line, reason: "it holds no mapping".to_owned() });
                }
                // What comes after must be well-formed, and no second document.
                loop {
                    match builder.next()? {
                        (Event::DocumentEnd, _) => {}
                        (Event::StreamEnd, _) => return Ok(node),
                        (_, line) => {
                            let reason = "it holds more than one document".to_owned();
                            return Err(YamlError { line, reason });
                        }
                    }
                }
            }
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => {
                Err(YamlError { line: error.marker().line(), reason: error.info().to_owned() })
            }
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, YamlError> {
        let fail = |reason: String| Err(YamlError { line, reason });
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return fail(format!("it has more than {MAX_NODES} values"));
        }
        if depth > MAX_DEPTH {
            return fail(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(tag.as_deref(), line)?;
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let node = if is_null { Node::Null } else { Node::Text(text.into_owned()) };
                self.remember(anchor, &node);
                Ok(node)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), line)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.node(event, line, depth + 1)?),
                    }
                }
                let node = Node::List(items);
                self.remember(anchor, &node);
                Ok(node)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), line)?;
                let mut pairs: Vec<(String, Node)> = Vec::new();
                loop {
                    let (event, line) = self.next()?;
                    if event == Event::MappingEnd {
                        break;
                    }
                    let key = match self.node(event, line, depth + 1)? {
                        Node::Text(key) => key,
                        Node::Null => "null".to_owned(),
                        _ => {
                            let reason = "a key is no text".to_owned();
                            return Err(YamlError { line, reason });
                        }
                    };
                    let (event, line) = self.next()?;
                    let value = self.node(event, line, depth + 1)?;
                    // PyYAML takes the last of two equal keys.
                    pairs.retain(|(known, _)| *known != key);
                    pairs.push((key, value));
                }
                let node = Node::Map(pairs);
                self.remember(anchor, &node);
                Ok(node)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return fail("an alias stands for nothing".to_owned());
                };
                self.nodes += node.count();
                if self.nodes > MAX_NODES {
                    return fail(format!("it has more than {MAX_NODES} values"));
                }
                Ok(node)
            }
            _ => fail("it ends in the middle".to_owned()),
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }
}

fn check_tag(tag: Option<&Tag>, line: usize) -> Result<(), YamlError> {
    let Some(tag) = tag else { return Ok(()) };
    let is_plain = tag.is_yaml_core_schema()
        && matches!(
            tag.suffix.as_str(),
            "str" | "int" | "float" | "bool" | "null" | "map" | "seq" | "timestamp"
        );
    if is_plain {
        return Ok(());
    }
    Err(YamlError { line, reason: format!("the tag {}{} is not allowed", tag.handle, tag.suffix) })
}

impl Node {
    fn count(&self) -> usize {
        match self {
            Self::Null | Self::Text(_) => 1,
            Self::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Self::Map(pairs) => 1 + pairs.iter().map(|(_, node)| 1 + node.count()).sum::<usize>(),
        }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    /// The text of a key; `None` if it is missing, null or no scalar.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Self::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The whole number of a key, also from a quoted one or one with a fraction of zeros.
    ///
    /// Errors: what it says instead, if it is there and no such number.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.text(key).map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if let Ok(number) = text.parse() {
            return Ok(Some(number));
        }
        match text.parse::<f64>() {
            // Doubles are whole numbers without loss up to 2^53.
            Ok(number) if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 => {
                Ok(Some(number as i64))
            }
            _ => Err(format!("{key} is no whole number: {}", shorten(text))),
        }
    }

    /// The pairs of a mapping whose values are scalars; those of anything else are none.
    pub fn texts(&self, key: &str) -> Vec<(String, String)> {
        let Some(Self::Map(pairs)) = self.get(key) else { return Vec::new() };
        pairs
            .iter()
            .filter_map(|(key, node)| match node {
                Self::Text(text) => Some((key.clone(), text.clone())),
                _ => None,
            })
            .collect()
    }
}

/// A text cut for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mlflow_writes_is_read() {
        let node = parse(
            "artifact_uri: file:///tmp/x\nend_time: null\nexperiment_id: '912345678901234567'\n\
             name: 'it''s: a #name'\nrun_name: ~\nstart_time: 1795282690277\nstatus: 3\ntags: []\n\
             source: '{\"tags\": {\"a\":\n  \"b\"}}'\naliases:\n  champ: '1'\n  empty:\n\
             user_id: \"\\u00e9\"\nodd: 0123\nyes: yes\ntime: 12:30:45\nfloat: 1.5e12\n",
        )
        .unwrap();
        assert_eq!(node.text("artifact_uri"), Some("file:///tmp/x"));
        assert_eq!(node.text("end_time"), None);
        assert_eq!(node.integer("experiment_id"), Ok(Some(912_345_678_901_234_567)));
        assert_eq!(node.text("name"), Some("it's: a #name"));
        assert_eq!(node.text("run_name"), None);
        assert_eq!(node.integer("start_time"), Ok(Some(1_795_282_690_277)));
        assert_eq!(node.get("tags"), Some(&Node::List(Vec::new())));
        assert_eq!(node.text("source"), Some("{\"tags\": {\"a\": \"b\"}}"));
        assert_eq!(node.texts("aliases"), [("champ".to_owned(), "1".to_owned())]);
        assert_eq!(node.text("user_id"), Some("é"));
        assert_eq!(node.text("odd"), Some("0123"));
        assert_eq!(node.text("yes"), Some("yes"));
        assert_eq!(node.text("time"), Some("12:30:45"));
        assert_eq!(node.integer("float"), Ok(Some(1_500_000_000_000)));
        assert!(node.integer("time").is_err());
        assert_eq!(node.integer("missing"), Ok(None));
    }

    #[test]
    fn what_could_do_harm_is_refused_with_its_line() {
        for (text, line, part) in [
            ("a: 1\nb: !!python/object/apply:os.system ['id']\n", 2, "not allowed"),
            ("a: !local x\n", 1, "not allowed"),
            ("a: [1, 2\n", 2, ""),
            ("- 1\n", 1, "no mapping"),
            ("", 1, "empty"),
            ("a: 1\n---\nb: 2\n", 2, "more than one"),
            ("? [a]\n: 1\n", 1, "no text"),
            ("a: *b\n", 1, ""),
            ("a:\tb\n  c: d\n", 2, ""),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.reason.contains(part), "{text:?}: {error}");
            assert!(error.line.abs_diff(line) <= 1, "{text:?}: {error}");
        }
        let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_err());
        let nested = format!("a: {}x{}", "[".repeat(20), "]".repeat(20));
        assert!(parse(&nested).unwrap_err().reason.contains("deeper"));
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            use std::fmt::Write as _;
            let repeated = vec![format!("*a{}", level - 1); 10].join(", ");
            let _ = writeln!(bomb, "a{level}: &a{level} [{repeated}]");
        }
        assert!(parse(&bomb).unwrap_err().reason.contains("more than"));
    }
}
