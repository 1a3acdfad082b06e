//! Projects: from asking for a run to the first line of the person's code, beside `mlflow run` and the
//! bare Python; building an environment, beside uv alone; launches, beside bare processes.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::report::{Report, number};
use super::start::median;
use crate::exec;
use crate::setup;
use crate::workspace::Workspace;

/// What Cairn may take of its own before the first line.
const TARGET_FIRST_LINE_MS: f64 = 300.0;
/// Percent of uv's own time.
const TARGET_BUILD_PERCENT: f64 = 110.0;
const TARGET_SUPERVISOR_MB: f64 = 6.0;
/// How long the child may be held up at once by whoever reads its output.
const TARGET_HELD_UP_S: f64 = 1.0;
/// Runs of Cairn and of Python whose median counts; MLflow's take seconds each.
const RUNS: usize = 9;
const RUNS_OF_MLFLOW: usize = 3;
const BUILDS: usize = 3;

const REQUIREMENTS: [&str; 3] = ["scikit-learn", "pandas", "mlflow-skinny"];

/// Says when its first line ran, and by which Python.
const SCRIPT: &str = "import time, sys\nprint('FIRST', time.time(), sys.executable, flush=True)\n";

/// What the example program `bench_launches` of `cairn-runtime` prints as its last line.
#[derive(Deserialize)]
struct Launches {
    supervisor_mb: f64,
    gigabytes_per_minute: f64,
    raw_gigabytes_per_minute: f64,
    longest_write_s: f64,
    queue_s: f64,
    raw_queue_s: f64,
    most_at_once: u64,
}

/// Runs one small project again and again in `scratch`; `python` has stock MLflow.
pub fn measure(
    workspace: &Workspace,
    python: &Path,
    scratch: &Path,
    report: &mut Report,
) -> Result<()> {
    let bench = Bench::prepare(workspace, python, &scratch.join("projects"))?;
    let server = bench.serve()?;
    builds(&bench, report)?;
    first_lines(&bench, report)?;
    drop(server);
    launches(workspace, &bench, report)
}

struct Bench {
    cairn: PathBuf,
    uv: PathBuf,
    /// With stock MLflow.
    python: PathBuf,
    /// For example `3.11`.
    version: String,
    folder: PathBuf,
}

impl Bench {
    fn prepare(workspace: &Workspace, python: &Path, folder: &Path) -> Result<Self> {
        let project = folder.join("project");
        fs::create_dir_all(&project)?;
        let version = exec::capture(
            Command::new(python).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]),
        )?;
        let bench = Self {
            cairn: workspace.built("release", "cairn"),
            uv: setup::uv(workspace)?,
            python: python.to_owned(),
            version: version.trim().to_owned(),
            folder: folder.to_owned(),
        };
        let entry_points = "entry_points:\n  main:\n    command: python first_line.py\n";
        let project_file = format!("name: bench\npython_env: python_env.yaml\n{entry_points}");
        fs::write(project.join("MLproject"), project_file)?;
        fs::write(project.join("first_line.py"), SCRIPT)?;
        let dependencies = REQUIREMENTS.join("\n  - ");
        let environment =
            format!("python: '{}'\ndependencies:\n  - {dependencies}\n", bench.version);
        fs::write(project.join("python_env.yaml"), environment)?;
        Ok(bench)
    }

    /// A program with a home folder of its own, which finds the uv of this bench.
    fn program(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.env("PATH", self.search_path()?).env("CAIRN_HOME", self.folder.join("home"));
        command.env("MLFLOW_DISABLE_TELEMETRY", "true").env("DO_NOT_TRACK", "true");
        Ok(command)
    }

    fn search_path(&self) -> Result<OsString> {
        let tools = self.uv.parent().context("uv lies in a folder")?.to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        Ok(env::join_paths(std::iter::once(tools).chain(env::split_paths(&path)))?)
    }

    /// Cairn as it is while its window is open: somebody answers for the store.
    fn serve(&self) -> Result<Server> {
        let mut command = self.program(&self.cairn)?;
        command.args(["serve", "--port", "0", "--store"]).arg(self.folder.join("store"));
        let mut process = command.stdout(Stdio::piped()).spawn().context("cairn serve")?;
        let stdout = process.stdout.take().context("stdout was asked for")?;
        let server = Server { process };
        let told = BufReader::new(stdout).lines().map_while(Result::ok);
        if !told.into_iter().any(|line| line.starts_with("Serving")) {
            bail!("cairn serve ended before it served");
        }
        Ok(server)
    }

    fn cairn_run(&self) -> Result<FirstLine> {
        let mut command = self.program(&self.cairn)?;
        command.args(["run", "project", "--store"]).arg(self.folder.join("store"));
        FirstLine::of(&mut command)
    }

    fn mlflow_run(&self) -> Result<FirstLine> {
        let mut command = self.program(&self.python)?;
        command.args(["-m", "mlflow", "run", "project", "--env-manager", "uv"]);
        let database = self.folder.join("mlflow.db");
        command.env("MLFLOW_TRACKING_URI", format!("sqlite:///{}", database.display()));
        command.env("MLFLOW_ENV_ROOT", self.folder.join("mlflow-environments"));
        FirstLine::of(&mut command)
    }

    /// uv alone: an environment with the same packages, in seconds.
    fn uv_alone(&self) -> Result<f64> {
        let folder = self.folder.join("uv-alone");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let began = Instant::now();
        let mut make = self.program(&self.uv)?;
        exec::capture(make.args(["venv", "--quiet", "--python", &self.version]).arg(&folder))?;
        let mut install = self.program(&self.uv)?;
        install.args(["pip", "install", "--quiet", "--python"]).arg(folder.join("bin/python"));
        exec::capture(install.args(REQUIREMENTS))?;
        Ok(began.elapsed().as_secs_f64())
    }
}

