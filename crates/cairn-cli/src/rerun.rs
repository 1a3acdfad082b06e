//! `cairn rerun`, `cairn sweep` and `cairn pipeline`: past runs again, one project for many values,
//! steps that feed each other.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::AtomicUsize,
};

use anyhow::{anyhow, bail};
use cairn_projects::{
    EnvManager, RunRequest,
    launching::LaunchTarget,
    pipeline::{self, PipelineRequest},
    report::{Report, Tolerances},
    rerun::{self, RerunPlan},
    sweep::{self, Direction, Goal, Method, Prune, STARTUP_TRIALS, SweepParam, SweepRequest},
};
use cairn_runtime::launch::{LaunchId, Placement};
use clap::Args;

use crate::run::{self, told};

/// Which run again, and how its result is judged.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The run
    #[arg(value_name = "RUN_ID")]
    run_id: String,

    /// Change a parameter, or add one; may be given more than once
    #[arg(short = 'P', long = "param-list", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,

    /// Wait, print the verdict, and end with 0 only for reproduced or within tolerance
    #[arg(long)]
    check: bool,

    /// Run the code as it is now, in place of what was captured
    #[arg(long)]
    current_code: bool,

    /// Make the environment anew from the project's files, in place of the lock
    #[arg(long)]
    current_environment: bool,

    /// Only print what would run
    #[arg(long, conflicts_with = "check")]
    plan: bool,

    /// How far metrics may be apart, as a share of the original's value
    #[arg(long, value_name = "SHARE", value_parser = tolerance)]
    rtol: Option<f64>,

    /// How far metrics may be apart, in their own unit
    #[arg(long, value_name = "DIFFERENCE", value_parser = tolerance)]
    atol: Option<f64>,

    /// How far one metric may be apart: auc=0.01 or auc=1%; may be given more than once
    #[arg(long, value_name = "NAME=TOLERANCE")]
    metric_tolerance: Vec<String>,

    /// The folder of the store, or an existing mlflow.db [default: the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// What runs for which values.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The project: a folder, a zip file, or the address of a git repository
    #[arg(value_name = "URI", required_unless_present = "resume")]
    uri: Option<String>,

    /// A parameter that varies: model=a,b or depth=2..8 or lr=log:1e-4..1e-1 or alpha=0.1..0.9/5
    #[arg(short = 'S', long = "space", value_name = "NAME=VALUES")]
    space: Vec<SweepParam>,

    /// A parameter that is the same for all trials
    #[arg(short = 'P', long = "param-list", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,

    /// The entry point
    #[arg(short, long, default_value = "main")]
    entry_point: String,

    /// A branch, tag or commit
    #[arg(short, long)]
    version: Option<String>,

    /// Draw so many times at random [default: a grid of all values]
    #[arg(long, value_name = "N", conflicts_with = "tpe")]
    random: Option<usize>,

    /// Draw so many times where earlier trials were good
    #[arg(long, value_name = "N")]
    tpe: Option<usize>,

    /// The same seed gives the same draws
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// The metric that is to become small
    #[arg(long, value_name = "METRIC", conflicts_with = "maximize")]
    minimize: Option<String>,

    /// The metric that is to become large
    #[arg(long, value_name = "METRIC")]
    maximize: Option<String>,

    /// Stop trials that are worse than the median of the others
    #[arg(long)]
    prune: bool,

    /// Stop none before this step
    #[arg(long, value_name = "STEP", default_value_t = 0, requires = "prune")]
    prune_after: i64,

    /// Trials at once [default: as many as the queue lets through]
    #[arg(long, value_name = "N")]
    parallel: Option<usize>,

    /// Go on with the sweep of this run
    #[arg(long, value_name = "RUN_ID", conflicts_with_all = ["uri", "space"])]
    resume: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Which pipeline, with which values.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// The project: a folder, a zip file, or the address of a git repository
    #[arg(value_name = "URI", required_unless_present = "resume")]
    uri: Option<String>,

    /// A parameter of the pipeline
    #[arg(short = 'P', long = "param-list", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,

    /// A branch, tag or commit
    #[arg(short, long)]
    version: Option<String>,

    /// Run every step, also those of which an earlier run has the result
    #[arg(long)]
    no_cache: bool,

    /// Go on with the pipeline of this run
    #[arg(long, value_name = "RUN_ID", conflicts_with = "uri")]
    resume: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Where it is recorded, and how it runs.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// How the environment is made
    #[arg(long, value_name = "MANAGER", value_parser = run::managers())]
    env_manager: Option<EnvManager>,

    /// The experiment, made if it is missing
    #[arg(long, value_name = "NAME")]
    experiment_name: Option<String>,

    /// The name of the run
    #[arg(long, value_name = "NAME")]
    run_name: Option<String>,

    /// The folder of the store, or an existing mlflow.db [default: the store of the desktop program]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it reads NAME=VALUE".to_owned()),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if f64::is_finite(value) && value >= 0.0 => Ok(value),
        _ => Err("it is a number from 0 on".to_owned()),
    }
}

