//! Texts with `${…}` in them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text with references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(pub Vec<Piece>);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// What is put here.
    Reference(Reference),
}

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `${parameters.NAME}`: a parameter of the pipeline.
    Parameter(String),
    /// `${steps.STEP.…}`: something of a step's run.
    Step {
        /// The step.
        step: String,
        /// What of it.
        output: Output,
    },
}

/// What a step gives to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `artifacts.PATH`: the address of an artifact, `runs:/<run id>/PATH`. A parameter of type path
    /// gets a local copy of it.
    Artifact(String),
    /// `metrics.NAME`: its latest value.
    Metric(String),
    /// `params.NAME`.
    Param(String),
    /// `tags.NAME`.
    Tag(String),
    /// `run_id`.
    RunId,
}

impl Template {
    /// Reads a text; `$${` is a literal `${`.
    ///
    /// Errors: what is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                literal.push_str(&rest[..at - 1]);
                literal.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            literal.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else {
                return Err((
                    "a reference that begins with ${ has no end".to_owned(),
                    "Close it with }, or write $${ for the characters themselves.".to_owned(),
                ));
            };
            let reference = Reference::parse(&rest[at + 2..at + end])?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Reference(reference));
            rest = &rest[at + end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// The references in it, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Text(_) => None,
        })
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Self, (String, String)> {
        let wrong = || {
            (
                format!("${{{}}} is no reference", crate::yaml::shortened(text)),
                "References are ${parameters.NAME}, ${steps.STEP.artifacts.PATH}, ${steps.STEP.metrics.NAME}, \
                 ${steps.STEP.params.NAME}, ${steps.STEP.tags.NAME} and ${steps.STEP.run_id}."
                    .to_owned(),
            )
        };
        let text = text.trim();
        let (root, rest) = text.split_once('.').ok_or_else(wrong)?;
        if rest.is_empty() {
            return Err(wrong());
        }
        match root {
            "parameters" => Ok(Self::Parameter(rest.to_owned())),
            "steps" => {
                let (step, rest) = rest.split_once('.').ok_or_else(wrong)?;
                let output = match rest.split_once('.') {
                    None if rest == "run_id" => Output::RunId,
                    Some((_, "")) | None => return Err(wrong()),
                    Some(("artifacts", path)) => {
                        let is_inside = path
                            .split('/')
                            .all(|part| !part.is_empty() && part != "." && part != "..");
                        if !is_inside {
                            return Err((
                                format!(
                                    "\"{}\" is no path of an artifact",
                                    crate::yaml::shortened(path)
                                ),
                                "Write it from the run's artifacts on, with / between the parts."
                                    .to_owned(),
                            ));
                        }
                        Output::Artifact(path.to_owned())
                    }
                    Some(("metrics", name)) => Output::Metric(name.to_owned()),
                    Some(("params", name)) => Output::Param(name.to_owned()),
                    Some(("tags", name)) => Output::Tag(name.to_owned()),
                    Some(_) => return Err(wrong()),
                };
                if step.is_empty() {
                    return Err(wrong());
                }
                Ok(Self::Step { step: step.to_owned(), output })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "${{parameters.{name}}}"),
            Self::Step { step, output } => {
                write!(f, "${{steps.{step}.")?;
                match output {
                    Output::Artifact(path) => write!(f, "artifacts.{path}}}"),
                    Output::Metric(name) => write!(f, "metrics.{name}}}"),
                    Output::Param(name) => write!(f, "params.{name}}}"),
                    Output::Tag(name) => write!(f, "tags.{name}}}"),
                    Output::RunId => f.write_str("run_id}"),
                }
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace("${", "$${")),
            Piece::Reference(reference) => reference.fmt(f),
        })
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|(wrong, _)| wrong)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_written() {
        for text in [
            "",
            "plain {x} $y",
            "${parameters.url}",
            "a ${steps.clean.metrics.val.rows} b ${steps.a.run_id}",
            "${steps.clean.artifacts.data/x.csv}",
            "$${not} ${steps.s.tags.mlflow.note}",
        ] {
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Template::parse("$${x}").unwrap().0, [Piece::Text("${x}".to_owned())]);
    }

    #[test]
    fn what_is_no_reference_is_told() {
        for text in [
            "${",
            "${x}",
            "${steps.a}",
            "${steps..run_id}",
            "${steps.a.outputs.b}",
            "${steps.a.artifacts.../b}",
            "${steps.a.artifacts./b}",
            "${steps.a.metrics.}",
            "${parameters.}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
