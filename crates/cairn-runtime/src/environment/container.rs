//! Containers: `docker_env` of a project, run by podman or docker, which are called directly.
//!
//! A container is created, started with its output attached, waited for and removed, each by a call of its own:
//! `run --rm` through an API of one program that another offers was seen to answer 0 for a program that had failed.
//! [`ContainerRun::write`] makes a file of what is to run; the program `cairn` reads it ([`run_to_end`]) and is the
//! child that a supervisor watches, because the client of a daemon is not the container: ending it ends nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Result, RuntimeError};
use crate::programs;

/// Where the project lies in the container, as MLflow has it.
pub const PROJECT_PLACE: &str = "/mlflow/projects/code";

/// How long a container may take to end by itself; below the ten seconds that a supervisor gives its child.
const STOP_SECS: u32 = 6;

/// The label of containers that Cairn made; its value is the name that they were given.
const LABEL: &str = "dev.cairn.container";

/// What `docker_env` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerImage {
    /// The image.
    pub image: String,
    /// `host:container`, as Docker reads it.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Variables.
    #[serde(default)]
    pub environment: Vec<ContainerVariable>,
}

/// A variable of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerVariable {
    /// With the value that it has outside; it must be set there.
    Copied(String),
    /// With a value of its own.
    Set(String, String),
}

/// Podman or Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerKind {
    /// Podman, under whatever name.
    Podman,
    /// Docker.
    Docker,
}

/// A program that runs containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerTool {
    program: PathBuf,
    kind: ContainerKind,
}

/// One program in one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRun {
    /// What runs it.
    pub tool: ContainerTool,
    /// The container's name; letters, digits and `-`.
    pub name: String,
    /// The image.
    pub image: String,
    /// The project's folder here; the program runs in it, at [`PROJECT_PLACE`].
    pub project: PathBuf,
    /// Files and folders that are there under the same path, for reading.
    #[serde(default)]
    pub readable: Vec<PathBuf>,
    /// `host:container`, as Docker reads it.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Names of variables that the container gets from the program that starts it: values are no arguments, which
    /// others on this computer could read.
    #[serde(default)]
    pub passed: Vec<String>,
    /// Variables with values from the project's own file.
    #[serde(default)]
    pub set: Vec<(String, String)>,
    /// Further arguments: `-A gpus=all`, `-A t`. A name and its value, if it has one.
    #[serde(default)]
    pub arguments: Vec<(String, Option<String>)>,
    /// The program and its arguments; see [`command_argv`].
    pub command: Vec<String>,
}

