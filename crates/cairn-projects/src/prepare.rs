//! From a request to a run that can be started: `cairn launch prepare`, called by a launch's supervisor.
//!
//! Order matters, as in MLflow: what is wrong with the project or its parameters is found before there is a
//! run; from then on every failure is one of the run, which the supervisor ends as FAILED with its cause. What
//! does not depend on each other is done at a time: asking git, the tracking server and the disk, and building
//! the environment.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;

use cairn_runtime::environment::container::ContainerTool;
use cairn_runtime::environment::{
    Environment, EnvironmentLock, EnvironmentSpec, EnvironmentUse, Environments, ProjectPlace,
    notebook,
};
use cairn_runtime::launch::{ChildSpec, Launch, LaunchKind, LaunchSpec, Launches};
use cairn_runtime::tracking::{NewRun, Tracking};
use cairn_runtime::{CancellationToken, RuntimeError};

use crate::capture::{
    BUNDLE_ARTIFACT, CAPTURE_ARTIFACT, Capture, EnvironmentCapture, GitFacts, InputCapture,
    LOCK_ARTIFACT, PlatformCapture, SourceCapture, is_seed, pack, recorded_lock, restore,
};
use crate::content::file_hash;
use crate::download;
use crate::error::{ProjectError, Result};
use crate::launching::{LAUNCH_ID_TAG, LaunchTarget, now_ms};
use crate::mlflow_tools;
use crate::place;
use crate::plan::{self, Code, EnvironmentKind, ParameterOrigin, Planned};
use crate::project::ParameterKind;
use crate::report::RERUN_OF_TAG;
use crate::request::{EnvManager, RunRequest};
use crate::source::{Fetched, ProjectSource};

/// The artifact with the child's output.
pub const LOG_ARTIFACT: &str = "cairn/output.log";
/// A notebook with what its cells printed and drew.
const NOTEBOOK_ARTIFACT: &str = "cairn/notebook.ipynb";
/// The same while it runs, in the launch's folder.
const NOTEBOOK_FILE: &str = "notebook.ipynb";
/// Inside a launch's folder: what `finish` still has to do.
const CAPTURE_FILE: &str = "capture.json";

/// The launch of a request: its supervisor calls `cairn launch prepare DIR`, then the child, then
/// `cairn launch finish DIR`.
///
/// Errors: [`ProjectError::Runtime`] when the `cairn` program cannot be found.
pub fn launch_spec(request: &RunRequest, target: &LaunchTarget) -> Result<LaunchSpec> {
    let kind = if request.rerun_of.is_some() { LaunchKind::Rerun } else { LaunchKind::Project };
    let mut spec = target.spec(title(request), kind, None, request)?;
    spec.parent_run_id.clone_from(&request.parent_run_id);
    Ok(spec)
}

/// One line for people: the project and its entry point.
pub(crate) fn title(request: &RunRequest) -> String {
    let address = request.uri.trim_matches(['\'', '"']).trim_end_matches('/');
    let last = address.rsplit(['/', ':']).next().unwrap_or(address);
    let name = match last {
        "" | "." | ".." => request
            .caller_folder
            .join(address)
            .canonicalize()
            .ok()
            .and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "project".to_owned()),
        name => name.trim_end_matches(".git").to_owned(),
    };
    match &request.run_name {
        Some(run_name) => format!("{run_name} ({name})"),
        None if request.entry_point == "main" => name,
        None => format!("{name}: {}", request.entry_point),
    }
}

/// Makes a launch ready and writes what its child is. Sentences about what happens go to `say`.
///
/// Errors: after them there is nothing to run; whoever called tells the launch
/// ([`Launch::write_failure`]).
pub fn prepare(launch_folder: &Path, say: &(dyn Fn(&str) + Send + Sync)) -> Result<()> {
    let launch = Launch::open(launch_folder)?;
    match launch.spec.kind {
        LaunchKind::Sweep => return crate::sweep::prepare(&launch),
        LaunchKind::Pipeline => return crate::pipeline::prepare(&launch),
        LaunchKind::Project | LaunchKind::Rerun => {}
    }
    let request: RunRequest =
        serde_json::from_value(launch.spec.request.clone()).map_err(|error| {
            RuntimeError::InvalidSpec(format!("The launch asks for no project: {error}"))
        })?;
    let cancel = CancellationToken::new();
    let preparation = Preparation {
        tracking: tracking(&launch.spec)?,
        environments: Environments::new(Launches::around(launch_folder).data_dir()),
        launch,
        request,
        say,
        cancel,
    };
    preparation.run()
}

