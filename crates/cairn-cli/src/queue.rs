//! `cairn queue`: what Cairn starts, seen and steered from a terminal.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{anyhow, bail};
use cairn_app::AppOptions;
use cairn_core::UnixMillis;
use cairn_runtime::{
    RuntimeError,
    launch::{Keep, Launch, LaunchId, LaunchState, Launches},
};
use clap::{Args, Subcommand};

/// How much longer than the grace a stop is waited for.
const STOP_MARGIN: Duration = Duration::from_secs(20);

const DAY_SECS: u64 = 24 * 60 * 60;

#[derive(Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: Option<QueueCommand>,
}

/// A LAUNCH is named by its id, the beginning of it, or the id of its run.
#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List what is at work, what waits, and what ended last
    List {
        /// List everything that is kept
        #[arg(long)]
        all: bool,
    },
    /// Start nothing more; what is at work goes on
    Pause,
    /// Start what waits
    Resume,
    /// Print how many may be at work at once, or change it
    Limit {
        /// At least 1
        n: Option<usize>,
    },
    /// Move a waiting launch before another one, or to the end
    Move {
        /// Which one
        launch: String,
        /// The one that it goes before [default: to the end]
        #[arg(long, value_name = "LAUNCH")]
        before: Option<String>,
    },
    /// Stop a launch with all that it started, or take it out of the queue, and wait for its end
    Stop {
        /// Which one
        launch: String,
    },
    /// Delete what is kept of launches that ended long ago; their runs stay
    ///
    /// Cairn does so by itself when it starts. A launch with the only copy of what its run printed is kept.
    Prune {
        /// Keep so many of the newest
        #[arg(long, value_name = "N", default_value_t = Keep::default().newest)]
        keep: usize,
        /// Keep those that ended within so many days
        #[arg(long, value_name = "N", default_value_t = Keep::default().younger_than.as_secs() / DAY_SECS)]
        days: u64,
    },
    /// Print what a launch printed
    Log {
        /// Which one
        launch: String,
        /// Go on until it ends; the exit code is then 0 only for a good end
        #[arg(short, long)]
        follow: bool,
    },
}

