//! MLflow's REST API as an axum router behind one guard.
//!
//! A request passes the sockets ([`listener`]), the guard ([`guard`], [`access`]) and the table of routes
//! ([`routes`]); its fields are read leniently into core types, a handler asks the store, and the
//! answer is written as MLflow writes it (`wire`). Errors become MLflow's in [`error`] alone.
//!
//! HTTP from outside can only record: no route starts a process, fetches a URL, or opens a file
//! outside the artifact tree.

pub mod server;
pub mod listener;
pub mod guard;
pub mod access;
pub mod routes;
pub mod error;
mod body;
mod json;
mod query;
mod fields;
mod call;
mod wire;
mod wire_models;
mod page;
mod search;
mod experiments;
mod runs;
mod metrics;
mod history;
mod disk;
mod artifacts;
mod download;
mod logged_models;
mod registered_models;
mod model_versions;
mod graphql;
mod status;

pub use access::{Access, AccessRule, Token};
pub use disk::{Disk, RESERVE_BYTES};
pub use error::{ApiError, ErrorCode};
pub use guard::{GuardLayer, GuardPolicy, Refusal};
pub use listener::{BindError, Listener, PortChoice};
pub use routes::{Place, ROUTES, Route, Tier};
pub use server::{RunningServer, Server};
pub use status::MLFLOW_VERSION;