/// Does the work of a launch that submits others. Answers whether it ended well.
///
/// Errors: also for a launch of another kind.
pub fn coordinate(launch_folder: &Path, out: &mut dyn std::io::Write) -> Result<bool> {
    let launch = Launch::open(launch_folder)?;
    match launch.spec.kind {
        LaunchKind::Sweep => crate::sweep::coordinate(&launch, out),
        LaunchKind::Pipeline => crate::pipeline::coordinate(&launch, out),
        LaunchKind::Project | LaunchKind::Rerun => {
            Err(RuntimeError::InvalidSpec("The launch submits no others".to_owned()).into())
        }
    }
}

/// Finishes what is kept of a run, after its child has ended: digests that took too long before, the log, and the
/// reproduction report of a rerun.
pub fn finish(launch_folder: &Path) -> Result<()> {
    let launch = Launch::open(launch_folder)?;
    crate::container::clean_up(&launch);
    let Some(run_id) = launch.run_id.clone() else { return Ok(()) };
    let tracking = tracking(&launch.spec)?;
    let capture_file = launch_folder.join(CAPTURE_FILE);
    if let Ok(bytes) = fs::read(&capture_file)
        && let Ok(mut capture) = serde_json::from_slice::<Capture>(&bytes)
        && capture.inputs.iter().any(|input| input.sha256.is_none())
    {
        capture.inputs.iter_mut().for_each(InputCapture::complete);
        let bytes = serde_json::to_vec_pretty(&capture).expect("a capture is texts and lists");
        tracking.upload(&run_id, CAPTURE_ARTIFACT, &mut bytes.as_slice())?;
    }
    // What papermill made of a notebook, up to the cell that failed.
    if let Ok(mut notebook) = fs::File::open(launch_folder.join(NOTEBOOK_FILE)) {
        tracking.upload(&run_id, NOTEBOOK_ARTIFACT, &mut notebook)?;
    }
    let mut log = Vec::new();
    launch.log().copy_to(&mut log)?;
    tracking.upload(&run_id, LOG_ARTIFACT, &mut log.as_slice())?;
    launch.note_log_kept()?;
    crate::rerun::write_report(&tracking, &run_id, Some(&launch))?;
    // The project's folder of a fetched source stays for as long as the launch does; what was
    // downloaded for parameters does not.
    let _ = fs::remove_dir_all(launch_folder.join("downloads"));
    Ok(())
}

impl Capture {
    /// Names what a rerun puts back: the code and the environment that were captured. Consent to a
    /// rerun is given to it.
    pub fn restored_content(&self) -> String {
        let commit = self.source.as_ref().map(|source| source.captured_commit.as_str());
        let lock = self.environment.lock_sha256.as_deref();
        format!("{} {}", commit.unwrap_or(&self.content_hash), lock.unwrap_or_default())
    }

