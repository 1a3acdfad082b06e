//! `cairn run`: what `mlflow run` does, with environments and supervision of Cairn's own.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use cairn_app::AppOptions;
use cairn_app::token::token_of_launches;
use cairn_projects::{
    DockerArgument, EnvManager, ProjectError, ProjectSource, RunPlan, RunRequest, launch_spec,
    launching::LaunchTarget, plan_fetched,
};
use cairn_runtime::{
    CancellationToken,
    launch::{Cause, Launch, LaunchId, LaunchState, Launches, Placement},
    serving,
};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tokio::signal::unix::{SignalKind, signal};

use crate::target;

/// What to run, and how: the options of `mlflow run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A folder, a zip file or the address of a git repository; `#sub/folder` may follow
    uri: String,

    /// The entry point, or a script of the project (.py, .sh, .ipynb, .R)
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    entry_point: String,

    /// A branch, tag or commit of a git project
    #[arg(short, long, value_name = "VERSION")]
    version: Option<String>,

    /// A parameter; what the entry point does not declare is passed on as `--name value`
    #[arg(short = 'P', long = "param-list", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    params: Vec<String>,

    /// An argument (`gpus=all`) or flag (`t`) of docker run, for projects with a docker_env
    #[arg(short = 'A', long = "docker-args", value_name = "NAME=VALUE")]
    docker_args: Vec<String>,

    /// The experiment, made if there is none of this name
    #[arg(long, value_name = "NAME", env = "MLFLOW_EXPERIMENT_NAME", hide_env_values = true)]
    experiment_name: Option<String>,

    /// The experiment, by its id
    #[arg(long, value_name = "ID", env = "MLFLOW_EXPERIMENT_ID", hide_env_values = true)]
    experiment_id: Option<String>,

    /// Where it runs; Cairn runs projects on this computer (local)
    #[arg(short, long, value_name = "BACKEND", default_value = "local")]
    backend: String,

    /// A JSON file (.json) or JSON text for the backend; local needs none
    #[arg(short = 'c', long, value_name = "FILE")]
    backend_config: Option<String>,

    /// Who makes the environment [default: what the project asks for]
    #[arg(long, value_name = "MANAGER", value_parser = managers())]
    env_manager: Option<EnvManager>,

    /// Where files of path parameters with a remote address are put
    #[arg(long, value_name = "DIR", env = "MLFLOW_TMP_DIR", hide_env_values = true)]
    storage_dir: Option<PathBuf>,

    /// Use this run, and make no new one
    #[arg(long, value_name = "RUN_ID")]
    run_id: Option<String>,

    /// The name of the run
    #[arg(long, value_name = "NAME")]
    run_name: Option<String>,

    /// Build an image with the project's code in it, for projects with a docker_env
    #[arg(long)]
    build_image: bool,

    /// The folder of the store that the run goes to
    /// [default: MLFLOW_TRACKING_URI, else the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// Start it and return at once; `cairn queue` shows what became of it
    #[arg(long)]
    detach: bool,

    /// Only print what would run
    #[arg(long, conflicts_with = "detach")]
    plan: bool,

    /// Print the plan as JSON
    #[arg(long, requires = "plan")]
    json: bool,
}

/// The values of `--env-manager`.
pub(crate) fn managers() -> impl TypedValueParser<Value = EnvManager> {
    let value = |manager: EnvManager| {
        PossibleValue::new(manager.name()).help(match manager {
            EnvManager::Local => "No environment: the programs on PATH",
            EnvManager::Virtualenv | EnvManager::Uv => "Python packages, by uv",
            EnvManager::Conda => "conda.yaml with its channels, without conda",
            EnvManager::Docker => "A container by podman or docker",
        })
    };
    PossibleValuesParser::new(EnvManager::ALL.map(value))
        .map(|name| EnvManager::parse(&name).expect("it is one of these names"))
}

/// What was asked on the command line is wrong, as shells count it.
const USAGE: u8 = 2;
/// Stopped by Ctrl-C, as shells count it.
const STOPPED: u8 = 130;
/// How often the log is looked at, at first.
const FOLLOW: Duration = Duration::from_millis(10);
/// How often the log of a quiet run is looked at.
const FOLLOW_AT_MOST: Duration = Duration::from_millis(100);

/// Runs a project to its end; the exit code is that of its command.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let (detach, only_plan, as_json) = (args.detach, args.plan, args.json);
    let store = args.store.clone();
    let request = match request(args) {
        Ok(request) => request,
        Err(usage) => {
            eprintln!("error: {usage}\n\nFor more information, try 'cairn run --help'.");
            return Ok(ExitCode::from(USAGE));
        }
    };
    if only_plan {
        return plan(&request, as_json);
    }
    let target = target(store)?;
    let spec = launch_spec(&request, &target).map_err(told)?;
    // Caught before the launch begins.
    let stops = if detach { None } else { Some(catch_signals()?) };
    let id = target.launches.submit(spec, Placement::Now)?;
    if detach {
        print_line(id.as_str());
        return Ok(ExitCode::SUCCESS);
    }
    follow(&target.launches, &id, stops.as_deref())
}

