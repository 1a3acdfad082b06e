//! `cairn environments`: what Cairn made for projects to run in.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use cairn_app::AppOptions;
use cairn_runtime::environment::{
    EnvironmentInfo, EnvironmentList, PruneOptions, Pruned, container,
};
use cairn_runtime::launch::Launches;
use cairn_runtime::{CancellationToken, Environments, RuntimeError};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::backup::size;

#[derive(Debug, clap::Args)]
pub struct EnvironmentsArgs {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them with their room, last use and runs
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove those that no run used lately
    ///
    /// One that a program runs in, or that a run needs which has not ended, is never removed.
    Prune {
        /// Only those that no run used for so many days
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
        /// Say what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove one or more, by name
    Remove {
        /// As `cairn environments list` names them
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Also when a program runs in it
        #[arg(long)]
        force: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make one again from its lock, in the same place
    Rebuild {
        /// As `cairn environments list` names it
        #[arg(value_name = "NAME")]
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn run(args: EnvironmentsArgs) -> anyhow::Result<ExitCode> {
    let options = AppOptions::for_this_user(None).map_err(|text| anyhow!(text))?;
    let environments = Environments::new(&options.data_dir);
    let needed = || environments.needed_by(&Launches::new(&options.data_dir)).map_err(with_hint);
    match args.command.unwrap_or(Command::List { json: false }) {
        Command::List { json } => {
            let list = environments.list();
            if json {
                println!("{}", serde_json::to_string_pretty(&list_json(&environments, &list))?);
            } else {
                print_list(&environments, &list);
            }
        }
        Command::Prune { days, dry_run, json } => {
            let options = PruneOptions {
                unused_for: Duration::from_hours(24 * u64::from(days)),
                needed: needed()?,
            };
            let pruned = if dry_run {
                environments.prune_plan(&options)
            } else {
                environments.prune(&options).map_err(with_hint)?
            };
            if json {
                println!("{}", serde_json::to_string_pretty(&pruned_json(&pruned))?);
            } else {
                print_pruned(&pruned, dry_run);
            }
        }
        Command::Remove { names, force, json } => {
            let needed = needed()?;
            for name in &names {
                environments.remove(name, &needed, force).map_err(with_hint)?;
                if !json {
                    println!("Removed {name}");
                }
            }
            if json {
                println!("{}", serde_json::to_string_pretty(&json!({ "removed": names }))?);
            }
        }
        Command::Rebuild { name, json } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let made = runtime.block_on(async {
                let cancel = CancellationToken::new();
                let stop = cancel.clone();
                tokio::spawn(async move {
                    if tokio::signal::ctrl_c().await.is_ok() {
                        stop.cancel();
                    }
                });
                environments.rebuild(&name, &|line| eprintln!("{line}"), &cancel).await
            });
            let made = made.map_err(with_hint)?;
            if json {
                let text = json!({ "name": made.name(), "folder": made.folder() });
                println!("{}", serde_json::to_string_pretty(&text)?);
            } else {
                println!("Made {} again in {}", made.name(), made.folder().display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a container to its end; ends with its exit code.
pub fn run_container(file: &Path) -> anyhow::Result<ExitCode> {
    let code = container::run_to_end(file).map_err(with_hint)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn with_hint(error: RuntimeError) -> anyhow::Error {
    let mut text = error.to_string();
    if let Some(detail) = error.detail() {
        text = format!("{text}\n{detail}");
    }
    if let Some(hint) = error.hint() {
        text = format!("{text}\n{hint}");
    }
    anyhow!(text)
}

fn info_json(info: &EnvironmentInfo) -> Value {
    json!({
        "name": info.name,
        "folder": info.folder,
        "kind": info.kind,
        "summary": info.summary,
        "python": info.python,
        "packages": info.packages,
        "made_ms": info.made_ms,
        "last_used_ms": info.last_used_ms,
        "size_bytes": info.size_bytes,
        "own_bytes": info.own_bytes,
        "uses": info.uses,
        "used_by": info.used_by,
        "is_broken": info.is_broken,
        "is_in_use": info.is_in_use,
        "has_lock": info.has_lock,
    })
}

fn list_json(environments: &Environments, list: &EnvironmentList) -> Value {
    json!({
        "folder": environments.root(),
        "total_bytes": list.total_bytes,
        "environments": list.environments.iter().map(info_json).collect::<Vec<_>>(),
    })
}

fn pruned_json(pruned: &Pruned) -> Value {
    json!({
        "removed": pruned.removed.iter().map(info_json).collect::<Vec<_>>(),
        "kept": pruned.kept,
        "freed_bytes": pruned.freed_bytes,
    })
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print_list(environments: &Environments, list: &EnvironmentList) {
    if list.environments.is_empty() {
        println!("There is no environment in {} yet.", environments.root().display());
        return;
    }
    println!("Environments in {}", environments.root().display());
    let now = cairn_core::UnixMillis::now().0;
    let width = list.environments.iter().map(|info| info.name.len()).max().unwrap_or(0);
    for info in &list.environments {
        let state = match (info.is_broken, info.is_in_use) {
            (true, _) => ", BROKEN",
            (false, true) => ", in use",
            (false, false) => "",
        };
        let runs = if info.uses == 1 { "1 run".to_owned() } else { format!("{} runs", info.uses) };
        println!(
            "{:width$}  {:>9}  {:>9} of its own  used {}  {runs}{state}  {}",
            info.name,
            size(info.size_bytes),
            size(info.own_bytes),
            age(now - info.last_used_ms),
            info.summary,
        );
    }
    println!("Together {}, files that several share counted once.", size(list.total_bytes));
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print_pruned(pruned: &Pruned, dry_run: bool) {
    for kept in &pruned.kept {
        println!("Kept {}: {}", kept.name, kept.because);
    }
    let word = if dry_run { "Would remove" } else { "Removed" };
    for info in &pruned.removed {
        println!("{word} {} ({})", info.name, size(info.own_bytes));
    }
    let freed = if dry_run { "That would free" } else { "That freed" };
    println!("{freed} {}.", size(pruned.freed_bytes));
}

fn age(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0 => "now".to_owned(),
        1..=119 => format!("{minutes} min ago"),
        120..=2_879 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}