impl ContainerTool {
    /// Podman, or else docker, on a search path.
    ///
    /// Which of the two a `docker` is, is asked: on many systems it is podman under another name.
    ///
    /// Errors: [`RuntimeError::ContainerToolMissing`].
    pub fn find(search_path: &std::ffi::OsStr) -> Result<Self> {
        if let Some(program) = programs::find("podman", search_path) {
            return Ok(Self { program, kind: ContainerKind::Podman });
        }
        let Some(program) = programs::find("docker", search_path) else {
            return Err(RuntimeError::ContainerToolMissing);
        };
        let version = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        let is_podman = version.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).to_lowercase().contains("podman")
        });
        let kind = if is_podman { ContainerKind::Podman } else { ContainerKind::Docker };
        Ok(Self { program, kind })
    }

    /// The one that [`ContainerTool::find`] would find, by its name alone: starts nothing, for showing.
    ///
    /// Errors: [`RuntimeError::ContainerToolMissing`].
    pub fn guess(search_path: &std::ffi::OsStr) -> Result<Self> {
        let named = |name, kind| Some(Self { program: programs::find(name, search_path)?, kind });
        named("podman", ContainerKind::Podman)
            .or_else(|| named("docker", ContainerKind::Docker))
            .ok_or(RuntimeError::ContainerToolMissing)
    }

    /// Its path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Which of the two it is.
    pub fn kind(&self) -> ContainerKind {
        self.kind
    }

    /// Whether an image is on this computer.
    pub fn has_image(&self, image: &str) -> bool {
        self.call(&["image", "inspect", "--format", "{{.Id}}", "--", image]).is_ok()
    }

    /// The digest that names an image for good; `None` when it is not on this computer.
    pub fn image_id(&self, image: &str) -> Option<String> {
        self.call(&["image", "inspect", "--format", "{{.Id}}", "--", image]).ok()
    }

    /// Fetches an image; every line that says how far it is comes through `progress`.
    ///
    /// Errors: [`RuntimeError::ToolFailed`] with what the registry answered.
    pub async fn pull(
        &self,
        image: &str,
        progress: crate::Progress<'_>,
        cancel: &crate::CancellationToken,
    ) -> Result<()> {
        check_image(image)?;
        progress(&format!("Fetching the image {image}"));
        let pull = crate::ProcessSpec::new(&self.program, "/").args(["pull", "--", image]);
        crate::tool::run(&format!("Fetching the image {image}"), &pull, progress, cancel).await
    }

    fn call(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn check_image(image: &str) -> Result<()> {
    if image.is_empty() || image.starts_with('-') || image.contains(char::is_whitespace) {
        return Err(RuntimeError::InvalidSpec(format!("\"{image}\" is not the name of an image")));
    }
    Ok(())
}

/// The arguments of a container for a command line of an MLproject.
///
/// Words without anything special for a shell stay words, as with MLflow, so that an image with an entry point of its
/// own gets them; everything else needs a shell, which is the container's.
pub fn command_argv(command: &str) -> Vec<String> {
    plain_words(command).unwrap_or_else(|| ["/bin/sh", "-c", command].map(str::to_owned).to_vec())
}

/// The words of a command line; `None` when it means anything but words.
fn plain_words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '$' | '`' | '\\' => return None,
                        c => word.push(c),
                    }
                }
            }
            '$' | '`' | ';' | '|' | '&' | '<' | '>' | '*' | '?' | '[' | ']' | '(' | ')' | '{'
            | '}' | '!' | '#' | '~' | '\\' | '\n' | '\r' => return None,
            '=' if words.is_empty() => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!words.is_empty()).then_some(words)
}

impl ContainerRun {
    /// Writes it for [`run_to_end`], readable by this user only.
    ///
    /// Errors: [`RuntimeError::InvalidSpec`] names a variable that must be set and is not, or what cannot be an image or
    /// argument; [`RuntimeError::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        self.check()?;
        let text = serde_json::to_vec_pretty(self).expect("text is always JSON");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(&text))
            .map_err(RuntimeError::io("writing", path))
    }

    fn check(&self) -> Result<()> {
        check_image(&self.image)?;
        let invalid = |message: String| Err(RuntimeError::InvalidSpec(message));
        for (name, _) in &self.arguments {
            let is_name = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !name.starts_with('-');
            if !is_name {
                return invalid(format!("\"{name}\" is not the name of a docker argument"));
            }
        }
        let names = self.passed.iter().chain(self.set.iter().map(|(name, _)| name));
        for name in names {
            if name.is_empty() || name.contains(['=', '\0', '\n']) {
                return invalid(format!("\"{name}\" is not the name of a variable"));
            }
        }
        Ok(())
    }

    /// The variables of `docker_env` as they are passed: those that are copied must be set here.
    ///
    /// Errors: [`RuntimeError::InvalidSpec`] names the first that is not.
    pub fn add_variables(&mut self, variables: &[ContainerVariable]) -> Result<()> {
        for variable in variables {
            match variable {
                ContainerVariable::Copied(name) => {
                    if std::env::var_os(name).is_none() {
                        return Err(RuntimeError::InvalidSpec(format!(
                            "The project's docker_env passes on the variable {name}, which is not set"
                        )));
                    }
                    self.passed.push(name.clone());
                }
                ContainerVariable::Set(name, value) => self.set.push((name.clone(), value.clone())),
            }
        }
        Ok(())
    }

    /// The arguments of `create`, without the program itself.
    pub fn create_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["create".into()];
        let mut add = |text: String| arguments.push(text.into());
        add(format!("--name={}", self.name));
        add(format!("--label={LABEL}={}", self.name));
        let has =
            |names: &[&str]| self.arguments.iter().any(|(name, _)| names.contains(&name.as_str()));
        // The tracking address is one of this computer's own.
        if !has(&["network", "net"]) {
            add("--network=host".to_owned());
        }
        for argument in self.owner_arguments(&has) {
            add(argument);
        }
        add(format!("--volume={}:{PROJECT_PLACE}", self.project.display()));
        if !has(&["w", "workdir"]) {
            add(format!("--workdir={PROJECT_PLACE}"));
        }
        for path in &self.readable {
            add(format!("--volume={0}:{0}:ro", path.display()));
        }
        for volume in &self.volumes {
            add(format!("--volume={volume}"));
        }
        for name in &self.passed {
            add(format!("--env={name}"));
        }
        for (name, value) in &self.set {
            add(format!("--env={name}={value}"));
        }
        for (name, value) in &self.arguments {
            let is_short = name.chars().count() == 1;
            match (is_short, value) {
                (true, Some(value)) => {
                    add(format!("-{name}"));
                    add(value.clone());
                }
                (false, Some(value)) => add(format!("--{name}={value}")),
                (true, None) => add(format!("-{name}")),
                (false, None) => add(format!("--{name}")),
            }
        }
        add("--".to_owned());
        add(self.image.clone());
        arguments.extend(self.command.iter().map(OsString::from));
        arguments
    }

    /// What makes files that the program writes belong to the person, not to root.
    fn owner_arguments(&self, has: &dyn Fn(&[&str]) -> bool) -> Vec<String> {
        let user = rustix::process::getuid();
        let group = rustix::process::getgid();
        if user.is_root() || has(&["u", "user", "userns"]) {
            return Vec::new();
        }
        match self.tool.kind {
            ContainerKind::Podman => vec!["--userns=keep-id".to_owned()],
            ContainerKind::Docker => vec![
                format!("--user={}:{}", user.as_raw(), group.as_raw()),
                // An image knows no home of a user that it does not know.
                "--env=HOME=/tmp".to_owned(),
            ],
        }
    }
}