/// `cairn rerun`.
pub fn rerun(args: RerunArgs) -> anyhow::Result<ExitCode> {
    let mut tolerances = Tolerances::default();
    tolerances.relative = args.rtol.unwrap_or(tolerances.relative);
    tolerances.absolute = args.atol.unwrap_or(tolerances.absolute);
    for text in &args.metric_tolerance {
        tolerances.add(text).map_err(|error| anyhow!("--metric-tolerance: {error}"))?;
    }
    let target = run::target(args.store)?;
    let tracking = target.tracking().map_err(told)?;
    let plan = rerun::plan(&tracking, &args.run_id).map_err(told)?;
    tell_plan(&plan)?;
    for (is_asked, what) in [(args.current_code, "code"), (args.current_environment, "environment")]
    {
        if is_asked {
            writeln!(io::stderr(), "  As asked, the {what} is today's, and not what was kept")?;
        }
    }
    let Some(mut request) = plan.with_params(&args.params) else {
        bail!("this run cannot be run again");
    };
    if args.plan {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(restore) = &mut request.restore {
        restore.code &= !args.current_code;
        restore.environment &= !args.current_environment;
    }
    rerun::set_tolerances(&mut request, &tolerances);
    let stops = run::catch_signals()?;
    let id = rerun::start(&target, &request, Placement::Now).map_err(told)?;
    let code = run::follow(&target.launches, &id, Some(&stops))?;
    let launch = target.launches.get(&id)?;
    let Some(run_id) = launch.run_id else { bail!("no run was made; the lines above say why") };
    let report = rerun::read_report(&tracking, &run_id);
    match &report {
        Some(report) => tell_report(report)?,
        None => writeln!(io::stderr(), "There is no reproduction report; the log says why.")?,
    }
    Ok(match report {
        _ if !args.check => code,
        Some(report) if report.verdict.is_success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn tell_plan(plan: &RerunPlan) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "{}", plan.summary)?;
    for part in &plan.restores {
        writeln!(out, "  {}: {}", part.what, part.detail)?;
    }
    for part in &plan.unknown {
        writeln!(out, "  Not known: {}. {}", part.what, part.why)?;
    }
    for offer in &plan.offers {
        match &offer.request {
            Some(request) => writeln!(
                out,
                "  Instead: {} (cairn run {} -e {})",
                offer.title, request.uri, request.entry_point
            )?,
            None => writeln!(out, "  Instead: {}", offer.title)?,
        }
    }
    Ok(())
}

fn tell_report(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Verdict: {}", report.verdict)?;
    writeln!(out, "{}", report.summary)?;
    for run in &report.runs {
        for metric in &run.metrics {
            if metric.outcome.verdict() != cairn_projects::report::Verdict::Reproduced {
                let shown =
                    |value: Option<f64>| value.map_or("–".to_owned(), |it| it.to_string());
                let whose =
                    if run.label.is_empty() { String::new() } else { format!(" of {}", run.label) };
                writeln!(
                    out,
                    "  {}{whose}: {} before, {} now",
                    metric.name,
                    shown(metric.original),
                    shown(metric.rerun)
                )?;
            }
        }
    }
    if !report.causes.is_empty() {
        let is_reproduced = report.verdict == cairn_projects::report::Verdict::Reproduced;
        let title =
            if is_reproduced { "What changed, without an effect:" } else { "Likely causes:" };
        writeln!(out, "{title}")?;
        for (at, cause) in report.causes.iter().enumerate() {
            writeln!(out, "  {}. {}", at + 1, cause.text)?;
        }
    }
    writeln!(out, "Run {}", report.rerun.run_id)
}

/// `cairn sweep`.
pub fn sweep(args: SweepArgs) -> anyhow::Result<ExitCode> {
    let target = run::target(args.place.store.clone())?;
    // Caught before the launch begins.
    let stops = run::catch_signals()?;
    let id = if let Some(run_id) = &args.resume {
        sweep::resume(&target, run_id)
            .map_err(told)?
            .ok_or_else(|| anyhow!("{run_id} is not the run of a sweep"))?
    } else {
        let mut run = request(&args.place, args.uri.as_deref(), args.version)?;
        run.entry_point = args.entry_point;
        run.params = args.params;
        let method = match (args.random, args.tpe) {
            (Some(trials), _) => Method::Random { trials, seed: args.seed },
            (_, Some(trials)) => Method::Tpe { trials, seed: args.seed, startup: STARTUP_TRIALS },
            _ => Method::Grid,
        };
        let goal = match (args.minimize, args.maximize) {
            (Some(metric), _) => Some(Goal { metric, direction: Direction::Minimize }),
            (_, Some(metric)) => Some(Goal { metric, direction: Direction::Maximize }),
            _ => None,
        };
        let prune =
            args.prune.then(|| Prune { warmup_steps: args.prune_after, ..Prune::default() });
        let request = SweepRequest {
            run,
            space: args.space,
            method,
            goal,
            prune,
            parallel: args.parallel,
            resume_run_id: None,
        };
        sweep::submit(&target, &request).map_err(told)?
    };
    finish(&target, &id, &stops)
}

/// `cairn pipeline`.
pub fn pipeline(args: PipelineArgs) -> anyhow::Result<ExitCode> {
    let target = run::target(args.place.store.clone())?;
    // Caught before the launch begins.
    let stops = run::catch_signals()?;
    let id = if let Some(run_id) = &args.resume {
        pipeline::resume(&target, run_id)
            .map_err(told)?
            .ok_or_else(|| anyhow!("{run_id} is not the run of a pipeline"))?
    } else {
        let mut run = request(&args.place, args.uri.as_deref(), args.version)?;
        run.params = args.params;
        let request = PipelineRequest { run, ignore_cache: args.no_cache, resume_run_id: None };
        pipeline::submit(&target, &request).map_err(told)?
    };
    finish(&target, &id, &stops)
}

fn request(
    place: &PlaceArgs,
    uri: Option<&str>,
    version: Option<String>,
) -> anyhow::Result<RunRequest> {
    let mut request = RunRequest::new(uri.unwrap_or("."), std::env::current_dir()?);
    request.version = version;
    request.env_manager = place.env_manager;
    request.experiment_name.clone_from(&place.experiment_name);
    request.run_name.clone_from(&place.run_name);
    Ok(request)
}

/// Follows a launch to its end, and names its run.
fn finish(target: &LaunchTarget, id: &LaunchId, stops: &AtomicUsize) -> anyhow::Result<ExitCode> {
    let code = run::follow(&target.launches, id, Some(stops))?;
    if let Some(run_id) = target.launches.get(id)?.run_id {
        writeln!(io::stdout(), "Run {run_id}")?;
    }
    Ok(code)
}