/// Where the run is recorded: `--store`, else what MLflow's variable names, else the usual store.
pub(crate) fn target(store: Option<PathBuf>) -> anyhow::Result<LaunchTarget> {
    let named = std::env::var("MLFLOW_TRACKING_URI").ok().filter(|uri| !uri.is_empty());
    let (None, Some(uri)) = (&store, named) else { return target::of(store) };
    if let Some(path) = uri.strip_prefix("sqlite:///") {
        return target::of(Some(PathBuf::from(path)));
    }
    if !uri.starts_with("http://") {
        bail!(
            "MLFLOW_TRACKING_URI names {uri}, which Cairn cannot log to\n\
             Give the address of a server (http://127.0.0.1:PORT), sqlite:///PATH, or --store DIR."
        );
    }
    let options = AppOptions::for_this_user(None).map_err(|text| anyhow!(text))?;
    // One of Cairn's own is served on when it ends before the run does.
    let note = serving::port_of(&uri).and_then(|port| serving::at_port(&options.data_dir, port));
    // The token is for Cairn's own servers alone.
    let token_file = note.as_ref().and_then(|_| token_of_launches(&options));
    Ok(LaunchTarget {
        launches: Launches::new(&options.data_dir),
        tracking_uri: uri.trim_end_matches('/').to_owned(),
        store: note.map(|note| note.store),
        token_file,
        parent_launch: None,
    })
}

