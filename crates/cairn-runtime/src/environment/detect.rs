//! Which environment a project's folder asks for.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::container::ContainerImage;
use super::problem::{SpecProblem, shortened};
use super::python;
use super::requirement::{Reader, Requirement, RequirementsFile, normal_name};
use super::spec::{
    CondaContent, EnvironmentContent, EnvironmentSpec, PythonContent, UvProjectContent,
};
use super::yaml::{self, Node, Value};

/// Who makes the environment of a project: the values of `--env-manager`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentManager {
    /// uv; what a conda.yaml asks beside Python and pip is left out.
    Uv,
    /// The same as `uv`: environments of Python's own kind, made faster.
    Virtualenv,
    /// Cairn's own conda; needs a conda.yaml.
    Conda,
    /// Podman or Docker; needs a `docker_env`.
    Docker,
    /// Nobody: the Python on PATH.
    Local,
}

impl std::str::FromStr for EnvironmentManager {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uv" => Ok(Self::Uv),
            "virtualenv" => Ok(Self::Virtualenv),
            "conda" => Ok(Self::Conda),
            "docker" => Ok(Self::Docker),
            "local" => Ok(Self::Local),
            other => Err(format!(
                "\"{}\" is no environment manager; there are uv, virtualenv, conda, docker and local",
                shortened(other)
            )),
        }
    }
}

/// What kind of environment a project runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentKind {
    /// None of its own: the Python on PATH.
    None,
    /// Python packages, chosen by uv.
    Python,
    /// Python packages of a uv.lock.
    UvProject,
    /// Packages of conda channels.
    Conda,
    /// A container.
    Container,
    /// Made from a lock file alone.
    Lock,
}

/// What an MLproject file says about its environment: names of files, relative to the folder.
#[derive(Debug, Clone, Default)]
pub struct DeclaredEnvironment {
    /// `python_env`.
    pub python_env: Option<String>,
    /// `conda_env`.
    pub conda_env: Option<String>,
    /// `docker_env`, read by the parser of MLproject files.
    pub docker_env: Option<ContainerImage>,
}

/// What a project runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectPlace {
    /// Whatever Python is first on PATH.
    Local,
    /// A managed environment.
    Environment(EnvironmentSpec),
    /// A container.
    Container(ContainerImage),
}

/// The environment of a project, as its files ask for it; nothing was made, started or fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectEnvironment {
    /// What kind it is.
    pub kind: EnvironmentKind,
    /// What it is.
    pub place: ProjectPlace,
    /// Every file that was read for it; relative to the folder, unless it lies elsewhere.
    pub files: Vec<PathBuf>,
    /// What will not be as the files say, in sentences.
    pub warnings: Vec<String>,
    /// Folders for the front of `PYTHONPATH`, relative to the project's: `src` of a project that would be
    /// installed from there.
    pub python_path: Vec<PathBuf>,
}

impl ProjectEnvironment {
    /// One line for people: `Python 3.11 with 5 requirements, by uv`.
    pub fn summary(&self) -> String {
        match &self.place {
            ProjectPlace::Local => "None: the Python that is first on PATH".to_owned(),
            ProjectPlace::Container(image) => format!("A container of the image {}", image.image),
            ProjectPlace::Environment(spec) => spec.summary(),
        }
    }
}

impl EnvironmentSpec {
    /// Reads which environment a project's folder asks for, in MLflow's order: `docker_env`, `python_env`,
    /// `conda_env`, an existing `python_env.yaml`, an existing `conda.yaml`; then a `uv.lock` with its
    /// `pyproject.toml`, a `requirements.txt`, a `pyproject.toml` that names dependencies; else none.
    ///
    /// Errors: the first mistake, with its place.
    pub fn of_project_folder(
        folder: &Path,
        declared: &DeclaredEnvironment,
        manager: Option<EnvironmentManager>,
    ) -> Result<ProjectEnvironment, SpecProblem> {
        let mut detection =
            Detection { folder, files: Vec::new(), warnings: Vec::new(), python_path: Vec::new() };
        let (kind, place) = detection.find(declared, manager)?;
        let inside = |file: PathBuf| match file.strip_prefix(folder) {
            Ok(relative) => relative.to_owned(),
            Err(_) => file,
        };
        Ok(ProjectEnvironment {
            kind,
            place,
            files: detection.files.into_iter().map(inside).collect(),
            warnings: detection.warnings,
            python_path: detection.python_path,
        })
    }
}

