//! The `MLproject` file: what a project is called, what it can do and what it needs.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::problem::{Place, Problem};
use crate::yaml::{self, Node, Value, shortened};

/// The name of the project file; upper and lower case do not matter.
pub const PROJECT_FILE: &str = "MLproject";

/// The environment files that MLflow looks for when none is named.
const DEFAULT_PYTHON_ENV: &str = "python_env.yaml";
const DEFAULT_CONDA_ENV: &str = "conda.yaml";

/// So many problems of one file are told.
const MAX_PROBLEMS: usize = 50;

/// The keys that MLflow knows, and Cairn's own `pipeline`.
const KNOWN_KEYS: [&str; 7] = [
    "name",
    "entry_points",
    "python_env",
    "conda_env",
    "docker_env",
    "databricks_spark_job",
    "pipeline",
];

/// A project as its folder describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Where it lies.
    pub folder: PathBuf,
    /// What it calls itself.
    pub name: Option<String>,
    /// The name of its file in the folder; `None` for a folder without one, which is an empty project.
    pub file: Option<String>,
    /// What it needs.
    pub environment: DeclaredEnvironment,
    /// What it can do, in the file's order.
    pub entry_points: Vec<EntryPoint>,
    /// Cairn's own section, which MLflow ignores.
    pub pipeline: Option<Node>,
    /// What is odd, but keeps nothing from running: keys that nobody reads, types that nobody knows.
    pub warnings: Vec<Problem>,
}

/// What a project says about its environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeclaredEnvironment {
    /// `docker_env`.
    Docker(DockerEnvironment),
    /// `python_env`, or a `python_env.yaml` that lies there; relative to the folder.
    Python {
        /// The file.
        file: PathBuf,
    },
    /// `conda_env`, or a `conda.yaml` that lies there; relative to the folder.
    Conda {
        /// The file.
        file: PathBuf,
    },
    /// `pyproject.toml`, with `uv.lock` or without; Cairn's own.
    Pyproject {
        /// Whether `uv.lock` lies beside it.
        is_locked: bool,
    },
    /// `requirements.txt`; Cairn's own.
    Requirements,
    /// Nothing is said.
    None,
}

/// `docker_env`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerEnvironment {
    /// The image.
    pub image: String,
    /// `host:container`, each an argument of `-v`.
    pub volumes: Vec<String>,
    /// In the file's order.
    pub environment: Vec<DockerVariable>,
}

/// A variable of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerVariable {
    /// Copied from the caller; it must be set there.
    Copied(String),
    /// Given in the file.
    Set(String, String),
}

/// Something a project can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPoint {
    /// Its name.
    pub name: String,
    /// In the file's order.
    pub parameters: Vec<Parameter>,
    /// With `{name}` where a parameter goes.
    pub command: String,
    /// Where the command begins in the file; `None` for a script.
    pub command_place: Option<Place>,
}

/// A parameter of an entry point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ParameterKind,
    /// As Python's `str` shows it; `None` makes the parameter required.
    pub default: Option<String>,
    /// Where it is declared.
    pub place: Place,
}

/// The type of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// Any text.
    String,
    /// A number. MLflow does not check it; Cairn does.
    Float,
    /// A file or folder that must exist, or an address to download.
    Path,
    /// Anything with a scheme.
    Uri,
    /// A word that MLflow does not know and treats as `string`.
    Other(String),
}

