//! Formulas over what one run logged: `loss * 100`, `train_loss - val_loss`,
//! `best(val_acc) - best(train_acc)`.
//!
//! A formula is read once into a tree ([`Formula::parse`]) and then asked for each run: for its points
//! by step ([`Formula::series`], for charts) or for one number ([`Formula::number`], for columns of a
//! table).
//!
//! ```text
//! sum      = product { ("+" | "-") product }
//! product  = sign { ("*" | "/") sign }
//! sign     = ["-" | "+"] sign | power
//! power    = atom ["^" sign]                      2^3^2 is 2^(3^2), -2^2 is -(2^2)
//! atom     = number | name | function "(" sum { "," sum } ")" | "(" sum ")"
//! name     = word | "`" anything "`" | ("metrics" | "params") "." (word | "`" anything "`")
//! word     = a letter or "_", then letters, digits, "_" and "."
//! ```
//!
//! A name is a metric, or a parameter behind `params.`. Names with other characters stand in
//! backquotes: `` `train/loss` ``. The functions `abs`, `sqrt`, `exp`, `log` (natural, also `ln`), `log2`
//! and `log10` look at each point; `min` and `max` with two or more arguments too. `first`, `last`,
//! `min`, `max`, `mean` and `best` of one metric are one number of the run, and so is `at(loss, 100)`: the
//! value at the step, or at the last one before it. `best` is the smallest value of a metric whose name
//! says so ([`crate::series::is_lower_better`]), else the largest.
//!
//! Points of several metrics meet by step: where one has none, there is none.

mod lexer;
mod parser;
mod eval;

pub use eval::{Missing, Numbers, Outcome, SeriesOf, StepSeries};

use crate::error::{Invalid, Span};

/// The longest formula that is read, in bytes.
pub const MAX_FORMULA_BYTES: usize = 4_096;

/// A formula that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    text: String,
    tree: Node,
}

impl Formula {
    /// Reads a formula.
    ///
    /// Errors: [`Invalid`] with the place of the first trouble. Never panics; linear in the text, which
    /// may have up to [`MAX_FORMULA_BYTES`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        parser::parse(text).map(|tree| Self { text: text.to_owned(), tree })
    }

    /// The formula for one metric, whatever its name.
    pub fn of_metric(name: &str) -> Self {
        let span = Span { start: 0, end: name.len() };
        let name = Name { kind: NameKind::Metric, key: name.to_owned(), span };
        Self { text: name.key.clone(), tree: Node::Name(name) }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The metric that this formula is and nothing else, if it is one.
    pub fn as_metric(&self) -> Option<&str> {
        match &self.tree {
            Node::Name(name) if name.kind == NameKind::Metric => Some(&name.key),
            _ => None,
        }
    }

    /// The metrics and parameters that it names, in the order of the text, each once.
    pub fn names(&self) -> Vec<&Name> {
        let mut found: Vec<&Name> = Vec::new();
        self.tree.visit(&mut |node| {
            let (Node::Name(name) | Node::Reduced { name, .. }) = node else { return };
            if !found.iter().any(|other| (other.kind, &other.key) == (name.kind, &name.key)) {
                found.push(name);
            }
        });
        found
    }

    /// Whether it has a value at each step; otherwise it is one number of a run.
    pub fn is_series(&self) -> bool {
        let mut is_series = false;
        self.tree.visit(&mut |node| {
            is_series |= matches!(node, Node::Name(name) if name.kind == NameKind::Metric);
        });
        is_series
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A metric.
    Metric,
    /// A parameter that is a number.
    Param,
}

/// A metric or parameter in a formula.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Which of the two.
    pub kind: NameKind,
    /// Its key, without quotes.
    pub key: String,
    /// Where it stands first.
    pub span: Span,
}

/// Which one number of a metric's points is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The first value.
    First,
    /// The last value.
    Last,
    /// The smallest finite value.
    Min,
    /// The largest finite value.
    Max,
    /// The mean of the finite values.
    Mean,
    /// The smallest or largest finite value, whichever is better.
    Best,
    /// The value at a step, or at the last one before it.
    At(i64),
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Number(f64),
    /// A metric at each step (in a number of a run: its last value), or a parameter.
    Name(Name),
    /// One number of a metric.
    Reduced {
        pick: Pick,
        name: Name,
    },
    Negative(Box<Node>),
    Binary {
        op: Op,
        left: Box<Node>,
        right: Box<Node>,
    },
    Call {
        function: Function,
        arguments: Vec<Node>,
    },
}

impl Node {
    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Node)) {
        see(self);
        match self {
            Self::Number(_) | Self::Name(_) | Self::Reduced { .. } => {}
            Self::Negative(node) => node.visit(see),
            Self::Binary { left, right, .. } => {
                left.visit(see);
                right.visit(see);
            }
            Self::Call { arguments, .. } => arguments.iter().for_each(|node| node.visit(see)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

impl Op {
    fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Power => left.powf(right),
        }
    }
}

/// A function of each point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Abs,
    Sqrt,
    Exp,
    Log,
    Log2,
    Log10,
    /// The smaller of several; NaN if one is.
    Min,
    /// The larger of several; NaN if one is.
    Max,
}

#[cfg(test)]
mod tests;
