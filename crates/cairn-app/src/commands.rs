//! The command list: whatever a window can ask, each declared once.
//!
//! A host gets a name and JSON arguments and passes them to [`call`]. The list also makes
//! `ui/src/lib/rpc/bindings/commands.ts`, so that the interface cannot ask for anything else.

use std::path::Path;

use cairn_store::OpenOptions;
use serde::Deserialize;
use serde_json::Value;
use ts_rs::TS;

use crate::{
    app::{App, Pick},
    artifacts::{self, ArtifactRef},
    backups::{self, BackupRef},
    charts::{
        self,
        dto::{ChartExport, ChartFile, ChartRequest, ChartSeries},
    },
    compare::{self, CompareRequest, Comparison},
    dto::{
        AppInfo, ArtifactEntry, ArtifactPreview, BackupList, BackupRestored, ClientToken,
        CommandError, ErrorCode, ExperimentSummary, Job, RegisteredModelDetail,
        RegisteredModelSummary, RunColumns, RunDetail, RunsPage, RunsPageRequest, Series,
        SeriesRequest, Settings, StoreStatus, Theme,
    },
    edits::{self, RunsEdited, RunsEdits},
    environments::{
        self,
        dto::{EnvironmentListView, EnvironmentRef, EnvironmentsPrune, EnvironmentsPruned},
    },
    errors, experiments,
    imports::{self, ImportFound, ImportLook, ImportStart, ImportState},
    jobs::{self, JobRef},
    launches::{
        self,
        dto::{
            LaunchMove, LaunchRef, LaunchView, LogFound, LogLines, LogRequest, LogSearch,
            QueueLimit, QueuePause, QueueView,
        },
    },
    models::{self, ModelRef},
    projects::{
        self,
        dto::{
            PipelineStart, ProjectDetail, ProjectRef, ProjectSummary, RunDraft, RunParts,
            RunPlanView, RunResume, RunStart, SweepPlanView, SweepStart,
        },
    },
    reruns::{
        self,
        dto::{ReproductionView, RerunPlanView, RerunStart, RunOrigin},
    },
    runs::{self, ExperimentIds, RunRef},
    samples,
    table_text::{self, RunsText, RunsTextRequest},
    token::{ClientAccess, token, token_file},
};

/// No arguments.
#[derive(Debug, Default, Deserialize, TS)]
pub struct NoArgs {}

/// Which colours.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct ThemeChoice {
    /// The colours.
    pub theme: Theme,
}

/// Whether MLflow clients must send the token.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct TokenChoice {
    /// Whether they must.
    pub required: bool,
}

/// Which store.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct StorePath {
    /// A folder or a database file; `~` is the person's home.
    pub path: String,
}

/// What to choose.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct PathPick {
    /// What it is for.
    pub what: Pick,
}

macro_rules! commands {
    ($($name:literal: $args:ty => $result:ty = $function:path;)*) => {
        /// The names of all commands, in the order of the list.
        pub const NAMES: &[&str] = &[$($name),*];

        /// Runs a command: JSON arguments in, JSON answer out.
        pub async fn call(app: &App, name: &str, args: Value) -> Result<Value, CommandError> {
            match name {
                $($name => {
                    let args: $args = parse(name, args)?;
                    let answer: $result = $function(app, args).await?;
                    serde_json::to_value(answer).map_err(errors::internal)
                })*
                _ => Err(CommandError::new(
                    ErrorCode::NotFound,
                    format!("There is no command “{name}”"),
                )),
            }
        }

        /// Name, arguments and answer of every command, as TypeScript writes them.
        #[cfg(test)]
        fn signatures(config: &ts_rs::Config) -> Vec<(&'static str, String, String)> {
            vec![$(($name, <$args as TS>::name(config), <$result as TS>::name(config))),*]
        }
    };
}