pub fn run(args: QueueArgs) -> anyhow::Result<ExitCode> {
    let options = AppOptions::for_this_user(None).map_err(|text| anyhow!(text))?;
    let launches = Launches::new(&options.data_dir);
    match args.command.unwrap_or(QueueCommand::List { all: false }) {
        QueueCommand::List { all } => list(&launches, all)?,
        QueueCommand::Pause => launches.set_paused(true).map_err(told)?,
        QueueCommand::Resume => launches.set_paused(false).map_err(told)?,
        QueueCommand::Limit { n: Some(limit) } => launches.set_limit(limit).map_err(told)?,
        QueueCommand::Limit { n: None } => {
            writeln!(io::stdout(), "{}", launches.queue().map_err(told)?.limit)?;
        }
        QueueCommand::Move { launch, before } => {
            let id = find(&launches, &launch)?;
            let before = before.map(|before| find(&launches, &before)).transpose()?;
            launches.move_before(&id, before.as_ref()).map_err(told)?;
        }
        QueueCommand::Stop { launch } => return stop(&launches, &find(&launches, &launch)?),
        QueueCommand::Prune { keep, days } => {
            let younger_than = Duration::from_secs(days.saturating_mul(DAY_SECS));
            let count =
                launches.prune(&Keep { newest: keep, younger_than }, &|| false).map_err(told)?;
            let what = if count == 1 { "launch was" } else { "launches were" };
            writeln!(io::stdout(), "{count} {what} deleted; their runs stay.")?;
        }
        QueueCommand::Log { launch, follow } => {
            return log(&launches, &find(&launches, &launch)?, follow);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(launches: &Launches, all: bool) -> anyhow::Result<()> {
    launches.recover().map_err(told)?;
    let mut shown = launches.recent(if all { usize::MAX } else { 20 }).map_err(told)?;
    for launch in launches.active().map_err(told)? {
        if !shown.iter().any(|other| other.spec.launch_id == launch.spec.launch_id) {
            shown.push(launch);
        }
    }
    // What waits comes last, in its order.
    shown.sort_by_key(|launch| match launch.state {
        LaunchState::Queued { position } => (1, position, 0),
        _ => (0, 0, launch.spec.created_ms),
    });
    let queue = launches.queue().map_err(told)?;
    let mut out = io::stdout().lock();
    for launch in &shown {
        let id = &launch.spec.launch_id.as_str()[..16];
        let since = UnixMillis::now().0.saturating_sub(launch.spec.created_ms) / 1000;
        writeln!(out, "{id}  {:<12} {:>6} s  {}", word(&launch.state), since, launch.spec.title)?;
    }
    if shown.is_empty() {
        writeln!(out, "Nothing was started yet.")?;
    }
    let paused = if queue.paused { ", paused" } else { "" };
    writeln!(out, "{} waiting, {} at once{paused}", queue.order.len(), queue.limit)?;
    Ok(())
}

fn word(state: &LaunchState) -> String {
    match state {
        LaunchState::Queued { position } => format!("waiting {}", position + 1),
        LaunchState::Preparing => "preparing".to_owned(),
        LaunchState::Running => "running".to_owned(),
        LaunchState::Stopping => "stopping".to_owned(),
        LaunchState::Finishing => "finishing".to_owned(),
        LaunchState::Ended { status, .. } => status.as_str().to_lowercase(),
    }
}

fn stop(launches: &Launches, id: &LaunchId) -> anyhow::Result<ExitCode> {
    launches.stop(id).map_err(told)?;
    let launch = launches.get(id).map_err(told)?;
    let limit = Duration::from_secs(launch.spec.grace_s) + STOP_MARGIN;
    // Its supervisor may be gone.
    launches.recover().map_err(told)?;
    let launch = launches.wait_for(id, limit).map_err(told)?;
    match &launch.state {
        LaunchState::Ended { cause, .. } => {
            writeln!(io::stdout(), "{cause}")?;
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("{} has not ended yet.", launch.spec.title),
    }
}

fn log(launches: &Launches, id: &LaunchId, follow: bool) -> anyhow::Result<ExitCode> {
    let launch = launches.get(id).map_err(told)?;
    let mut out = io::stdout().lock();
    if !follow {
        launch.log().copy_to(&mut out).map_err(told)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_over = || launches.get(id).map_or(true, |launch| launch.state.is_ended());
    let mut written = Ok(());
    launch
        .log()
        .follow(0, &is_over, &mut |piece| {
            if piece.skipped_bytes > 0 {
                let _ = writeln!(out, "\n[{} bytes are not kept]", piece.skipped_bytes);
            }
            written = out.write_all(&piece.bytes).and_then(|()| out.flush());
            written.is_ok()
        })
        .map_err(told)?;
    written?;
    let launch = launches.get(id).map_err(told)?;
    let is_good = matches!(
        launch.state,
        LaunchState::Ended { status: cairn_core::run::RunStatus::Finished, .. }
    );
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The launch of an id, of the beginning of one, or of a run.
fn find(launches: &Launches, text: &str) -> anyhow::Result<LaunchId> {
    if let Ok(id) = text.parse() {
        if launches.get(&id).is_ok() {
            return Ok(id);
        }
        if let Some(launch) = launches.by_run(text).map_err(told)? {
            return Ok(launch.spec.launch_id);
        }
    }
    let matches = |launch: &Launch| launch.spec.launch_id.as_str().starts_with(text);
    let found: Vec<_> = launches.list().map_err(told)?.into_iter().filter(matches).collect();
    match found.as_slice() {
        [one] if !text.is_empty() => Ok(one.spec.launch_id.clone()),
        [] | [_] => Err(told(RuntimeError::NoSuchLaunch(text.to_owned()))),
        [..] => bail!("Several launches begin with {text}. Give more of the id."),
    }
}

fn told(error: RuntimeError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => anyhow!("{error}\n{hint}"),
        None => anyhow!(error),
    }
}