    /// What was captured of a run; `None` when nothing was.
    pub fn of_run(tracking: &Tracking, run_id: &str) -> Result<Option<Self>> {
        const MAX_BYTES: u64 = 64 << 20;
        let mut bytes = Vec::new();
        match tracking.download(run_id, CAPTURE_ARTIFACT) {
            Ok(content) => {
                content
                    .take(MAX_BYTES)
                    .read_to_end(&mut bytes)
                    .map_err(ProjectError::io("reading", CAPTURE_ARTIFACT))?;
            }
            Err(RuntimeError::TrackingRefused { status: 404, .. }) => return Ok(None),
            Err(RuntimeError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

/// The server that a launch records to. The token may also be one that the person set for MLflow.
fn tracking(spec: &LaunchSpec) -> Result<Tracking> {
    let token = spec.token().or_else(|| {
        let is_foreign = spec.store.is_none();
        std::env::var("MLFLOW_TRACKING_TOKEN").ok().filter(|token| is_foreign && !token.is_empty())
    });
    Ok(Tracking::new(&spec.tracking_uri, token)?)
}

struct Preparation<'a> {
    launch: Launch,
    request: RunRequest,
    tracking: Tracking,
    environments: Environments,
    say: &'a (dyn Fn(&str) + Send + Sync),
    cancel: CancellationToken,
}

impl Preparation<'_> {
    fn run(&self) -> Result<()> {
        let earlier = self.earlier()?;
        let fetched = self.fetch(earlier.as_ref())?;
        let restored = match (&self.request.restore, &earlier) {
            (Some(restore), Some(earlier)) if restore.environment => {
                Some(self.earlier_environment(&restore.run_id, earlier)?)
            }
            _ => None,
        };
        let downloads = self.downloads();
        let planned = plan::make(
            &self.request,
            &fetched.folder,
            Code::Here,
            &self.environments,
            restored,
            &downloads,
        )?;
        if !planned.plan.problems.is_empty() {
            return Err(ProjectError::Problems(planned.plan.problems));
        }
        match earlier.as_ref().filter(|_| self.request.restores_code()) {
            Some(earlier) => self.request.check_allowed(&earlier.restored_content())?,
            None => self.request.check_allowed(&planned.plan.content_hash)?,
        }
        for warning in &planned.plan.warnings {
            self.tell(&format!("Note: {warning}"));
        }
        let facts = match earlier
            .as_ref()
            .filter(|_| self.request.restores_code())
            .and_then(|earlier| earlier.source.as_ref())
        {
            Some(source) => facts_of(source),
            None => GitFacts::of(&fetched.folder),
        };
        let (run_id, experiment_id) = self.run_of(&planned, &fetched, &facts)?;
        self.launch.note_run(&run_id)?;
        self.tell(&format!("=== Created run with ID '{run_id}' ==="));

        let (source, environment, inputs) = thread::scope(|scope| {
            let code = scope.spawn(|| self.code(&fetched.folder, &facts));
            let inputs = scope.spawn(|| inputs(&planned));
            let environment = self.environment(&planned, &run_id);
            (join(code), environment, join(inputs))
        });
        let environment = environment?;
        self.get_remote_inputs(&planned)?;
        let child = self.child(&planned, environment.as_ref(), &run_id, &experiment_id)?;
        self.keep(&planned, &run_id, source, environment.as_ref(), inputs);
        self.tell(&format!(
            "=== Running command '{}' in run with ID '{run_id}' ===",
            planned.plan.command
        ));
        self.launch.write_child(&child)?;
        Ok(())
    }

    fn tell(&self, text: &str) {
        (self.say)(text);
    }

    /// What was captured of the run that this one repeats.
    fn earlier(&self) -> Result<Option<Capture>> {
        let Some(restore) = &self.request.restore else { return Ok(None) };
        let capture = Capture::of_run(&self.tracking, &restore.run_id)?;
        if capture.is_none() {
            return Err(ProjectError::source(
                format!("The run {} has no capture to repeat it from", restore.run_id),
                "Run its project from its folder instead.",
            ));
        }
        Ok(capture)
    }

    fn fetch(&self, earlier: Option<&Capture>) -> Result<Fetched> {
        let dest = self.launch.folder.join("source");
        let source = earlier.and_then(|earlier| earlier.source.as_ref());
        if let (Some(repeated), Some(source), true) =
            (&self.request.restore, source, self.request.restores_code())
        {
            self.tell(&format!("Restoring the code of the run {}", repeated.run_id));
            let bundle = self.launch.folder.join("restored.bundle");
            let mut content = self.tracking.download(&repeated.run_id, BUNDLE_ARTIFACT)?;
            let mut file =
                fs::File::create(&bundle).map_err(ProjectError::io("creating", &bundle))?;
            std::io::copy(&mut content, &mut file).map_err(ProjectError::io("writing", &bundle))?;
            let folder = restore(&bundle, source, &dest, &self.cancel)?;
            return Ok(Fetched {
                folder: folder.clone(),
                source: ProjectSource::Folder { folder },
                branch: None,
            });
        }
        let source = ProjectSource::parse(
            &self.request.uri,
            self.request.version.as_deref(),
            &self.request.caller_folder,
        )?;
        if source.in_place().is_none() {
            let _ = self.launch.note("Fetching the project");
        }
        source.fetch(&dest, &|text| self.tell(text), &self.cancel)
    }

    fn earlier_environment(&self, run_id: &str, earlier: &Capture) -> Result<EnvironmentSpec> {
        const MAX_BYTES: u64 = 16 << 20;
        let mut text = String::new();
        self.tracking
            .download(run_id, LOCK_ARTIFACT)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(ProjectError::io("reading", LOCK_ARTIFACT))?;
        Ok(EnvironmentSpec::of_lock(recorded_lock(&text, &earlier.environment)?))
    }

    /// The run: a new one, or the one that was named. Its id, and its experiment's.
    fn run_of(
        &self,
        planned: &Planned,
        fetched: &Fetched,
        facts: &GitFacts,
    ) -> Result<(String, String)> {
        let tags = self.tags(planned, fetched, facts);
        if let Some(run_id) = &self.request.run_id {
            let record = self.tracking.get_run(run_id)?;
            // MLflow adds to such a run, and leaves what is there.
            let mut tags = tags;
            tags.retain(|key, _| !record.tags.contains_key(key));
            let tags: Vec<_> = tags.into_iter().collect();
            self.tracking.log_batch(run_id, &[], &tags, &[])?;
            return Ok((run_id.clone(), record.info.experiment_id));
        }
        let experiment_id = match (&self.request.experiment_id, &self.request.experiment_name) {
            (Some(id), _) => id.clone(),
            (None, Some(name)) => self.tracking.experiment_id(name)?,
            (None, None) => "0".to_owned(),
        };
        let run_id = self.tracking.create_run(&NewRun {
            experiment_id: experiment_id.clone(),
            name: self.request.run_name.clone(),
            user: tags.get("mlflow.user").cloned(),
            start_ms: None,
            tags: tags.into_iter().collect(),
        })?;
        let params: Vec<(String, String)> = planned
            .plan
            .params
            .iter()
            .filter_map(|param| Some((param.name.clone(), param.value.clone()?)))
            .collect();
        if !params.is_empty()
            && let Err(error) = self.tracking.log_batch(&run_id, &params, &[], &[])
        {
            // There is a run from here on: whoever closes the launch has to know it.
            self.launch.note_run(&run_id)?;
            return Err(error.into());
        }
        Ok((run_id, experiment_id))
    }

    fn tags(
        &self,
        planned: &Planned,
        fetched: &Fetched,
        facts: &GitFacts,
    ) -> BTreeMap<String, String> {
        let mut tags = self.request.tags.clone();
        let mut set = |key: &str, value: String| {
            tags.insert(key.to_owned(), value);
        };
        set("mlflow.user", user());
        set("mlflow.source.name", self.source_name(fetched, facts));
        set("mlflow.source.type", "PROJECT".to_owned());
        set("mlflow.project.entryPoint", self.request.entry_point.clone());
        set("mlflow.project.backend", "local".to_owned());
        set(LAUNCH_ID_TAG, self.launch.spec.launch_id.to_string());
        if let Some(commit) = &facts.commit {
            set("mlflow.source.git.commit", commit.clone());
        }
        if let Some(remote) = &facts.remote {
            set("mlflow.source.git.repoURL", remote.clone());
        }
        if let Some(branch) = &fetched.branch {
            set("mlflow.source.git.branch", branch.clone());
        }
        let environment = &planned.plan.environment;
        if environment.manager != EnvManager::Local {
            set("mlflow.project.env", environment.manager.name().to_owned());
        }
        if let Some(ProjectPlace::Container(image)) =
            planned.environment.as_ref().map(|found| &found.place)
        {
            set("mlflow.docker.image.uri", image.image.clone());
        }
        if let Some(parent) = &self.request.parent_run_id {
            set("mlflow.parentRunId", parent.clone());
        }
        if let Some(original) = &self.request.rerun_of {
            set(RERUN_OF_TAG, original.clone());
        }
        tags
    }

    /// MLflow's name of a source: the address as it was given; for a folder `file://<git root>#<subfolder>`, or its path.
    fn source_name(&self, fetched: &Fetched, facts: &GitFacts) -> String {
        // A rerun names what the original named.
        if let Some(name) =
            self.request.tags.get("mlflow.source.name").filter(|_| self.request.restores_code())
        {
            return name.clone();
        }
        match &fetched.source {
            ProjectSource::Git { .. } => crate::git::without_credentials(&self.request.uri),
            ProjectSource::Zip { file, .. } => file.display().to_string(),
            ProjectSource::LocalGit { folder, subfolder, .. } => {
                let facts = GitFacts::of(folder);
                file_name(&folder.join(subfolder), &facts)
            }
            ProjectSource::Folder { folder } => file_name(folder, facts),
        }
    }

    /// The code, packed, and where; why not, when that fails: a run is worth more than its capture.
    fn code(&self, folder: &Path, facts: &GitFacts) -> Result<(SourceCapture, PathBuf), String> {
        pack(folder, facts, &self.launch.folder, &self.cancel)
            .map_err(|error| format!("The code was not kept: {error}"))
    }

    /// The environment, made if it is not there.
    fn environment(&self, planned: &Planned, run_id: &str) -> Result<Option<Environment>> {
        let Some(ProjectPlace::Environment(spec)) =
            planned.environment.as_ref().map(|found| &found.place)
        else {
            return Ok(None);
        };
        let environment = if let Some(environment) = self.environments.find(spec) {
            environment
        } else {
            let _ = self.launch.note("Building the environment");
            self.tell("=== Building the environment ===");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(ProjectError::io("starting", "the program's threads"))?;
            let progress = |text: &str| self.tell(text);
            runtime.block_on(self.environments.ensure(spec, &progress, &self.cancel))?
        };
        self.environments.note_use(
            &environment,
            &EnvironmentUse {
                run_id: run_id.to_owned(),
                store: self.launch.spec.store.clone(),
                at_ms: now_ms(),
            },
        )?;
        Ok(Some(environment))
    }

    fn downloads(&self) -> PathBuf {
        match &self.request.storage_dir {
            Some(folder) => {
                self.request.caller_folder.join(folder).join(self.launch.spec.launch_id.as_str())
            }
            None => self.launch.folder.join("downloads"),
        }
    }

    /// Downloads what parameters of type `path` name elsewhere.
    fn get_remote_inputs(&self, planned: &Planned) -> Result<()> {
        for param in &planned.plan.params {
            if let (ParameterKind::Path, Some(address), Some(used)) =
                (&param.kind, &param.value, &param.used)
                && download::is_remote(address)
            {
                self.tell(&format!("Downloading {address}"));
                download::get(&self.tracking, address, Path::new(used), &self.cancel)?;
            }
        }
        Ok(())
    }

    fn child(
        &self,
        planned: &Planned,
        environment: Option<&Environment>,
        run_id: &str,
        experiment_id: &str,
    ) -> Result<ChildSpec> {
        let folder = planned.plan.folder.clone();
        let (mut env, mut env_remove) = match (environment, &planned.environment) {
            (Some(environment), Some(found)) => {
                place::variables(environment, &folder, &found.python_path)
            }
            _ => (BTreeMap::new(), Vec::new()),
        };
        let place = planned.environment.as_ref().map(|found| &found.place);
        // A container finds none of this computer's programs.
        if !matches!(place, Some(ProjectPlace::Container(_))) {
            mlflow_tools::add(&self.environments, &mut env)?;
        }
        env.insert("MLFLOW_RUN_ID".to_owned(), run_id.to_owned());
        env.insert("MLFLOW_TRACKING_URI".to_owned(), self.launch.spec.tracking_uri.clone());
        env.insert("MLFLOW_EXPERIMENT_ID".to_owned(), experiment_id.to_owned());
        // A name that was meant for this run would contradict the id in MLflow's eyes.
        env_remove.push("MLFLOW_EXPERIMENT_NAME".to_owned());
        env.retain(|name, _| !name.contains(['=', '\0']));
        let argv = match (&planned.entry_point, environment) {
            (Some(entry_point), _) if entry_point.is_notebook() => {
                self.notebook_argv(planned, environment, &entry_point.name)
            }
            _ => planned.plan.argv.clone(),
        };
        if let Some(ProjectPlace::Container(image)) = place {
            let (child, image_id) = crate::container::child(
                image,
                &self.request,
                &planned.plan,
                &self.launch,
                env,
                env_remove,
                &|tool| self.fetch_image(tool, &image.image),
            )?;
            if let Some(id) = image_id {
                self.tracking.set_tag(run_id, "mlflow.docker.image.id", &id)?;
            }
            return Ok(child);
        }
        Ok(ChildSpec { argv, folder, env, env_remove })
    }

    fn fetch_image(&self, tool: &ContainerTool, image: &str) -> Result<()> {
        let _ = self.launch.note("Fetching the image");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ProjectError::io("starting", "the program's threads"))?;
        let progress = |text: &str| self.tell(text);
        Ok(runtime.block_on(tool.pull(image, &progress, &self.cancel))?)
    }

    fn notebook_argv(
        &self,
        planned: &Planned,
        environment: Option<&Environment>,
        name: &str,
    ) -> Vec<String> {
        let folder = &planned.plan.folder;
        let python = environment.map_or_else(|| PathBuf::from("python"), Environment::python);
        let parameters: Vec<_> = planned
            .plan
            .params
            .iter()
            .filter_map(|param| {
                Some(notebook::NotebookParameter {
                    name: param.name.clone(),
                    value: param.value.clone()?,
                    is_typed: param.kind == ParameterKind::Float
                        || param.origin == ParameterOrigin::Extra,
                })
            })
            .collect();
        let output = self.launch.folder.join(NOTEBOOK_FILE);
        notebook::command(&python, &folder.join(name), &output, folder, &parameters)
            .into_iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect()
    }

    /// Keeps the capture with the run. What fails here is told and keeps nothing from running.
    fn keep(
        &self,
        planned: &Planned,
        run_id: &str,
        code: Result<(SourceCapture, PathBuf), String>,
        environment: Option<&Environment>,
        inputs: (Vec<InputCapture>, Vec<String>),
    ) {
        let (inputs, mut notes) = inputs;
        let (source, bundle) = match code {
            Ok((source, bundle)) => (Some(source), Some(bundle)),
            Err(why) => {
                self.tell(&why);
                notes.push(why);
                (None, None)
            }
        };
        if let Some(source) = &source
            && !source.left_out.is_empty()
        {
            let names: Vec<&str> =
                source.left_out.iter().take(5).map(|left| left.path.as_str()).collect();
            let more = if source.left_out.len() > 5 { ", …" } else { "" };
            notes.push(format!("Not kept with the code: {}{more}", names.join(", ")));
        }
        let lock = environment.and_then(|environment| environment.lock().ok());
        let plan = &planned.plan;
        let image = match planned.environment.as_ref().map(|found| &found.place) {
            Some(ProjectPlace::Container(image)) => Some(image.image.clone()),
            _ => None,
        };
        let capture = Capture {
            version: 1,
            uri: self.request.uri.clone(),
            entry_point: plan.entry_point.clone(),
            params: plan
                .params
                .iter()
                .filter_map(|param| Some((param.name.clone(), param.value.clone()?)))
                .collect(),
            given: self.request.params.clone(),
            command: plan.command.clone(),
            source,
            environment: EnvironmentCapture {
                kind: kind_name(plan.environment.kind).to_owned(),
                manager: plan.environment.manager.name().to_owned(),
                name: environment.map(|environment| environment.name().to_owned()),
                lock_sha256: lock.as_ref().map(EnvironmentLock::sha256),
                python: environment
                    .and_then(|environment| environment.python_version().map(str::to_owned)),
                image,
                files: plan
                    .environment
                    .files
                    .iter()
                    .filter_map(|file| Some((file.clone(), file_hash(&plan.folder.join(file))?)))
                    .collect(),
            },
            platform: PlatformCapture::here(),
            seeds: plan
                .params
                .iter()
                .filter(|param| is_seed(&param.name))
                .filter_map(|param| Some((param.name.clone(), param.value.clone()?)))
                .collect(),
            inputs,
            content_hash: plan.content_hash.clone(),
            notes,
        };
        let record = serde_json::to_vec_pretty(&capture).expect("a capture is texts and lists");
        // For `finish`; losing it costs digests of large inputs only.
        let _ = fs::write(self.launch.folder.join(CAPTURE_FILE), &record);
        let lock = lock.map(|lock| lock.to_string());
        let tags: Vec<(String, String)> = environment
            .map(|environment| ("cairn.environment".to_owned(), environment.name().to_owned()))
            .into_iter()
            .collect();
        let kept: Vec<Result<()>> = thread::scope(|scope| {
            let upload = |path: &'static str, bytes: Option<Vec<u8>>| {
                scope.spawn(move || match bytes {
                    Some(bytes) => Ok(self.tracking.upload(run_id, path, &mut bytes.as_slice())?),
                    None => Ok(()),
                })
            };
            let jobs = [
                upload(CAPTURE_ARTIFACT, Some(record)),
                upload(LOCK_ARTIFACT, lock.map(String::into_bytes)),
                scope.spawn(|| match &bundle {
                    Some(bundle) => {
                        let mut file =
                            fs::File::open(bundle).map_err(ProjectError::io("reading", bundle))?;
                        Ok(self.tracking.upload(run_id, BUNDLE_ARTIFACT, &mut file)?)
                    }
                    None => Ok(()),
                }),
                scope.spawn(|| Ok(self.tracking.log_batch(run_id, &[], &tags, &[])?)),
            ];
            jobs.into_iter().map(join).collect()
        });
        for error in kept.into_iter().filter_map(Result::err) {
            self.tell(&format!("Not all of the capture was kept: {error}"));
        }
        if let Some(bundle) = bundle {
            let _ = fs::remove_file(bundle);
        }
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn facts_of(source: &SourceCapture) -> GitFacts {
    GitFacts {
        root: None,
        commit: source.commit.clone(),
        remote: source.remote.clone(),
        branch: source.branch.clone(),
        is_ignored: false,
    }
}

/// Looks at what parameters of type `path` name on this computer; what cannot be read is said.
fn inputs(planned: &Planned) -> (Vec<InputCapture>, Vec<String>) {
    let mut found = Vec::new();
    let mut notes = Vec::new();
    for param in &planned.plan.params {
        let (ParameterKind::Path, Some(used)) = (&param.kind, &param.used) else { continue };
        if param.value.as_deref().is_some_and(download::is_remote) {
            notes.push(format!(
                "The parameter {} was downloaded from {}",
                param.name,
                param.value.as_deref().unwrap_or_default()
            ));
            continue;
        }
        match InputCapture::of(&param.name, Path::new(used)) {
            Ok(input) => found.push(input),
            Err(error) => notes.push(format!(
                "The data of the parameter {} was not looked at: {error}",
                param.name
            )),
        }
    }
    (found, notes)
}

fn file_name(folder: &Path, facts: &GitFacts) -> String {
    let Some(root) = &facts.root else { return folder.display().to_string() };
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    match real.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => format!("file://{}", root.display()),
        Ok(inside) => format!("file://{}#{}", root.display(), inside.display()),
        Err(_) => folder.display().to_string(),
    }
}

fn kind_name(kind: EnvironmentKind) -> &'static str {
    match kind {
        EnvironmentKind::Python => "python",
        EnvironmentKind::Conda => "conda",
        EnvironmentKind::Container => "container",
        EnvironmentKind::Local => "local",
    }
}

/// The name of this user as Python's `getpass.getuser` finds it.
pub(crate) fn user() -> String {
    let named = ["LOGNAME", "USER", "LNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.or_else(user_of_id).unwrap_or_else(|| "unknown".to_owned())
}

fn user_of_id() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let id = fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}