commands! {
    "app.info": NoArgs => AppInfo = app_info;
    "settings.get": NoArgs => Settings = settings_get;
    "settings.set_theme": ThemeChoice => Settings = settings_set_theme;
    "settings.set_requires_token": TokenChoice => Settings = settings_set_requires_token;
    "token.get": NoArgs => ClientToken = token_get;
    "store.status": NoArgs => Option<StoreStatus> = store_status;
    "store.open": StorePath => StoreStatus = store_open;
    "path.pick": PathPick => Option<String> = path_pick;
    "store.retry": NoArgs => StoreStatus = store_retry;
    "backups.list": NoArgs => BackupList = backups::list;
    "backup.start": NoArgs => Job = backups::start;
    "backup.restore": BackupRef => BackupRestored = backups::restore;
    "experiments.list": NoArgs => Vec<ExperimentSummary> = experiments::list;
    "runs.columns": ExperimentIds => RunColumns = runs::columns;
    "runs.page": RunsPageRequest => RunsPage = runs::page;
    "runs.text": RunsTextRequest => RunsText = table_text::text;
    "runs.edit": RunsEdits => RunsEdited = edits::edit;
    "runs.compare": CompareRequest => Comparison = compare::compare;
    "run.get": RunRef => RunDetail = runs::get;
    "series.get": SeriesRequest => Series = runs::series;
    "chart.series": ChartRequest => ChartSeries = charts::series;
    "chart.export": ChartExport => ChartFile = charts::export;
    "artifacts.list": ArtifactRef => Vec<ArtifactEntry> = artifacts::list;
    "artifact.preview": ArtifactRef => ArtifactPreview = artifacts::preview;
    "models.list": NoArgs => Vec<RegisteredModelSummary> = models::list;
    "model.get": ModelRef => RegisteredModelDetail = models::get;
    "import.look": ImportLook => ImportFound = imports::look;
    "import.start": ImportStart => Job = imports::start;
    "import.state": JobRef => Option<ImportState> = imports::state;
    "environments.list": NoArgs => EnvironmentListView = environments::list;
    "environments.prune": EnvironmentsPrune => EnvironmentsPruned = environments::prune;
    "environments.remove": EnvironmentRef => EnvironmentListView = environments::remove;
    "environments.rebuild": EnvironmentRef => Job = environments::rebuild;
    "projects.list": NoArgs => Vec<ProjectSummary> = projects::list;
    "project.add": ProjectRef => ProjectSummary = projects::add;
    "project.forget": ProjectRef => () = projects::forget;
    "project.get": ProjectRef => ProjectDetail = projects::get;
    "project.fetch": ProjectRef => Job = projects::fetch;
    "project.plan": RunDraft => RunPlanView = projects::plan;
    "project.run": RunStart => LaunchView = projects::run;
    "pipeline.run": PipelineStart => LaunchView = projects::run_pipeline;
    "sweep.plan": SweepStart => SweepPlanView = projects::plan_sweep;
    "sweep.run": SweepStart => LaunchView = projects::run_sweep;
    "run.parts": RunRef => Option<RunParts> = projects::parts;
    "resume.plan": RunRef => RunPlanView = projects::plan_resume;
    "resume.start": RunResume => LaunchView = projects::resume;
    "run.origin": RunRef => RunOrigin = reruns::origin;
    "rerun.plan": RunRef => RerunPlanView = reruns::plan;
    "rerun.start": RerunStart => LaunchView = reruns::start;
    "reproduction.get": RunRef => ReproductionView = reruns::reproduction;
    "queue.get": NoArgs => QueueView = launches::queue;
    "queue.set_limit": QueueLimit => QueueView = launches::set_limit;
    "queue.set_paused": QueuePause => QueueView = launches::set_paused;
    "queue.clear_ended": NoArgs => QueueView = launches::clear;
    "launch.move": LaunchMove => QueueView = launches::move_before;
    "launch.stop": LaunchRef => QueueView = launches::stop;
    "launch.remove": LaunchRef => QueueView = launches::remove;
    "launch.again": LaunchRef => LaunchView = launches::again;
    "log.lines": LogRequest => LogLines = launches::log_lines;
    "log.find": LogSearch => LogFound = launches::log_find;
    "samples.start": NoArgs => Job = samples::start;
    "jobs.list": NoArgs => Vec<Job> = jobs::list;
    "job.cancel": JobRef => Job = jobs::cancel;
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, args: Value) -> Result<T, CommandError> {
    let args = if args.is_null() { Value::Object(serde_json::Map::new()) } else { args };
    serde_json::from_value(args).map_err(|error| {
        CommandError::new(
            ErrorCode::InvalidInput,
            format!("The command “{name}” was called with wrong arguments: {error}"),
        )
    })
}

