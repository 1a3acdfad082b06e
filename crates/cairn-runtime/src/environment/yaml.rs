//! YAML of environment files: a tree of texts as they are written, each with its place.
//!
//! As written, because `python: 3.10` means 3.10 to everybody but a YAML parser. Bounded in size, depth and
//! number of nodes, those that aliases repeat included; tags are refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// The largest file that is read.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Nodes of one file, those that aliases repeat included.
const MAX_NODES: usize = 20_000;
/// Mappings and lists in each other.
const MAX_DEPTH: usize = 16;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub line: usize,
    pub column: usize,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    /// Keys with the place they stand at, in the file's order.
    Map(Vec<(Node, Node)>),
}

/// Why a text is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlError {
    pub line: usize,
    pub column: usize,
    pub reason: String,
}

/// Reads a text that holds one document; an empty one is null.
pub(super) fn parse(text: &str) -> Result<Node, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_BYTES {
        return fail(1, 0, "the file is larger than 1 MiB");
    }
    // The scanner reads on behind it as if nothing were there.
    if let Some(at) = text.find('\0') {
        return fail(text[..at].matches('\n').count() + 1, 0, "the file holds a zero byte");
    }
    let mut builder =
        Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    loop {
        let (event, line, column) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            Event::StreamEnd => {
                return Ok(document.unwrap_or(Node { line: 1, column: 1, value: Value::Null }));
            }
            _ if document.is_some() => {
                return fail(line, column, "the file holds more than one document");
            }
            event => document = Some(builder.node(event, line, column, 0)?),
        }
    }
}

impl Node {
    /// The pairs of a mapping.
    pub fn entries(&self) -> Option<impl Iterator<Item = (&str, &Self, &Self)>> {
        match &self.value {
            Value::Map(pairs) => {
                Some(pairs.iter().map(|(key, value)| (key.text().unwrap_or_default(), key, value)))
            }
            _ => None,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for a sentence.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Null | Value::Text(_) => 1,
            Value::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Map(pairs) => 1 + pairs.iter().map(|(_, node)| 1 + node.count()).sum::<usize>(),
        }
    }
}

fn fail<T>(line: usize, column: usize, reason: impl Into<String>) -> Result<T, YamlError> {
    Err(YamlError { line, column, reason: reason.into() })
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize, usize), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line(), span.start.col() + 1)),
            Some(Err(error)) => {
                let marker = error.marker();
                fail(
                    marker.line().max(1),
                    marker.col() + 1,
                    format!("this is not YAML: {}", error.info()),
                )
            }
            None => Ok((Event::StreamEnd, 0, 0)),
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        line: usize,
        column: usize,
        depth: usize,
    ) -> Result<Node, YamlError> {
        self.count(1, line)?;
        if depth > MAX_DEPTH {
            return fail(line, column, format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(tag.is_some(), line, column)?;
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (anchor, if is_null { Value::Null } else { Value::Text(text.into_owned()) })
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(tag.is_some(), line, column)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, ..) => break,
                        (event, line, column) => {
                            items.push(self.node(event, line, column, depth + 1)?);
                        }
                    }
                }
                (anchor, Value::List(items))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(tag.is_some(), line, column)?;
                (anchor, Value::Map(self.pairs(depth)?))
            }
            Event::Alias(anchor) => {
                // An alias inside its own anchor is not complete yet, so it is not known either.
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return fail(line, column, "this alias stands for nothing that is complete");
                };
                self.count(node.count(), line)?;
                return Ok(node);
            }
            _ => return fail(line, column, "the file ends in the middle"),
        };
        let node = Node { line, column, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn pairs(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, YamlError> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        loop {
            let (event, line, column) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(pairs);
            }
            let key = self.node(event, line, column, depth + 1)?;
            let Some(text) = key.text() else {
                return fail(line, column, format!("this key is {}, not a name", key.kind()));
            };
            if pairs.iter().any(|(known, _)| known.text() == Some(text)) {
                return fail(line, column, format!("\"{text}\" is given twice"));
            }
            let (event, line, column) = self.next()?;
            let value = self.node(event, line, column, depth + 1)?;
            pairs.push((key, value));
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), YamlError> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        fail(line, 0, format!("the file holds more than {MAX_NODES} values, aliases included"))
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the builder")]
    fn refuse(&self, has_tag: bool, line: usize, column: usize) -> Result<(), YamlError> {
        if has_tag { fail(line, column, "tags (\"!…\") are not allowed here") } else { Ok(()) }
    }
}
