//! `cairn import`: from arguments to a report.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use cairn_app::{
    AppOptions,
    app::usual_store,
    imports::{
        ArtifactMode, CancellationToken, Following, ImportError, ImportOptions, ImportReport,
        Importer, Progress, follow, plural, summary, words,
    },
};
use cairn_store::OpenOptions;
use tokio::signal::unix::{SignalKind, signal};

use clap::{Args, ValueEnum};

use crate::serve;

/// What to import, and how.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The mlruns folder, the folder that holds it, or the folder of one experiment
    path: PathBuf,

    /// The folder of the store, made if it is missing; or an existing mlflow.db
    /// [default: the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// Go on bringing in what is written to the folder later, until Ctrl-C
    #[arg(long)]
    follow: bool,

    /// Copy artifacts into the store, or leave them and note where they are; the port for MLflow
    /// clients serves only copied ones
    #[arg(long, value_enum, default_value_t = Artifacts::Copy)]
    artifacts: Artifacts,

    /// Look at every run again, also at those that an earlier import brought unchanged
    #[arg(long)]
    recheck: bool,
}

/// What happens to artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Artifacts {
    /// They are copied into the store.
    Copy,
    /// They stay where they are.
    Reference,
}

/// Some things were left out; the report names them.
const INCOMPLETE: u8 = 3;
/// Stopped by Ctrl-C, as shells count it.
const STOPPED: u8 = 130;
/// The least time between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Imports, and prints what came of it.
pub fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let options = AppOptions::for_this_user(args.store.clone()).map_err(|text| anyhow!(text))?;
    let path = args.store.unwrap_or_else(|| usual_store(&options));
    let store = serve::open(&path, OpenOptions::Create)?;
    let artifacts = match args.artifacts {
        Artifacts::Copy => ArtifactMode::Copy,
        Artifacts::Reference => ArtifactMode::Reference,
    };
    let options = ImportOptions { artifacts, recheck: args.recheck, ..ImportOptions::default() };
    let mut importer = Importer::open(&store, &args.path, options).map_err(with_hint)?;
    let cancel = CancellationToken::new();
    cancel_on_signals(&cancel)?;
    print(&format!("Importing {} into {}", importer.root().display(), store.dir().display()));
    let started = Instant::now();
    let line = ProgressLine::new();
    let (report, ended) = importer.pass(&cancel, &|progress| line.show(progress));
    line.clear();
    print_report(&report, started.elapsed());
    match ended {
        Ok(()) => {}
        Err(ImportError::Cancelled) => {
            print("Stopped. The same command goes on where this ended.");
            return Ok(ExitCode::from(STOPPED));
        }
        Err(error) => return Err(with_hint(error)),
    }
    if args.follow {
        print("Following the folder; Ctrl-C stops.");
        follow(&mut importer, &cancel, &print_following).map_err(with_hint)?;
        print("Stopped following.");
    }
    Ok(if report.has_losses() { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
}

/// Asks the import to end well at the first SIGINT or SIGTERM; a second one ends the program.
fn cancel_on_signals(cancel: &CancellationToken) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the program's threads cannot be started")?;
    // Both are caught before the import begins.
    let signals = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let cancel = cancel.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let (mut interrupt, mut terminate) = signals;
            for is_first in [true, false] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if is_first {
                    cancel.cancel();
                } else {
                    std::process::exit(i32::from(STOPPED));
                }
            }
        });
    })?;
    Ok(())
}

fn with_hint(error: ImportError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => anyhow!("{error}\n{hint}"),
        None => anyhow!(error),
    }
}

/// One line that is written again and again on a terminal; a line now and then elsewhere.
struct ProgressLine {
    is_terminal: bool,
    last: Mutex<Option<Instant>>,
}

impl ProgressLine {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), last: Mutex::new(None) }
    }

    fn show(&self, progress: Progress) {
        let (words, fraction) = words(progress);
        let percent = fraction.map_or_else(String::new, |part| format!(" ({:.0} %)", part * 100.0));
        if self.is_terminal {
            eprint!("\r\x1b[K{words}{percent}");
            return;
        }
        let mut last = self.last.lock().expect("no holder of this lock panics");
        if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            // The first moments are told by the first line.
            if last.is_some() {
                eprintln!("{words}{percent}");
            }
            *last = Some(Instant::now());
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(line: &str) {
    println!("{line}");
    // Whoever waits for a line reads it through a pipe.
    let _ = std::io::stdout().flush();
}

fn print_report(report: &ImportReport, took: Duration) {
    let counts = &report.counts;
    let seconds = took.as_secs_f64();
    print(&format!("{} in {seconds:.1} s", summary(counts)));
    let others = [
        (counts.experiments, "experiment"),
        (counts.logged_models, "logged model"),
        (counts.registered_models, "registered model"),
        (counts.model_versions, "model version"),
    ];
    let others: Vec<_> = others
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| plural(count, noun))
        .collect();
    if !others.is_empty() {
        print(&format!("Also {}", others.join(", ")));
    }
    for (title, is_loss) in [("Left out:", true), ("Came in, changed:", false)] {
        let groups: Vec<_> =
            report.skipped.iter().filter(|group| group.is_loss == is_loss).collect();
        if groups.is_empty() {
            continue;
        }
        print(title);
        for group in groups {
            print(&format!("  {:>7}  {}", group.count, group.words));
            for place in &group.first {
                let detail = place.detail.as_ref();
                let detail = detail.map_or_else(String::new, |detail| format!("  ({detail})"));
                print(&format!("           {}{detail}", place.path));
            }
        }
    }
}

fn print_following(following: &Following) {
    if let Some(reason) = &following.polls_because
        && following.arrivals == 0
    {
        print(&format!("The folder cannot be watched ({reason}); it is looked at every 10 s."));
    }
    if following.arrivals > 0 {
        let counts = &following.counts;
        print(&format!(
            "{}, {}, {} since",
            plural(counts.runs, "new run"),
            plural(counts.metric_values, "metric value"),
            plural(counts.files, "file")
        ));
    }
}