struct Detection<'a> {
    folder: &'a Path,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
    python_path: Vec<PathBuf>,
}

type Found = (EnvironmentKind, ProjectPlace);

impl Detection<'_> {
    fn find(
        &mut self,
        declared: &DeclaredEnvironment,
        manager: Option<EnvironmentManager>,
    ) -> Result<Found, SpecProblem> {
        use EnvironmentManager as Manager;
        if let Some(image) = &declared.docker_env {
            return match manager {
                None | Some(Manager::Docker | Manager::Local) => {
                    Ok((EnvironmentKind::Container, ProjectPlace::Container(image.clone())))
                }
                Some(_) => Err(Self::mlproject(
                    "a project with a docker_env runs in a container only",
                    "Leave --env-manager out, or remove docker_env.",
                )),
            };
        }
        if manager == Some(Manager::Docker) {
            return Err(Self::mlproject(
                "the project has no docker_env",
                "Add \"docker_env:\" with an \"image:\" to MLproject, or choose another --env-manager.",
            ));
        }
        if manager == Some(Manager::Local) {
            return Ok((EnvironmentKind::None, ProjectPlace::Local));
        }
        let python_env = self.named(declared.python_env.as_deref(), "python_env")?;
        let conda_env = self.named(declared.conda_env.as_deref(), "conda_env")?;
        let (python_env, conda_env) = match (python_env, conda_env) {
            (None, None) => {
                let python_env = self.existing("python_env.yaml");
                let conda = python_env.is_none().then(|| self.existing("conda.yaml")).flatten();
                (python_env, conda)
            }
            (Some(python_env), _) => (Some(python_env), None),
            (None, conda_env) => (None, conda_env),
        };
        if manager == Some(Manager::Conda) && conda_env.is_none() {
            return Err(match python_env {
                Some(file) => self.reader().problem(
                    &file,
                    0,
                    "conda makes environments from a conda.yaml, and this project has a python_env",
                    "Leave --env-manager out, or use uv.",
                ),
                None => Self::mlproject(
                    "the project has no conda.yaml",
                    "Add one, or choose another --env-manager.",
                ),
            });
        }
        if let Some(file) = python_env {
            return self.python_env(&file);
        }
        if let Some(file) = conda_env {
            return self.conda(&file, manager);
        }
        self.own(manager)
    }

    fn reader(&mut self) -> Reader<'_> {
        Reader { folder: self.folder, files: &mut self.files }
    }

    fn mlproject(message: &str, hint: &str) -> SpecProblem {
        SpecProblem {
            file: PathBuf::from("MLproject"),
            line: 0,
            column: 0,
            message: message.to_owned(),
            hint: hint.to_owned(),
        }
    }

    fn existing(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name)).filter(|file| file.is_file())
    }

    fn named(&self, name: Option<&str>, key: &str) -> Result<Option<PathBuf>, SpecProblem> {
        let Some(name) = name else { return Ok(None) };
        match self.existing(name) {
            Some(file) => Ok(Some(file)),
            None => Err(Self::mlproject(
                &format!("{key} names {}, which does not exist in the project", shortened(name)),
                "The path is relative to the MLproject file.",
            )),
        }
    }

    fn environment(kind: EnvironmentKind, name: &str, content: EnvironmentContent) -> Found {
        let spec = EnvironmentSpec { name: name.to_owned(), content };
        (kind, ProjectPlace::Environment(spec))
    }

    fn yaml(&mut self, file: &Path) -> Result<Node, SpecProblem> {
        let text = self.reader().text(file)?;
        yaml::parse(&text).map_err(|error| SpecProblem {
            file: self.reader().shown(file),
            line: error.line,
            column: error.column,
            message: error.reason,
            hint: "Check the indentation, quotes and colons of this line and the one before."
                .to_owned(),
        })
    }

    fn at(&mut self, file: &Path, node: &Node, message: String, hint: &str) -> SpecProblem {
        SpecProblem {
            file: self.reader().shown(file),
            line: node.line,
            column: node.column,
            message,
            hint: hint.to_owned(),
        }
    }

    fn texts(
        &mut self,
        file: &Path,
        key: &str,
        node: &Node,
    ) -> Result<Vec<(usize, String)>, SpecProblem> {
        let items = match &node.value {
            Value::Null => return Ok(Vec::new()),
            Value::List(items) => items,
            _ => {
                let message = format!("{key} is {}, not a list", node.kind());
                return Err(self.at(
                    file,
                    node,
                    message,
                    "Write one entry per line, each after \"- \".",
                ));
            }
        };
        let mut texts = Vec::new();
        for item in items {
            let Some(text) = item.text() else {
                let message = format!("an entry of {key} is {}, not a text", item.kind());
                return Err(self.at(
                    file,
                    item,
                    message,
                    "Write a package such as \"pandas==2.2.3\".",
                ));
            };
            texts.push((item.line, text.to_owned()));
        }
        Ok(texts)
    }

    /// Requirements that stand in a list of a YAML file; `-r` and `-c` may be among them.
    fn listed(
        &mut self,
        file: &Path,
        texts: Vec<(usize, String)>,
        into: &mut RequirementsFile,
    ) -> Result<(), SpecProblem> {
        for (line, text) in texts {
            let text = text.trim();
            let mut reader = self.reader();
            let names_file = ["-r", "-c", "--requirement", "--constraint"]
                .iter()
                .any(|option| text.starts_with(option));
            if text.contains('\n') || text.starts_with('-') && !names_file {
                let message = format!("\"{}\" is not a package", shortened(text));
                let hint =
                    "Options stand in a requirements.txt; name it here as \"-r requirements.txt\".";
                return Err(reader.problem(file, line, message, hint));
            }
            reader.line(file, line, text, false, 0, into)?;
        }
        Ok(())
    }

    fn python_env(&mut self, file: &Path) -> Result<Found, SpecProblem> {
        let root = self.yaml(file)?;
        let mut content = PythonContent::default();
        let mut build = RequirementsFile::default();
        let mut main = RequirementsFile::default();
        let keys = "The keys are python, build_dependencies and dependencies.";
        if root.value != Value::Null && root.entries().is_none() {
            let message = format!("the file holds {}, not keys with values", root.kind());
            return Err(self.at(file, &root, message, keys));
        }
        for (key, _, value) in root.entries().into_iter().flatten() {
            match key {
                "python" => content.python = self.python_version(file, value)?,
                "build_dependencies" => {
                    let texts = self.texts(file, key, value)?;
                    self.listed(file, texts, &mut build)?;
                }
                "dependencies" => {
                    let texts = self.texts(file, key, value)?;
                    self.listed(file, texts, &mut main)?;
                }
                other => self.warnings.push(format!("{other} in {} is not used", file_name(file))),
            }
        }
        content.build_requirements = build.requirements;
        main.constraints.extend(build.constraints);
        fill(&mut content, main);
        Ok(Self::environment(
            EnvironmentKind::Python,
            "python",
            EnvironmentContent::Python(content),
        ))
    }

    fn python_version(&mut self, file: &Path, node: &Node) -> Result<Option<String>, SpecProblem> {
        let Some(text) = node.text() else {
            if node.value == Value::Null {
                return Ok(None);
            }
            let message = format!("python is {}, not a version", node.kind());
            return Err(self.at(file, node, message, "Write a version such as \"3.11\"."));
        };
        python::request(text).map(Some).map_err(|message| {
            self.at(file, node, message, "Write a version such as \"3.11\" or \"3.11.7\".")
        })
    }

    fn conda(
        &mut self,
        file: &Path,
        manager: Option<EnvironmentManager>,
    ) -> Result<Found, SpecProblem> {
        let root = self.yaml(file)?;
        if root.entries().is_none() {
            let message = format!("the file holds {}, not keys with values", root.kind());
            return Err(self.at(file, &root, message, "The keys are channels and dependencies."));
        }
        let mut conda = CondaContent::default();
        let mut pip = RequirementsFile::default();
        let mut dependencies = Vec::new();
        for (key, _, value) in root.entries().into_iter().flatten() {
            match key {
                "name" | "prefix" => {}
                "channels" => {
                    for (line, channel) in self.texts(file, key, value)? {
                        check_conda_text(&channel)
                            .map_err(|m| self.reader().problem(file, line, m, ""))?;
                        // It says "and no others"; there are no others here.
                        if channel != "nodefaults" {
                            conda.channels.push(channel);
                        }
                    }
                }
                "dependencies" => {
                    let Value::List(items) = &value.value else {
                        let message = format!("dependencies is {}, not a list", value.kind());
                        return Err(self.at(
                            file,
                            value,
                            message,
                            "Write one package per line, each after \"- \".",
                        ));
                    };
                    for item in items {
                        self.conda_dependency(file, item, &mut dependencies, &mut pip)?;
                    }
                }
                other => self.warnings.push(format!("{other} in {} is not used", file_name(file))),
            }
        }
        let by_uv = match manager {
            Some(EnvironmentManager::Conda) => false,
            Some(_) => true,
            // What pip installs needs no channel.
            None => dependencies.iter().all(|(_, text): &(usize, String)| {
                matches!(split_conda(text).0.as_str(), "python" | "pip" | "setuptools" | "wheel")
            }),
        };
        if by_uv {
            let content = self.converted(file, dependencies, pip)?;
            let content = EnvironmentContent::Python(content);
            return Ok(Self::environment(EnvironmentKind::Python, "python", content));
        }
        if conda.channels.is_empty() {
            return Err(self.reader().problem(
                file,
                0,
                "no channel is named, and conda's default channels are not free for everybody",
                "Add \"channels:\" with \"- conda-forge\".",
            ));
        }
        conda.dependencies = dependencies.into_iter().map(|(_, text)| text).collect();
        conda.pip = pip.requirements;
        conda.pip_constraints = pip.constraints;
        conda.pip_sources = pip.sources;
        Ok(Self::environment(EnvironmentKind::Conda, "conda", EnvironmentContent::Conda(conda)))
    }

    fn conda_dependency(
        &mut self,
        file: &Path,
        item: &Node,
        dependencies: &mut Vec<(usize, String)>,
        pip: &mut RequirementsFile,
    ) -> Result<(), SpecProblem> {
        if let Some(text) = item.text() {
            check_conda_text(text).map_err(|message| self.at(file, item, message, ""))?;
            dependencies.push((item.line, text.trim().to_owned()));
            return Ok(());
        }
        for (key, _, value) in item.entries().into_iter().flatten() {
            if key == "pip" {
                let texts = self.texts(file, "pip", value)?;
                self.listed(file, texts, pip)?;
                continue;
            }
            let message = format!("\"{key}:\" in dependencies is not known");
            return Err(self.at(file, item, message, "Only \"pip:\" may hold a list of its own."));
        }
        if item.entries().is_some() {
            return Ok(());
        }
        let message = format!("an entry of dependencies is {}", item.kind());
        Err(self.at(file, item, message, "Write a package such as \"numpy=2.1\"."))
    }

    /// A conda.yaml as uv can make it: Python's version, pins of pip and its like, and the pip section.
    fn converted(
        &mut self,
        file: &Path,
        dependencies: Vec<(usize, String)>,
        pip: RequirementsFile,
    ) -> Result<PythonContent, SpecProblem> {
        let mut content = PythonContent::default();
        let mut left_out = Vec::new();
        for (line, text) in dependencies {
            let (name, version) = split_conda(&text);
            match name.as_str() {
                "python" => {
                    content.python = conda_python(&version).map_err(|message| {
                        let hint =
                            "Write \"python=3.11\", or bounds such as \"python>=3.10,<3.13\".";
                        self.reader().problem(file, line, message, hint)
                    })?;
                }
                "pip" | "setuptools" | "wheel" => {
                    let text = format!("{name}{}", pip_version(&version));
                    let requirement = Requirement::parse(&text)
                        .map_err(|message| self.reader().problem(file, line, message, ""))?;
                    content.build_requirements.push(requirement);
                }
                _ => left_out.push(text),
            }
        }
        if !left_out.is_empty() {
            self.warnings.push(format!(
                "{} {} left out: only conda can install {}",
                left_out.join(", "),
                if left_out.len() == 1 { "is" } else { "are" },
                if left_out.len() == 1 { "it" } else { "them" },
            ));
        }
        fill(&mut content, pip);
        Ok(content)
    }

    /// What Cairn understands beside MLflow's files.
    fn own(&mut self, manager: Option<EnvironmentManager>) -> Result<Found, SpecProblem> {
        let pyproject = self.existing("pyproject.toml");
        if let (Some(pyproject), Some(lock)) = (&pyproject, self.existing("uv.lock")) {
            return self.uv_project(pyproject, &lock);
        }
        if let Some(file) = self.existing("requirements.txt") {
            let mut main = RequirementsFile::default();
            self.reader().read(&file, false, 0, &mut main)?;
            let mut content =
                PythonContent { python: self.pinned_python()?, ..PythonContent::default() };
            fill(&mut content, main);
            let content = EnvironmentContent::Python(content);
            return Ok(Self::environment(EnvironmentKind::Python, "python", content));
        }
        if let Some(file) = pyproject
            && let Some(content) = self.pyproject(&file)?
        {
            let content = EnvironmentContent::Python(content);
            return Ok(Self::environment(EnvironmentKind::Python, "python", content));
        }
        Ok(match manager {
            // Asked for by name: an environment with nothing in it, as MLflow makes it.
            Some(_) => Self::environment(
                EnvironmentKind::Python,
                "python",
                EnvironmentContent::Python(PythonContent::default()),
            ),
            None => (EnvironmentKind::None, ProjectPlace::Local),
        })
    }

    fn pinned_python(&mut self) -> Result<Option<String>, SpecProblem> {
        let Some(file) = self.existing(".python-version") else { return Ok(None) };
        let text = self.reader().text(&file)?;
        let first =
            text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        match first {
            None => Ok(None),
            Some(version) => python::request(version).map(Some).map_err(|message| {
                self.reader().problem(&file, 1, message, "Write a version such as 3.11.")
            }),
        }
    }

    fn toml(&mut self, file: &Path) -> Result<(String, toml::Table), SpecProblem> {
        let text = self.reader().text(file)?;
        match text.parse::<toml::Table>() {
            Ok(table) => Ok((text, table)),
            Err(error) => {
                let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
                let line = before.matches('\n').count() + 1;
                let message = format!("this is not TOML: {}", error.message());
                Err(self.reader().problem(file, line, message, ""))
            }
        }
    }

    fn pyproject(&mut self, file: &Path) -> Result<Option<PythonContent>, SpecProblem> {
        let (text, table) = self.toml(file)?;
        let Some(project) = table.get("project").and_then(toml::Value::as_table) else {
            return Ok(None);
        };
        let line_of = |needle: &str| {
            text.lines().position(|line| line.contains(needle)).map_or(0, |index| index + 1)
        };
        let is_dynamic = project
            .get("dynamic")
            .and_then(toml::Value::as_array)
            .is_some_and(|names| names.iter().any(|name| name.as_str() == Some("dependencies")));
        if is_dynamic {
            return Err(self.reader().problem(
                file,
                line_of("dynamic"),
                "the dependencies are dynamic: only building the project would tell them",
                "Run \"uv lock\" in the project's folder, or write a requirements.txt.",
            ));
        }
        let sources = table
            .get("tool")
            .and_then(|tool| tool.get("uv"))
            .and_then(|uv| uv.get("sources"))
            .is_some();
        if sources {
            return Err(self.reader().problem(
                file,
                line_of("tool.uv.sources"),
                "packages with sources of their own need a uv.lock",
                "Run \"uv lock\" in the project's folder.",
            ));
        }
        let mut content =
            PythonContent { python: self.pinned_python()?, ..PythonContent::default() };
        if content.python.is_none()
            && let Some(wanted) = project.get("requires-python").and_then(toml::Value::as_str)
        {
            content.python = Some(python::request(wanted).map_err(|message| {
                let hint = "Write bounds such as \">=3.10\".";
                self.reader().problem(file, line_of("requires-python"), message, hint)
            })?);
        }
        for dependency in
            project.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten()
        {
            let Some(dependency) = dependency.as_str() else {
                let message = "a dependency is not a text";
                return Err(self.reader().problem(file, line_of("dependencies"), message, ""));
            };
            let requirement = Requirement::parse(dependency).map_err(|message| {
                let hint = "Write a package as \"name>=version\" or \"name @ https://…\".";
                self.reader().problem(file, line_of(dependency), message, hint)
            })?;
            content.requirements.push(requirement);
        }
        Ok(Some(content))
    }

    fn uv_project(&mut self, pyproject: &Path, lock: &Path) -> Result<Found, SpecProblem> {
        let (pyproject_text, table) = self.toml(pyproject)?;
        let (lock_text, locked) = self.toml(lock)?;
        if !locked.contains_key("version") {
            let hint = "Run \"uv lock\" in the project's folder.";
            return Err(self.reader().problem(lock, 0, "this is not a lock of uv", hint));
        }
        // A package of the folder itself is taken from there, but one beside it would have to be copied.
        let packages = locked.get("package").and_then(toml::Value::as_array).into_iter().flatten();
        for package in packages {
            let source = package.get("source").and_then(toml::Value::as_table);
            let path = source.and_then(|source| {
                ["path", "directory", "editable"].iter().find_map(|key| source.get(*key)?.as_str())
            });
            let name = package.get("name").and_then(toml::Value::as_str).unwrap_or_default();
            if let Some(path) = path.filter(|path| *path != ".") {
                let needle = format!("name = \"{name}\"");
                let line = lock_text.lines().position(|line| line == needle).map_or(0, |at| at + 1);
                return Err(self.reader().problem(
                    lock,
                    line,
                    format!("{name} is a folder or file beside the project ({})", shortened(path)),
                    "An environment that projects share takes packages from indexes, addresses and git.",
                ));
            }
        }
        let mut python = self.pinned_python()?;
        if python.is_none()
            && let Some(wanted) = table
                .get("project")
                .and_then(|p| p.get("requires-python"))
                .and_then(toml::Value::as_str)
        {
            python = Some(python::request(wanted).map_err(|message| {
                self.reader().problem(pyproject, 0, message, "Write bounds such as \">=3.10\".")
            })?);
        }
        if self.folder.join("src").is_dir() && table.contains_key("build-system") {
            self.python_path.push(PathBuf::from("src"));
            self.warnings.push(
                "The project itself is not installed; its folder src is on Python's path"
                    .to_owned(),
            );
        }
        let content = UvProjectContent { python, pyproject: pyproject_text, lock: lock_text };
        let content = EnvironmentContent::UvProject(content);
        Ok(Self::environment(EnvironmentKind::UvProject, "uv", content))
    }
}