/// Prints what would run, and starts nothing. A project elsewhere is fetched for that, and thrown away.
fn plan(request: &RunRequest, as_json: bool) -> anyhow::Result<ExitCode> {
    let options = AppOptions::for_this_user(None).map_err(|text| anyhow!(text))?;
    let source =
        ProjectSource::parse(&request.uri, request.version.as_deref(), &request.caller_folder)
            .map_err(told)?;
    let folder = std::env::temp_dir().join(format!("cairn-plan-{}", LaunchId::new()));
    let planned = source
        .fetch(&folder, &|text| eprintln!("{text}"), &CancellationToken::new())
        .and_then(|fetched| plan_fetched(request, &fetched, &options.data_dir));
    let _ = std::fs::remove_dir_all(&folder);
    let plan = planned.map_err(told)?;
    if as_json {
        print_line(&serde_json::to_string_pretty(&plan)?);
    } else {
        print_plan(&plan);
    }
    for problem in &plan.problems {
        eprintln!("error: {problem}");
    }
    Ok(if plan.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_plan(plan: &RunPlan) {
    let built = if plan.environment.is_built { "" } else { ", to be built" };
    print_line(&format!("Project      {}", plan.name));
    print_line(&format!("Folder       {}", plan.folder.display()));
    print_line(&format!("Command      {}", plan.command));
    print_line(&format!("Environment  {}{built}", plan.environment.summary));
    for param in &plan.params {
        let value = param.value.as_deref().unwrap_or("missing");
        print_line(&format!("Parameter    {} = {value}", param.name));
    }
    for (name, value) in &plan.env_added {
        print_line(&format!("Variable     {name}={value}"));
    }
    for warning in &plan.warnings {
        print_line(&format!("Note         {warning}"));
    }
}

pub(crate) fn told(error: ProjectError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => anyhow!("{error}\n{hint}"),
        None => anyhow!(error),
    }
}

/// What the options ask for; the words for a person when they contradict each other.
fn request(args: RunArgs) -> Result<RunRequest, String> {
    let caller_folder =
        std::env::current_dir().map_err(|error| format!("this folder is gone: {error}"))?;
    let given = |value: Option<String>| value.filter(|value| !value.is_empty());
    let mut request = RunRequest::new(args.uri, caller_folder);
    request.entry_point = args.entry_point;
    request.version = args.version;
    request.experiment_name = given(args.experiment_name);
    request.experiment_id = given(args.experiment_id);
    if request.experiment_name.is_some() && request.experiment_id.is_some() {
        return Err("give only one of --experiment-name and --experiment-id (or of the variables \
                    MLFLOW_EXPERIMENT_NAME and MLFLOW_EXPERIMENT_ID)"
            .to_owned());
    }
    let mut known = HashSet::new();
    for param in args.params {
        let (name, value) = param
            .split_once('=')
            .ok_or_else(|| format!("-P '{param}' is no parameter; write -P name=value"))?;
        if !known.insert(name.to_owned()) {
            return Err(format!("the parameter '{name}' is given twice"));
        }
        request.params.push((name.to_owned(), value.to_owned()));
    }
    let mut known = HashSet::new();
    for argument in args.docker_args {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if !known.insert(name.clone()) {
            return Err(format!("the docker argument '{name}' is given twice"));
        }
        request.docker_args.push(DockerArgument { name, value });
    }
    request.backend = args.backend;
    request.backend_config = match args.backend_config {
        None => None,
        // MLflow's rule, which knows lower case only.
        Some(text) if text.strip_suffix(".json").is_some() => {
            let bytes =
                std::fs::read(&text).map_err(|error| format!("{text} cannot be read: {error}"))?;
            Some(
                serde_json::from_slice(&bytes)
                    .map_err(|error| format!("{text} is no JSON: {error}"))?,
            )
        }
        Some(text) => Some(
            serde_json::from_str(&text)
                .map_err(|error| format!("the backend config is no JSON: {error}"))?,
        ),
    };
    request.env_manager = args.env_manager;
    request.storage_dir = args.storage_dir;
    request.run_id = given(args.run_id);
    request.run_name = args.run_name;
    request.build_image = args.build_image;
    Ok(request)
}

/// Prints what a launch prints until it is over. The first SIGINT or SIGTERM stops it, the second one leaves it
/// stopping. A closed terminal (SIGHUP) ends this program and leaves the run alone.
pub(crate) fn follow(
    launches: &Launches,
    id: &LaunchId,
    stops: Option<&AtomicUsize>,
) -> anyhow::Result<ExitCode> {
    let mut launch = launches.get(id)?;
    let mut seen = None;
    let mut offset = 0;
    let mut is_stopping = false;
    let mut quiet = Duration::ZERO;
    loop {
        // What happened last is read before the rest of the log.
        let length = launches.ledger_bytes(id);
        if seen != Some(length) {
            seen = Some(length);
            launch = launches.get(id)?;
        }
        let is_ended = launch.state.is_ended();
        let printed = print_log(&launch, offset)?;
        if is_ended {
            return Ok(report(&launch, is_stopping));
        }
        match stops.map_or(0, |stops| stops.load(Ordering::Relaxed)) {
            1 if !is_stopping => {
                is_stopping = true;
                eprintln!("=== Stopping; Ctrl-C again leaves it to its supervisor ===");
                launches.stop(id)?;
            }
            0 | 1 => {}
            _ => return Ok(ExitCode::from(STOPPED)),
        }
        quiet = if printed == offset { quiet + FOLLOW } else { Duration::ZERO };
        offset = printed;
        // A run that prints nothing for long is looked at less often.
        std::thread::sleep(FOLLOW.max(quiet / 20).min(FOLLOW_AT_MOST));
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print_line(text: &str) {
    println!("{text}");
}

/// Prints what is new in the log; where it ended.
fn print_log(launch: &Launch, mut offset: u64) -> anyhow::Result<u64> {
    let log = launch.log();
    let mut stdout = std::io::stdout().lock();
    loop {
        let piece = log.read(offset, 64 << 10)?;
        if piece.skipped_bytes > 0 {
            writeln!(stdout, "\n… {} bytes were not kept …", piece.skipped_bytes)?;
        }
        if piece.bytes.is_empty() {
            stdout.flush()?;
            return Ok(piece.next_offset);
        }
        stdout.write_all(&piece.bytes)?;
        offset = piece.next_offset;
    }
}

/// Says how it ended, in MLflow's words where it has some; the exit code.
fn report(launch: &Launch, was_stopped: bool) -> ExitCode {
    let LaunchState::Ended { cause, .. } = &launch.state else { return ExitCode::FAILURE };
    let run =
        launch.run_id.as_ref().map_or_else(|| "Run".to_owned(), |id| format!("Run (ID '{id}')"));
    match cause {
        Cause::Code { code: 0 } => {
            eprintln!("=== {run} succeeded ===");
            ExitCode::SUCCESS
        }
        Cause::Code { code } => {
            eprintln!("=== {run} failed: {cause} ===");
            ExitCode::from(u8::try_from(*code).unwrap_or(1))
        }
        Cause::Signal { signal } => {
            eprintln!("=== {run} failed: {cause} ===");
            ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
        }
        Cause::Stopped => {
            eprintln!("=== {run} stopped ===");
            if was_stopped { ExitCode::from(STOPPED) } else { ExitCode::FAILURE }
        }
        // The log has all of it, with the hint.
        Cause::PrepareFailed { message, .. } => {
            eprintln!("=== {} ===", message.lines().next().unwrap_or_default());
            ExitCode::FAILURE
        }
        _ => {
            eprintln!("=== {run} failed: {cause} ===");
            ExitCode::FAILURE
        }
    }
}

/// Counts SIGINT and SIGTERM from now on, in place of ending.
pub(crate) fn catch_signals() -> anyhow::Result<Arc<AtomicUsize>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the program's threads cannot be started")?;
    // Both are caught before the launch begins.
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
    })?;
    Ok(count)
}