impl ParameterKind {
    /// The word in the file.
    pub fn name(&self) -> &str {
        match self {
            Self::String => "string",
            Self::Float => "float",
            Self::Path => "path",
            Self::Uri => "uri",
            Self::Other(word) => word,
        }
    }

    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "string" => Self::String,
            "float" => Self::Float,
            "path" => Self::Path,
            "uri" => Self::Uri,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Project {
    /// Reads the project in a folder; nothing is started and nothing else than its own files is looked at.
    ///
    /// A folder without an `MLproject` file is a project without entry points, whose scripts can be run.
    ///
    /// Errors: every problem that was found, with its line.
    pub fn parse(folder: &Path) -> Result<Self, Vec<Problem>> {
        let found = find_file(folder).map_err(|problem| vec![problem])?;
        let Some(file) = found else {
            return Ok(Self {
                folder: folder.to_owned(),
                name: None,
                file: None,
                environment: undeclared(folder),
                entry_points: Vec::new(),
                pipeline: None,
                warnings: Vec::new(),
            });
        };
        let text = read(&folder.join(&file), &file).map_err(|problem| vec![problem])?;
        Self::parse_text(folder, &file, &text)
    }

    /// Reads the text of a project file that lies in `folder` under the name `file`.
    pub fn parse_text(folder: &Path, file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let root = yaml::parse(text).map_err(|error| {
            vec![Problem::at(file, error.place, error.reason, error.hint.map(str::to_owned))]
        })?;
        let mut reader = Reader { folder, file, problems: Vec::new(), warnings: Vec::new() };
        let project = reader.project(&root);
        let Reader { mut problems, warnings, .. } = reader;
        if problems.is_empty() {
            return Ok(Self { warnings, ..project });
        }
        problems.truncate(MAX_PROBLEMS);
        Err(problems)
    }

    /// The entry point of this name, or the script of this name with the command that MLflow gives it.
    ///
    /// `shell` runs `.sh` files: the variable `SHELL`, or `bash`. Notebooks (`.ipynb`) are Cairn's own: their
    /// command is `papermill`, and [`EntryPoint::is_notebook`] says so.
    pub fn entry_point(&self, name: &str, shell: &str) -> Result<EntryPoint, Problem> {
        if let Some(known) = self.entry_points.iter().find(|known| known.name == name) {
            return Ok(known.clone());
        }
        let quoted = crate::template::quote(name);
        let command = match extension(name) {
            Some("py") => format!("python {quoted}"),
            Some("sh") => format!("{shell} {quoted}"),
            Some("R") => format!("Rscript -e \"mlflow::mlflow_source('{quoted}')\" --args"),
            Some("ipynb") => format!("papermill {quoted}"),
            _ => return Err(self.unknown_entry_point(name)),
        };
        Ok(EntryPoint {
            name: name.to_owned(),
            parameters: Vec::new(),
            // Braces in a name are no placeholders.
            command: command.replace('{', "{{").replace('}', "}}"),
            command_place: None,
        })
    }

    fn unknown_entry_point(&self, name: &str) -> Problem {
        let known: Vec<_> = self.entry_points.iter().map(|known| known.name.as_str()).collect();
        let hint = if known.is_empty() {
            "This project declares no entry points; name one of its scripts (.py, .sh, .ipynb, .R)."
                .to_owned()
        } else {
            format!(
                "Entry points of this project: {}. A script (.py, .sh, .ipynb, .R) can be named too.",
                known.join(", ")
            )
        };
        Problem::of_request(
            format!(
                "There is no entry point \"{}\", and it is no script that can be run",
                shortened(name)
            ),
            hint,
        )
    }
}

impl EntryPoint {
    /// Whether it is a notebook, which papermill runs and which gets its parameters as `-p name value`.
    pub fn is_notebook(&self) -> bool {
        self.command_place.is_none() && extension(&self.name) == Some("ipynb")
    }

    /// The declared parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

/// What follows the last dot of the last part, as Python's `splitext` sees it.
fn extension(name: &str) -> Option<&str> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let (stem, extension) = last.rsplit_once('.')?;
    (!stem.trim_start_matches('.').is_empty()).then_some(extension)
}

fn find_file(folder: &Path) -> Result<Option<String>, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::of_request(
            format!("The folder {} cannot be read: {error}", folder.display()),
            Some("Check that it exists and may be used.".to_owned()),
        )
    };
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(name) = name.to_str()
            && name.eq_ignore_ascii_case(PROJECT_FILE)
        {
            found.push(name.to_owned());
        }
    }
    // MLflow takes whichever the system lists first; this is at least always the same one.
    found.sort();
    Ok(found.into_iter().next())
}