async fn app_info(app: &App, _: NoArgs) -> Result<AppInfo, CommandError> {
    Ok(app.info())
}

async fn settings_get(app: &App, _: NoArgs) -> Result<Settings, CommandError> {
    Ok(app.settings())
}

async fn settings_set_theme(app: &App, args: ThemeChoice) -> Result<Settings, CommandError> {
    app.update_settings(|settings| settings.theme = args.theme);
    Ok(app.settings())
}

async fn settings_set_requires_token(
    app: &App,
    args: TokenChoice,
) -> Result<Settings, CommandError> {
    // Before the switch is turned: a switch without a token would lock everyone out.
    let access = if args.required {
        ClientAccess::Token(read_token(app).await?.token)
    } else {
        ClientAccess::Everyone
    };
    app.update_settings(|settings| settings.requires_token = args.required);
    app.inner.host.set_access(access);
    Ok(app.settings())
}

async fn token_get(app: &App, _: NoArgs) -> Result<ClientToken, CommandError> {
    read_token(app).await
}

async fn read_token(app: &App) -> Result<ClientToken, CommandError> {
    let options = app.inner.options.clone();
    let path = token_file(&options).display().to_string();
    let read = tokio::task::spawn_blocking(move || token(&options)).await;
    let token = read.map_err(errors::internal)?.map_err(|error| {
        CommandError::new(
            ErrorCode::Internal,
            format!("The token of MLflow clients cannot be read from {path}"),
        )
        .with_hint(format!("The system says: {error}."))
    })?;
    Ok(ClientToken { token, path })
}

async fn store_status(app: &App, _: NoArgs) -> Result<Option<StoreStatus>, CommandError> {
    app.status().await
}

async fn store_open(app: &App, args: StorePath) -> Result<StoreStatus, CommandError> {
    if args.path.trim().is_empty() {
        return Err(CommandError::new(ErrorCode::InvalidInput, "No path was given")
            .with_hint("Give the path of a folder or of an mlflow.db."));
    }
    app.open(Path::new(args.path.trim()), OpenOptions::CreateInEmpty).await
}

async fn path_pick(app: &App, args: PathPick) -> Result<Option<String>, CommandError> {
    if !app.inner.host.has_native_dialogs() {
        return Err(CommandError::new(
            ErrorCode::Unsupported,
            "The system's dialogs cannot be opened from a browser",
        )
        .with_hint("Type the path instead."));
    }
    Ok(app.inner.host.pick(args.what).await.map(|path| path.display().to_string()))
}

async fn store_retry(app: &App, _: NoArgs) -> Result<StoreStatus, CommandError> {
    app.retry().await
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _};

    use super::*;

    /// Writes `commands.ts` beside the types that ts-rs exports in the same run.
    #[test]
    fn export_bindings_commands() {
        let Some(folder) = std::env::var_os("TS_RS_EXPORT_DIR") else { return };
        let text = typescript();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join("commands.ts"), text).unwrap();
    }

    #[test]
    fn every_command_is_in_the_typescript_map() {
        let text = typescript();
        for name in NAMES {
            assert!(text.contains(&format!("\"{name}\": {{ args: ")), "{name}");
        }
    }

    fn typescript() -> String {
        let config = ts_rs::Config::new().with_large_int("number");
        let signatures = signatures(&config);
        let mut imports = BTreeSet::new();
        let mut map = String::new();
        for (name, args, result) in signatures {
            let args = if args == "NoArgs" { "Record<string, never>".to_owned() } else { args };
            for word in [&args, &result]
                .into_iter()
                .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
            {
                let is_type = word.starts_with(|c: char| c.is_ascii_uppercase());
                if is_type && !["Array", "Record"].contains(&word) {
                    imports.insert(word.to_owned());
                }
            }
            let _ = writeln!(map, "  \"{name}\": {{ args: {args}; result: {result} }};");
        }
        let mut text = String::from(
            "// Generated by `cargo xtask codegen` from the command list in cairn-app. Do not edit.\n",
        );
        for name in imports {
            let _ = writeln!(text, "import type {{ {name} }} from \"./{name}\";");
        }
        let _ = write!(
            text,
            "\n/** Every command that a window can call: its arguments and its answer. */\n\
             export interface Commands {{\n{map}}}\n"
        );
        text
    }
}
