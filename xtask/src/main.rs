//! What a developer runs: `cargo xtask <command>`.
//!
//! Every command prints each step, says when a step had nothing to do, and ends with a table of the
//! steps and their seconds. Nothing is installed globally except system packages through apt; tools
//! and Python environments live in the cache folder (see [`workspace::Workspace::cache`]).

#![expect(
    clippy::print_stdout,
    reason = "xtask is a program for a terminal; printing is its interface"
)]

mod workspace;
mod exec;
mod steps;
mod stamp;
mod setup;
mod ui;
mod run;
mod test;
mod check;
mod codegen;
mod bench;
mod mutants;

use std::process::ExitCode;

use anyhow::{Result, bail};

use workspace::Workspace;

const USAGE: &str = "\
cargo xtask <command>

  run [-- ARGS]        set up, build release, open the window on the default store
                       (without a display: start `cairn serve --ui` and print its link)
  conda                build the program for conda environments beside `cairn` (release; 10 to 30
                       minutes the first time; only projects with conda channels need it)
  test [--only NAME]   run every test there is; --only takes a step name, --list prints them
  check [--all]        formatting, lints, crate boundaries, tidiness, generated files
                       (--all lints the window as well, which needs its system packages)
  codegen [--check]    write the TypeScript types of the command list (or say if they are stale)
  bench [PART …]       measure what Cairn promises: tracking, table, start
                       (tracking takes names of its parts, --write, --quick, --artifact-mb N)
  mutants [AREA …]     put faults into the guard and the path types; tests must find them
                       (paths, sources, files, guard; takes long)
  setup [--tests]      only install what is missing
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    if matches!(command.as_str(), "help" | "--help" | "-h") {
        print!("{USAGE}");
        return Ok(());
    }
    let workspace = Workspace::find()?;
    match command.as_str() {
        "setup" => setup::command(&workspace, rest),
        "run" => run::command(&workspace, rest),
        "conda" => run::conda(&workspace, rest),
        "test" => test::command(&workspace, rest),
        "check" => check::command(&workspace, rest),
        "codegen" => codegen::command(&workspace, rest),
        "mutants" => mutants::command(&workspace, rest),
        "bench" => bench::command(&workspace, rest),
        other => bail!("`{other}` is not a command\n\n{USAGE}"),
    }
}

/// Refuses everything in `rest` that is not one of the `known` switches.
fn only_switches(rest: &[String], known: &[&str]) -> Result<()> {
    match rest.iter().find(|argument| !known.contains(&argument.as_str())) {
        None => Ok(()),
        Some(unknown) if known.is_empty() => bail!("`{unknown}`: this command takes no arguments"),
        Some(unknown) => bail!("`{unknown}` is not known here; possible: {}", known.join(" ")),
    }
}