/// Runs what a file of [`ContainerRun::write`] says to its end, in the foreground; its output is this program's.
///
/// Answers the container's exit code. SIGTERM and SIGINT end the container: it gets SIGTERM, six seconds, then
/// SIGKILL. It is removed in every case.
///
/// Errors: [`RuntimeError::ToolFailed`] when the container could not be made or asked, with what the tool said.
pub fn run_to_end(path: &Path) -> Result<i32> {
    let text = std::fs::read(path).map_err(RuntimeError::io("reading", path))?;
    let run: ContainerRun = serde_json::from_slice(&text).map_err(|error| {
        RuntimeError::InvalidSpec(format!("{} is no container run: {error}", path.display()))
    })?;
    run.check()?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&is_stopped))
            .map_err(RuntimeError::io("watching", "signals"))?;
    }
    let what = format!("Running {} in a container", run.image);
    let failed = |exit: &str, detail: String| RuntimeError::ToolFailed {
        what: what.clone(),
        exit: exit.to_owned(),
        detail,
    };
    let tool = &run.tool;
    // A container of that name is one that a crash left behind.
    let _ = tool.call(&["rm", "--force", "--", &run.name]);
    // What it says about fetching an image is shown; the id that it prints is not.
    let created = Command::new(&tool.program)
        .args(run.create_arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| failed("not started", error.to_string()))?;
    if !created.success() {
        return Err(failed(&created.to_string(), "Its last lines above say why.".to_owned()));
    }
    let outcome = attached(&run, &is_stopped).map_err(|error| failed("not started", error));
    let code = outcome.and_then(|()| {
        let code = tool
            .call(&[
                "inspect",
                "--type=container",
                "--format",
                "{{.State.ExitCode}}",
                "--",
                &run.name,
            ])
            .map_err(|error| failed("no exit code", error))?;
        code.parse().map_err(|_| failed("no exit code", code))
    });
    let _ = tool.call(&["rm", "--force", "--", &run.name]);
    code
}