fn fill(content: &mut PythonContent, file: RequirementsFile) {
    content.requirements = file.requirements;
    content.constraints = file.constraints;
    content.sources = file.sources;
    // What the project asks for itself wins over what is there to build it.
    let named: Vec<String> = content.requirements.iter().map(Requirement::package).collect();
    content.build_requirements.retain(|requirement| !named.contains(&requirement.package()));
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Texts for conda go into a document, never onto a command line; what cannot be one is refused early.
fn check_conda_text(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty()
        || text.starts_with('-')
        || text.len() > 500
        || text.contains(char::is_control)
    {
        return Err(format!("\"{}\" is not the name of a package or channel", shortened(text)));
    }
    Ok(())
}

/// Name and version of a conda dependency; a channel before it (`conda-forge::`) is left out.
fn split_conda(text: &str) -> (String, String) {
    let text = text.rsplit_once("::").map_or(text, |(_, rest)| rest).trim();
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(text.len());
    (normal_name(&text[..end]), text[end..].trim().to_owned())
}

/// A conda version of Python as uv reads it.
fn conda_python(version: &str) -> Result<Option<String>, String> {
    if version.is_empty() {
        return Ok(None);
    }
    let plain = version.trim_start_matches('=').trim();
    // `=3.11=h1234_0`: the build is conda's own.
    let plain = plain
        .split(['=', ' '])
        .next()
        .filter(|first| first.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(plain);
    let plain = plain.strip_suffix(".*").or_else(|| plain.strip_suffix('*')).unwrap_or(plain);
    python::request(plain.trim_end_matches('.')).map(Some)
}

/// A conda version as pip reads it: `=1.2` is `==1.2.*`.
fn pip_version(version: &str) -> String {
    match version.strip_prefix('=') {
        Some(rest) if !rest.starts_with('=') => {
            let plain = rest.split('=').next().unwrap_or(rest).trim().trim_end_matches('*');
            format!("=={}.*", plain.trim_end_matches('.'))
        }
        Some(rest) => {
            format!("=={}", rest.trim_start_matches('=').split('=').next().unwrap_or(rest))
        }
        None if version.starts_with(|c: char| c.is_ascii_digit()) => format!("=={version}"),
        None => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().expect("it has one")).expect("it can be made");
            fs::write(file, text).expect("it can be written");
        }
        folder
    }

    fn found(
        files: &[(&str, &str)],
        manager: Option<EnvironmentManager>,
    ) -> Result<ProjectEnvironment, SpecProblem> {
        let folder = folder(files);
        EnvironmentSpec::of_project_folder(folder.path(), &DeclaredEnvironment::default(), manager)
    }

    fn python_of(environment: &ProjectEnvironment) -> &PythonContent {
        match &environment.place {
            ProjectPlace::Environment(EnvironmentSpec {
                content: EnvironmentContent::Python(content),
                ..
            }) => content,
            other => panic!("{other:?}"),
        }
    }

    fn texts(requirements: &[Requirement]) -> Vec<&str> {
        requirements.iter().map(Requirement::text).collect()
    }

    #[test]
    fn python_env_is_read_with_the_files_it_names() {
        let environment = found(
            &[
                ("python_env.yaml", "python: 3.10\nbuild_dependencies:\n- pip==23\n- setuptools\ndependencies:\n- mlflow\n- -r more/requirements.txt\n"),
                ("more/requirements.txt", "pandas # why\n-c limits.txt\n--extra-index-url https://u:p@example.org/simple\n"),
                ("more/limits.txt", "numpy<2\n"),
                ("requirements.txt", "other\n"),
            ],
            None,
        )
        .expect("it is read");
        let content = python_of(&environment);
        assert_eq!(content.python.as_deref(), Some("3.10"));
        assert_eq!(texts(&content.build_requirements), ["pip==23", "setuptools"]);
        assert_eq!(texts(&content.requirements), ["mlflow", "pandas"]);
        assert_eq!(texts(&content.constraints), ["numpy<2"]);
        assert_eq!(content.sources.shown(), ["https://example.org/simple"]);
        let files: Vec<_> =
            environment.files.iter().map(|file| file.display().to_string()).collect();
        assert_eq!(files, ["python_env.yaml", "more/requirements.txt", "more/limits.txt"]);
    }

    #[test]
    fn conda_yaml_of_pip_packages_is_for_uv_and_others_for_conda() {
        let pip_only = "name: x\nchannels:\n- conda-forge\ndependencies:\n- python=3.8.15\n- pip<=23.1\n- setuptools=65\n- pip:\n  - mlflow\n  - requests\n";
        let environment = found(&[("conda.yaml", pip_only)], None).expect("it is read");
        let content = python_of(&environment);
        assert_eq!(content.python.as_deref(), Some("3.8.15"));
        assert_eq!(texts(&content.build_requirements), ["pip<=23.1", "setuptools==65.*"]);
        assert_eq!(texts(&content.requirements), ["mlflow", "requests"]);

        let with_packages = "channels: [conda-forge, nodefaults]\ndependencies:\n- python >=3.8,<3.11\n- conda-forge::numpy=1.24\n- pip\n- pip:\n  - mlflow\n";
        let environment = found(&[("conda.yaml", with_packages)], None).expect("it is read");
        assert_eq!(environment.kind, EnvironmentKind::Conda);
        let environment =
            found(&[("conda.yaml", with_packages)], Some(EnvironmentManager::Virtualenv))
                .expect("it is read");
        let content = python_of(&environment);
        assert_eq!(content.python.as_deref(), Some(">=3.8,<3.11"));
        assert_eq!(
            environment.warnings,
            ["conda-forge::numpy=1.24 is left out: only conda can install it"]
        );
    }

    #[test]
    fn own_kinds_come_after_those_of_mlflow() {
        let requirements = ("requirements.txt", "toolz==1.0.0\n");
        let pyproject = (
            "pyproject.toml",
            "[project]\nname='x'\nversion='1'\nrequires-python='>=3.10'\ndependencies=['toolz>=1']\n",
        );
        let check = |files: &[(&str, &str)], kind| {
            assert_eq!(found(files, None).expect("it is read").kind, kind, "{files:?}");
        };
        check(&[], EnvironmentKind::None);
        check(&[requirements], EnvironmentKind::Python);
        check(&[pyproject], EnvironmentKind::Python);
        check(&[("pyproject.toml", "[tool.ruff]\n")], EnvironmentKind::None);
        check(&[pyproject, ("uv.lock", "version = 1\n"), requirements], EnvironmentKind::UvProject);
        check(
            &[
                requirements,
                ("python_env.yaml", ""),
                ("conda.yaml", "dependencies: [python=3.10, x]\nchannels: [c]"),
            ],
            EnvironmentKind::Python,
        );
        let environment =
            found(&[pyproject, (".python-version", "3.12\n")], None).expect("it is read");
        assert_eq!(python_of(&environment).python.as_deref(), Some("3.12"));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let check = |files: &[(&str, &str)], place: &str, words: &str| {
            let problem = found(files, None).expect_err("it is wrong");
            let text = problem.to_string();
            assert!(text.starts_with(place) && text.contains(words), "{text}");
        };
        check(
            &[("python_env.yaml", "python: 3.10\ndependencies:\n- a b\n")],
            "python_env.yaml:3: ",
            "a b",
        );
        check(&[("python_env.yaml", "python: three\n")], "python_env.yaml:1:9: ", "three");
        check(
            &[("python_env.yaml", "dependencies:\n- --index-url=http://x\n")],
            "python_env.yaml:2: ",
            "not a package",
        );
        check(&[("python_env.yaml", "dependencies: x\n")], "python_env.yaml:1:15: ", "not a list");
        check(&[("python_env.yaml", "a: &a [*a]\n")], "python_env.yaml:1", "alias");
        check(&[("python_env.yaml", "python: !!python/object x\n")], "python_env.yaml:1", "tags");
        check(&[("conda.yaml", "dependencies:\n- numpy\n")], "conda.yaml: ", "channel");
        check(&[("conda.yaml", "dependencies:\n- npm: [x]\n")], "conda.yaml:2:3: ", "npm");
        check(&[("requirements.txt", "a\n\n-e .\n")], "requirements.txt:3: ", "editable");
        check(&[("requirements.txt", "-r requirements.txt\n")], "requirements.txt:1: ", "deep");
        check(
            &[("requirements.txt", "-r http://x/y.txt\n")],
            "requirements.txt:1: ",
            "fetches nothing",
        );
        check(&[("requirements.txt", "-r no.txt\n")], "requirements.txt:1: ", "does not exist");
        check(
            &[("requirements.txt", "--index-url $(id)\n")],
            "requirements.txt:1: ",
            "not an address",
        );
        check(&[("requirements.txt", "--target /\n")], "requirements.txt:1: ", "--target");
        check(&[("pyproject.toml", "[project\n")], "pyproject.toml:1: ", "TOML");
        check(
            &[("pyproject.toml", "[project]\nname='x'\ndependencies=[\n  '-e .',\n]\n")],
            "pyproject.toml:4: ",
            "-e .",
        );
    }

    #[test]
    fn managers_that_do_not_fit_are_refused() {
        let check = |files: &[(&str, &str)], manager, words: &str| {
            let problem = found(files, Some(manager)).expect_err("it is wrong");
            assert!(problem.to_string().contains(words), "{problem}");
        };
        check(&[("python_env.yaml", "")], EnvironmentManager::Conda, "python_env");
        check(&[], EnvironmentManager::Conda, "conda.yaml");
        check(&[], EnvironmentManager::Docker, "docker_env");
        let declared = DeclaredEnvironment {
            conda_env: Some("no.yaml".to_owned()),
            ..DeclaredEnvironment::default()
        };
        let folder = folder(&[]);
        let problem = EnvironmentSpec::of_project_folder(folder.path(), &declared, None)
            .expect_err("it is wrong");
        assert_eq!(
            problem.to_string(),
            "MLproject: conda_env names no.yaml, which does not exist in the project"
        );
    }

    #[test]
    fn conda_versions_are_translated() {
        let python = |text: &str| conda_python(&split_conda(text).1).expect("it is a version");
        assert_eq!(python("python"), None);
        assert_eq!(python("python=3.11").as_deref(), Some("3.11"));
        assert_eq!(python("python==3.11.7").as_deref(), Some("3.11.7"));
        assert_eq!(python("python=3.11.*").as_deref(), Some("3.11"));
        assert_eq!(python("python=3.11=h0_cpython").as_deref(), Some("3.11"));
        assert_eq!(python("python>=3.9,<3.12").as_deref(), Some(">=3.9,<3.12"));
        assert_eq!(pip_version("=1.2"), "==1.2.*");
        assert_eq!(pip_version("==1.2"), "==1.2");
        assert_eq!(pip_version("<=23"), "<=23");
        assert_eq!(pip_version(""), "");
    }
}
