//! MLflow's filter language: clauses joined by `AND`, over runs, experiments, registered models,
//! model versions and logged models.
//!
//! [`tree`] is what a filter means; whoever asks a database builds its query from it, with bound
//! values only.

pub mod tree;

pub use tree::{
    Comparison, DatasetAttribute, Entity, ExperimentAttribute, Expr, Field, LoggedModelAttribute,
    ModelVersionAttribute, Op, OrderItem, RegisteredModelAttribute, RunAttribute, Value,
};