/// Starts the container and waits for its end, or brings it about.
fn attached(run: &ContainerRun, is_stopped: &AtomicBool) -> Result<(), String> {
    let tool = &run.tool;
    let mut client = Command::new(&tool.program)
        // Signals are this program's to pass on: the client's own way of doing so is racy.
        .args(["start", "--attach", "--sig-proxy=false"])
        .args((tool.kind == ContainerKind::Podman).then_some("--"))
        .arg(&run.name)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut is_asked = false;
    let mut deadline = None;
    loop {
        if let Some(status) = client.try_wait().map_err(|error| error.to_string())? {
            // The client may be gone before the container is: ended by a signal to the whole group.
            if status.code().is_none() || is_asked {
                let _ = tool.call(&["stop", "--time", &STOP_SECS.to_string(), &run.name]);
            }
            return Ok(());
        }
        if is_stopped.load(Ordering::Relaxed) && !is_asked {
            is_asked = true;
            deadline = Some(Instant::now() + Duration::from_secs(u64::from(STOP_SECS) + 2));
            let seconds = STOP_SECS.to_string();
            let _ = tool.call(&["stop", "--time", &seconds, &run.name]);
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            let _ = tool.call(&["kill", &run.name]);
            let _ = client.kill();
            deadline = None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes a container that a run may have left behind, because `cairn` itself was killed. For the end of a launch.
pub fn remove(path: &Path) {
    let run = std::fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice::<ContainerRun>(&text).ok());
    if let Some(run) = run {
        let _ = run.tool.call(&["rm", "--force", "--", &run.name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_words_and_the_rest_goes_to_a_shell() {
        let check = |command: &str, expected: &[&str]| {
            assert_eq!(command_argv(command), expected, "{command}");
        };
        check("python train.py --alpha 0.5", &["python", "train.py", "--alpha", "0.5"]);
        check(
            "python t.py --x 'a b; $(id)' \"c d\" ''",
            &["python", "t.py", "--x", "a b; $(id)", "c d", ""],
        );
        check("python t.py 'it'\"'\"'s'", &["python", "t.py", "it's"]);
        for special in ["a && b", "a $HOME", "a | b", "A=1 b", "a > f", "a 'b", "a *"] {
            check(special, &["/bin/sh", "-c", special]);
        }
    }

    #[test]
    fn arguments_are_those_of_mlflow() {
        let run = ContainerRun {
            tool: ContainerTool { program: "/usr/bin/podman".into(), kind: ContainerKind::Podman },
            name: "cairn-x".to_owned(),
            image: "image:1".to_owned(),
            project: "/p".into(),
            readable: vec!["/data/in.csv".into()],
            volumes: vec!["/a:/b".to_owned()],
            passed: vec!["MLFLOW_RUN_ID".to_owned()],
            set: vec![("X".to_owned(), "-1".to_owned())],
            arguments: vec![
                ("gpus".to_owned(), Some("all".to_owned())),
                ("t".to_owned(), None),
                ("network".to_owned(), Some("none".to_owned())),
            ],
            command: vec!["python".to_owned(), "-c".to_owned()],
        };
        let arguments: Vec<String> =
            run.create_arguments().into_iter().map(|a| a.into_string().expect("text")).collect();
        let expected = "create --name=cairn-x --label=dev.cairn.container=cairn-x \
            --volume=/p:/mlflow/projects/code --workdir=/mlflow/projects/code --volume=/data/in.csv:/data/in.csv:ro \
            --volume=/a:/b --env=MLFLOW_RUN_ID --env=X=-1 --gpus=all -t --network=none -- image:1 python -c";
        let expected: Vec<&str> = expected
            .split_whitespace()
            .filter(|word| rustix::process::getuid().is_root() || *word != "--userns=keep-id")
            .collect();
        let arguments: Vec<&str> = arguments
            .iter()
            .map(String::as_str)
            .filter(|word| *word != "--userns=keep-id")
            .collect();
        assert_eq!(arguments, expected);
        assert!(run.check().is_ok());
        assert!(ContainerRun { image: "--privileged".to_owned(), ..run.clone() }.check().is_err());
        let arguments = vec![("v=/:/host --privileged".to_owned(), None)];
        assert!(ContainerRun { arguments, ..run }.check().is_err());
    }
}