fn read(path: &Path, file: &str) -> Result<String, Problem> {
    let wrong = |message: String| Problem::of_file(file, message, None);
    let is_file =
        fs::metadata(path).map_err(|error| wrong(format!("it cannot be read: {error}")))?.is_file();
    if !is_file {
        return Err(wrong("it is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|opened| opened.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    if bytes.len() > yaml::MAX_BYTES {
        let place = Place { line: 1, column: 1 };
        return Err(Problem::at(
            file,
            place,
            format!("the file is larger than {} KiB", yaml::MAX_BYTES / 1024),
            Some(
                "A project file holds a few entry points; data belongs into files of its own."
                    .to_owned(),
            ),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = String::from_utf8_lossy(&error.as_bytes()[..good]).matches('\n').count() + 1;
        Problem::at(
            file,
            Place { line, column: 1 },
            "this line is not UTF-8 text",
            Some("Save the file as UTF-8.".to_owned()),
        )
    })
}

/// What a folder needs whose project file says nothing about it: MLflow's own order, then Cairn's.
fn undeclared(folder: &Path) -> DeclaredEnvironment {
    let has = |name: &str| folder.join(name).is_file();
    if has(DEFAULT_PYTHON_ENV) {
        DeclaredEnvironment::Python { file: DEFAULT_PYTHON_ENV.into() }
    } else if has(DEFAULT_CONDA_ENV) {
        DeclaredEnvironment::Conda { file: DEFAULT_CONDA_ENV.into() }
    } else if has("pyproject.toml") {
        DeclaredEnvironment::Pyproject { is_locked: has("uv.lock") }
    } else if has("requirements.txt") {
        DeclaredEnvironment::Requirements
    } else {
        DeclaredEnvironment::None
    }
}

/// Reads the tree and gathers what is wrong with it.
struct Reader<'a> {
    folder: &'a Path,
    file: &'a str,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, place: Place, message: impl Into<String>, hint: &str) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::at(self.file, place, message, Some(hint.to_owned())));
        }
    }

    fn warn(&mut self, place: Place, message: impl Into<String>, hint: &str) {
        if self.warnings.len() < MAX_PROBLEMS {
            self.warnings.push(Problem::at(self.file, place, message, Some(hint.to_owned())));
        }
    }

    fn project(&mut self, root: &Node) -> Project {
        let mut project = Project {
            folder: self.folder.to_owned(),
            name: None,
            file: Some(self.file.to_owned()),
            environment: DeclaredEnvironment::None,
            entry_points: Vec::new(),
            pipeline: None,
            warnings: Vec::new(),
        };
        if !root.is_null() && root.entries().is_none() {
            self.problem(
                root.place,
                format!("a project file is a mapping, and this is {}", root.kind()),
                "Begin with a line such as \"name: my-project\", then \"entry_points:\".",
            );
            return project;
        }
        for (key, _) in root.entries().unwrap_or_default() {
            if !KNOWN_KEYS.contains(&key.text.as_str()) {
                let known = format!("Keys that are read: {}.", KNOWN_KEYS.join(", "));
                self.warn(
                    key.place,
                    format!("nobody reads the key \"{}\"", shortened(&key.text)),
                    &known,
                );
            }
        }
        project.name =
            root.get("name").and_then(|node| self.text(node, "name", "name: my-project"));
        project.entry_points = self.entry_points(root.get("entry_points"));
        project.pipeline = root.get("pipeline").filter(|node| !node.is_null()).cloned();
        if let Some(spark) = root.get("databricks_spark_job").filter(|node| !node.is_null()) {
            self.problem(
                spark.place,
                "databricks_spark_job runs on Databricks only",
                "Cairn runs projects on this computer. Remove the section, and declare entry points with commands.",
            );
        }
        project.environment = self.environment(root);
        project
    }

    /// A text; a number is one too, as it is shown.
    fn text(&mut self, node: &Node, what: &str, example: &str) -> Option<String> {
        if node.is_null() {
            return None;
        }
        let text = node.text();
        if text.is_none() {
            self.problem(
                node.place,
                format!("\"{what}\" is a text, and this is {}", node.kind()),
                &format!("For example: {example}"),
            );
        }
        text.map(str::to_owned)
    }

    fn entry_points(&mut self, node: Option<&Node>) -> Vec<EntryPoint> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return Vec::new() };
        let Some(entries) = node.entries() else {
            self.problem(
                node.place,
                format!(
                    "\"entry_points\" is a mapping from names to entry points, and this is {}",
                    node.kind()
                ),
                "For example:\n  entry_points:\n    main:\n      command: \"python train.py\"",
            );
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in entries {
            if let Some(entry_point) = self.entry_point(&key.text, key.place, value) {
                found.push(entry_point);
            }
        }
        found
    }

    fn entry_point(&mut self, name: &str, place: Place, node: &Node) -> Option<EntryPoint> {
        let shown = shortened(name);
        let Some(entries) = node.entries() else {
            self.problem(
                if node.is_null() { place } else { node.place },
                format!(
                    "the entry point \"{shown}\" is {}, not a mapping with a command",
                    node.kind()
                ),
                "Write the command under it: command: \"python train.py\"",
            );
            return None;
        };
        for (key, _) in entries {
            if !matches!(key.text.as_str(), "command" | "parameters") {
                self.warn(
                    key.place,
                    format!("nobody reads the key \"{}\" of an entry point", shortened(&key.text)),
                    "Keys that are read: command, parameters.",
                );
            }
        }
        let parameters = self.parameters(node.get("parameters"));
        let Some(command) = node.get("command").filter(|command| !command.is_null()) else {
            self.problem(
                place,
                format!("the entry point \"{shown}\" has no command"),
                "Write the command under it: command: \"python train.py --alpha {alpha}\"",
            );
            return None;
        };
        let text = self.text(command, "command", "command: \"python train.py --alpha {alpha}\"")?;
        let entry_point = EntryPoint {
            name: name.to_owned(),
            parameters,
            command: text,
            command_place: Some(command.place),
        };
        for problem in crate::template::check(&entry_point) {
            self.problem(command.place, problem.message, &problem.hint);
        }
        Some(entry_point)
    }

    fn parameters(&mut self, node: Option<&Node>) -> Vec<Parameter> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return Vec::new() };
        let Some(entries) = node.entries() else {
            self.problem(
                node.place,
                format!(
                    "\"parameters\" is a mapping from names to types, and this is {}",
                    node.kind()
                ),
                "For example:\n  parameters:\n    alpha: {type: float, default: 0.5}",
            );
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in entries {
            if let Some(parameter) = self.parameter(&key.text, key.place, value) {
                found.push(parameter);
            }
        }
        found
    }

    fn parameter(&mut self, name: &str, place: Place, node: &Node) -> Option<Parameter> {
        let shown = shortened(name);
        let (kind, default) = match &node.value {
            Value::Scalar { text, is_text: true } => (text.clone(), None),
            Value::Map(entries) => {
                for (key, _) in entries {
                    if !matches!(key.text.as_str(), "type" | "default") {
                        self.warn(
                            key.place,
                            format!(
                                "nobody reads the key \"{}\" of a parameter",
                                shortened(&key.text)
                            ),
                            "Keys that are read: type, default.",
                        );
                    }
                }
                let kind = match node.get("type") {
                    None => "string".to_owned(),
                    Some(kind) if kind.is_null() => "string".to_owned(),
                    Some(kind) => self.text(kind, "type", "type: float")?,
                };
                let default = match node.get("default") {
                    None => None,
                    Some(default) if default.items().is_some() || default.entries().is_some() => {
                        self.problem(
                            default.place,
                            format!("the default of \"{shown}\" is {}", default.kind()),
                            "A default is one text or number; put quotes around it: default: \"[1, 2]\"",
                        );
                        return None;
                    }
                    Some(default) => default.text().map(str::to_owned),
                };
                (kind, default)
            }
            _ => {
                self.problem(
                    if node.is_null() { place } else { node.place },
                    format!("the parameter \"{shown}\" is {}, not a type", node.kind()),
                    "Write a type (string, float, path, uri), or {type: float, default: 0.5}.",
                );
                return None;
            }
        };
        let kind = ParameterKind::parse(&kind);
        if let ParameterKind::Other(word) = &kind {
            self.warn(
                node.place,
                format!(
                    "\"{}\" is no type of a parameter; the value is used as it is",
                    shortened(word)
                ),
                "Types are string, float, path and uri.",
            );
        }
        if kind == ParameterKind::Float
            && let Some(text) = &default
            && let Err(reason) = crate::template::check_float(text)
        {
            let at = node.get("default").map_or(node.place, |default| default.place);
            self.problem(
                at,
                format!("the default of \"{shown}\" {reason}"),
                "Give a number such as 0.5 or 1e-3, or make the type string.",
            );
        }
        Some(Parameter { name: name.to_owned(), kind, default, place })
    }

    fn environment(&mut self, root: &Node) -> DeclaredEnvironment {
        let given: Vec<_> = root
            .entries()
            .unwrap_or_default()
            .iter()
            .filter(|(key, _)| {
                matches!(key.text.as_str(), "docker_env" | "python_env" | "conda_env")
            })
            .collect();
        if let [(first, _), (second, _), ..] = given[..] {
            self.problem(
                second.place,
                format!(
                    "the project has two environments, \"{}\" and \"{}\"",
                    first.text, second.text
                ),
                "Keep the one that it needs.",
            );
            return DeclaredEnvironment::None;
        }
        // Python's `if value`: an empty text is as good as none.
        let Some((key, node)) =
            given.into_iter().find(|(_, node)| !node.is_null() && node.text() != Some(""))
        else {
            return undeclared(self.folder);
        };
        if key.text == "docker_env" {
            return self
                .docker(node)
                .map_or(DeclaredEnvironment::None, DeclaredEnvironment::Docker);
        }
        let Some(file) =
            self.text(node, &key.text, &format!("{}: {}", key.text, default_file(&key.text)))
        else {
            return DeclaredEnvironment::None;
        };
        if !self.folder.join(&file).is_file() {
            self.problem(
                node.place,
                format!("there is no file {} in the project's folder", shortened(&file)),
                &format!(
                    "Name the file from the project's folder on, as in {}: {}",
                    key.text,
                    default_file(&key.text)
                ),
            );
        }
        let file = PathBuf::from(file);
        if key.text == "python_env" {
            DeclaredEnvironment::Python { file }
        } else {
            DeclaredEnvironment::Conda { file }
        }
    }

    fn docker(&mut self, node: &Node) -> Option<DockerEnvironment> {
        const EXAMPLE: &str = "For example:\n  docker_env:\n    image: python:3.12\n    environment: [[\"NAME\", \"value\"], \"COPIED\"]";
        if node.entries().is_none() {
            self.problem(
                node.place,
                format!("\"docker_env\" is a mapping, and this is {}", node.kind()),
                EXAMPLE,
            );
            return None;
        }
        let image =
            node.get("image").and_then(|image| self.text(image, "image", "image: python:3.12"));
        let image = match image {
            Some(image) if !image.is_empty() && !image.starts_with('-') => image,
            Some(image) if image.starts_with('-') => {
                let place = node.get("image").map_or(node.place, |image| image.place);
                self.problem(place, format!("\"{}\" is no image", shortened(&image)), EXAMPLE);
                return None;
            }
            _ => {
                self.problem(node.place, "\"docker_env\" names no image", EXAMPLE);
                return None;
            }
        };
        let mut volumes = Vec::new();
        for item in self.list(node.get("volumes"), "volumes", "volumes: [\"/data:/data\"]") {
            match item.text() {
                Some(text) => volumes.push(text.to_owned()),
                None => self.problem(
                    item.place,
                    format!("a volume is a text, and this is {}", item.kind()),
                    "For example: volumes: [\"/data:/data\"]",
                ),
            }
        }
        let mut environment = Vec::new();
        for item in self.list(
            node.get("environment"),
            "environment",
            "environment: [[\"NAME\", \"value\"], \"COPIED\"]",
        ) {
            match (item.text(), item.items()) {
                (Some(name), _) => environment.push(DockerVariable::Copied(name.to_owned())),
                (None, Some([name, value])) if name.text().is_some() && value.text().is_some() => {
                    environment.push(DockerVariable::Set(
                        name.text().unwrap_or_default().to_owned(),
                        value.text().unwrap_or_default().to_owned(),
                    ));
                }
                _ => self.problem(
                    item.place,
                    "a variable is a name, or a pair of a name and a value",
                    "For example: environment: [[\"NAME\", \"value\"], \"COPIED\"]",
                ),
            }
        }
        Some(DockerEnvironment { image, volumes, environment })
    }

    fn list<'n>(&mut self, node: Option<&'n Node>, what: &str, example: &str) -> &'n [Node] {
        let Some(node) = node.filter(|node| !node.is_null()) else { return &[] };
        if let Some(items) = node.items() {
            return items;
        }
        self.problem(
            node.place,
            format!("\"{what}\" is a list, and this is {}", node.kind()),
            &format!("For example: {example}"),
        );
        &[]
    }
}

fn default_file(key: &str) -> &'static str {
    if key == "python_env" { DEFAULT_PYTHON_ENV } else { DEFAULT_CONDA_ENV }
}
