//! Measures tracking and registry: against stock MLflow, and against what SQLite and the disk do with
//! the same rows and bytes when nothing stands between. `cargo xtask bench tracking` builds and runs it.
//!
//! It is a benchmark, never a test: times depend on the machine and on what else it does.

#![expect(clippy::print_stdout, reason = "a program for a terminal; printing is its interface")]

mod http;
mod servers;
mod load;
mod raw;
mod stores;
mod report;
mod machine;
mod page;
mod parts;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use report::Report;
use servers::Server;
use stores::Stores;

/// What all parts share.
pub struct Bench {
    /// The program `cairn`, built in release.
    cairn: PathBuf,
    stores: Stores,
    /// Gone at the end.
    scratch: tempfile::TempDir,
    /// Size of the artifact, units of 1,048,576 bytes.
    artifact_mib: usize,
    /// How long one slice of a series lasts.
    slice: Duration,
    /// Numbers of runs at which cost is compared, ascending.
    sizes: &'static [u64],
    /// Stock MLflow on an empty store, started when the first part needs it.
    mlflow: OnceCell<Server>,
}

impl Bench {
    /// A folder of its own in the scratch folder.
    fn folder(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Stock MLflow on a store that was empty at the start.
    fn mlflow(&self) -> Result<&Server> {
        if let Some(server) = self.mlflow.get() {
            return Ok(server);
        }
        say("starting stock MLflow");
        let server = Server::mlflow(&self.stores.python, &self.folder("mlflow"))?;
        Ok(self.mlflow.get_or_init(|| server))
    }
}

/// Tells what is being done.
fn say(what: &str) {
    println!("  {what}");
}

struct Arguments {
    cairn: PathBuf,
    python: PathBuf,
    folder: PathBuf,
    /// The folder of the documents, if they are to be written.
    docs: Option<PathBuf>,
    artifact_mib: usize,
    is_quick: bool,
    parts: Vec<String>,
}

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Result<Self> {
        let (mut cairn, mut python, mut folder, mut docs) = (None, None, None, None);
        let (mut artifact_mib, mut is_quick, mut parts) = (1024, false, Vec::new());
        while let Some(argument) = given.next() {
            let mut value = || {
                given.next().map(PathBuf::from).with_context(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--cairn" => cairn = Some(value()?),
                "--python" => python = Some(value()?),
                "--folder" => folder = Some(value()?),
                "--docs" => docs = Some(value()?),
                "--artifact-mb" => {
                    let text = value()?;
                    let number = text.to_str().and_then(|text| text.parse().ok());
                    artifact_mib = number
                        .filter(|size| *size > 0)
                        .context("--artifact-mb needs a whole number above 0")?;
                }
                "--quick" => is_quick = true,
                part if parts::ALL.iter().any(|(name, _)| *name == part) => {
                    parts.push(part.to_owned());
                }
                other => bail!("`{other}` is not known; the parts are: {}", parts::names()),
            }
        }
        Ok(Self {
            cairn: cairn.context("--cairn names the program")?,
            python: python.context("--python names an interpreter with MLflow")?,
            folder: folder.context("--folder names a folder on the disk to measure")?,
            docs,
            artifact_mib,
            is_quick,
            parts,
        })
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    if cfg!(debug_assertions) {
        bail!("a debug build measures nothing; use cargo xtask bench tracking");
    }
    let report = measure(&arguments)?;
    report.print();
    if let Some(docs) = &arguments.docs {
        page::write(docs, &report, &machine::describe(&arguments.folder)?)?;
        say(&format!("written to {}", docs.join("benchmarks.md").display()));
    }
    report.verdict()
}

fn measure(arguments: &Arguments) -> Result<Report> {
    std::fs::create_dir_all(&arguments.folder)?;
    let bench = Bench {
        cairn: arguments.cairn.clone(),
        stores: Stores { folder: arguments.folder.clone(), python: arguments.python.clone() },
        scratch: scratch_in(&arguments.folder)?,
        artifact_mib: arguments.artifact_mib,
        slice: Duration::from_millis(if arguments.is_quick { 400 } else { 1500 }),
        sizes: if arguments.is_quick { &parts::SIZES[..2] } else { &parts::SIZES },
        mlflow: OnceCell::new(),
    };
    let mut report = Report::default();
    for (name, part) in parts::ALL {
        if !arguments.parts.is_empty() && !arguments.parts.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("→ {name}");
        let started = Instant::now();
        if let Err(error) = part(&bench, &mut report) {
            report.failed(name, &error);
        }
        println!("  {name}: {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(report)
}

/// A scratch folder beside the stores, so that both lie on one disk.
fn scratch_in(folder: &Path) -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("scratch-")
        .tempdir_in(folder)
        .context("no scratch folder can be made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_chosen_by_name_and_others_refused() {
        let read = |text: &str| Arguments::read(text.split(' ').map(str::to_owned));
        let paths = "--cairn c --python p --folder f";
        let chosen = read(&format!("{paths} log-batch --artifact-mb 64 start")).expect("all known");
        assert_eq!(chosen.parts, ["log-batch", "start"]);
        assert_eq!(chosen.artifact_mib, 64);
        for wrong in ["nothing-of-the-sort", "--artifact-mb 0", "--docs"] {
            assert!(read(&format!("{paths} {wrong}")).is_err(), "{wrong}");
        }
    }
}
