//! MLflow's filter language: clauses joined by `AND`, over runs, experiments, registered models,
//! model versions and logged models. And Cairn's own dialect of it ([`parse_extended`]), for people:
//! all that MLflow's language says, and `OR`, `NOT`, parentheses, numbers against parameters, `IN`
//! everywhere, regular expressions, dates and durations.
//!
//! [`tree`] is what a filter means; whoever asks a database builds its query from it, with bound
//! values only. [`tokens`] cuts a text for colouring and never fails; [`parse`] and [`parse_order`]
//! check everything that can be checked without data.

mod dates;
mod extended;
mod lexer;
mod order;
mod parser;
mod rules;
pub mod tree;

pub use extended::{Context, parse_extended};
pub use lexer::{Token, TokenKind, tokens};
pub use order::{MAX_ORDER_KEYS, logged_model_order_field, parse_order};
pub use parser::{MAX_CLAUSES, MAX_FILTER_BYTES, parse};
pub use tree::{
    Comparison, DatasetAttribute, Entity, ExperimentAttribute, Expr, Field, LoggedModelAttribute,
    ModelVersionAttribute, Op, OrderItem, RegisteredModelAttribute, RunAttribute, Value,
};

#[cfg(test)]
mod tests;
