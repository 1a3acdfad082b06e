//! Everything that a window can ask of Cairn, declared once and carried by every host.
//!
//! Start reading at [`commands`]: the list of commands. A host (the Tauri window, the browser
//! host) makes one [`App`], passes calls to [`commands::call`], and forwards [`App::listen`].
//! What a host can do that this crate cannot (serving the MLflow port, native dialogs) it hands in
//! as a [`Host`].

pub mod app;
mod artifacts;
mod backups;
pub mod charts;
pub mod commands;
mod compare;
mod drops;
pub mod dto;
mod edits;
pub mod environments;
mod errors;
mod experiments;
pub mod imports;
mod jobs;
pub mod launch_keeper;
pub mod launches;
mod live;
mod models;
pub mod ports;
pub mod projects;
pub mod reruns;
mod runs;
mod samples;
mod settings;
mod table_text;
pub mod token;

pub use app::{App, AppOptions, Host, Pick};
pub use artifacts::OpenedFile;
