//! MLflow's API as its clients meet it: recorded conversations, the guard over every route, bad
//! input, files, limits, and real sockets.

mod advisories;
mod artifacts;
mod bad_input;
mod graphql;
mod guard_table;
mod limits;
mod pages;
mod paths;
mod recorded;
mod sockets;
mod support;
mod token;