/// Ended when dropped.
struct Server {
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
    }
}

/// When the script's first line ran.
struct FirstLine {
    /// Seconds after the program was started.
    after_s: f64,
    /// The Python that ran it.
    python: PathBuf,
}

impl FirstLine {
    fn of(command: &mut Command) -> Result<Self> {
        let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let output = exec::capture(command)?;
        let line = output
            .lines()
            .find_map(|line| Some(line.split_once("FIRST ")?.1))
            .with_context(|| format!("the script printed nothing:\n{output}"))?;
        let (at, python) = line.split_once(' ').context("a time and a path")?;
        let at: f64 = at.parse().with_context(|| format!("`{at}` is no time"))?;
        Ok(Self { after_s: at - began, python: python.trim().into() })
    }
}

/// Each build is what a first run takes longer than the next one.
fn builds(bench: &Bench, report: &mut Report) -> Result<()> {
    println!("  building environments");
    bench.uv_alone()?; // Fills uv's cache, so that nothing below waits for the network.
    let (mut ours, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..BUILDS {
        let environments = bench.folder.join("home/data/environments");
        if environments.exists() {
            fs::remove_dir_all(&environments)?;
        }
        let building = bench.cairn_run()?.after_s;
        ours.push(building - bench.cairn_run()?.after_s);
        alone.push(bench.uv_alone()?);
    }
    let (ours, alone) = (median(ours), median(alone));
    report.add(
        "building an environment, of uv's own time",
        100.0 * ours / alone,
        "%",
        TARGET_BUILD_PERCENT,
        format!(
            "Cairn {} s with its lock, uv {} s, uv's cache filled",
            number(ours),
            number(alone)
        ),
    );
    Ok(())
}

fn first_lines(bench: &Bench, report: &mut Report) -> Result<()> {
    println!("  running one project again and again");
    bench.mlflow_run()?; // Builds its environment.
    let environment = bench.cairn_run()?.python;
    let (mut ours, mut python, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        ours.push(bench.cairn_run()?.after_s * 1000.0);
        let script = bench.folder.join("project/first_line.py");
        python.push(FirstLine::of(bench.program(&environment)?.arg(script))?.after_s * 1000.0);
        if run < RUNS_OF_MLFLOW {
            theirs.push(bench.mlflow_run()?.after_s * 1000.0);
        }
    }
    let (ours, python, theirs) = (median(ours), median(python), median(theirs));
    report.add(
        "cairn run to the first line, without Python's own start",
        ours - python,
        "ms",
        TARGET_FIRST_LINE_MS,
        format!(
            "in all {} ms, Python alone {} ms, mlflow run {} ms; environments built before",
            number(ours),
            number(python),
            number(theirs)
        ),
    );
    Ok(())
}

fn launches(workspace: &Workspace, bench: &Bench, report: &mut Report) -> Result<()> {
    println!("  launches that print, and a queue of many");
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "cairn-runtime"]);
    cargo.args(["--example", "bench_launches", "--"]).arg(bench.folder.join("launches"));
    let text = exec::capture(cargo.env("CAIRN_PROGRAM", &bench.cairn))?;
    let line = text.lines().next_back().context("bench_launches printed nothing")?;
    let found: Launches =
        serde_json::from_str(line).with_context(|| format!("bench_launches printed `{line}`"))?;
    report.add(
        "memory of a supervisor",
        found.supervisor_mb,
        "MB",
        TARGET_SUPERVISOR_MB,
        "resident, the most of four while they keep all that is printed",
    );
    report.add(
        "longest that a printing run was held up",
        found.longest_write_s,
        "s",
        TARGET_HELD_UP_S,
        format!(
            "four at once, {} GB a minute; through `cat` into files {}",
            number(found.gigabytes_per_minute),
            number(found.raw_gigabytes_per_minute)
        ),
    );
    report.add(
        "a minute of 1 GB of output takes",
        60.0 / found.gigabytes_per_minute,
        "s",
        60.0,
        "the rate of the line before",
    );
    report.add(
        "most of 100 queued runs at once, limit 4",
        found.most_at_once as f64,
        "",
        4.5,
        format!(
            "all in {} s; the same programs bare, 4 at a time, {} s",
            number(found.queue_s),
            number(found.raw_queue_s)
        ),
    );
    Ok(())
}
