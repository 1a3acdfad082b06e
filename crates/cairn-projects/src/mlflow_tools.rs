//! What MLflow's own runner looks for when a project's Python calls `mlflow.run(...)`: conda and pyenv.
//!
//! A step with a `conda.yaml` makes MLflow call conda, one with a `python_env.yaml` pyenv, and neither is on
//! most computers. So a run that Cairn starts finds stand-ins for those that are missing. They answer the few
//! questions that MLflow asks, and make environments as Cairn makes its own: by uv, shared, content-addressed.
//! Whoever has conda or pyenv keeps using theirs; nothing is put on the person's own PATH.
//!
//! The folder is `<data_dir>/tools/mlflow/`: `bin/conda`, `bin/activate`, `bin/pyenv`, `etc/profile.d/conda.sh`
//! (where MLflow looks for it), `envs/<name>` (links to environments), `pyenv/versions/<version>` (links to
//! Pythons).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cairn_runtime::environment::{
    DeclaredEnvironment, EnvironmentManager, EnvironmentSpec, Environments, ProjectPlace,
    installed_pythons,
};
use cairn_runtime::{CancellationToken, RuntimeError};

use crate::error::{ProjectError, Result};
use crate::source::make_folder;
use crate::template::quote;

/// Lets a child find the stand-ins for what is missing: changes its `PATH` and `MLFLOW_CONDA_HOME`.
pub(crate) fn add(
    environments: &Environments,
    variables: &mut BTreeMap<String, String>,
) -> Result<()> {
    let path =
        variables.get("PATH").cloned().or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let needs_conda =
        !is_set("MLFLOW_CONDA_HOME") && !is_set("CONDA_EXE") && find("conda", &path).is_none();
    let needs_pyenv = find("pyenv", &path).is_none();
    if !needs_conda && !needs_pyenv {
        return Ok(());
    }
    let tools = Tools::at(environments);
    tools.write()?;
    if needs_conda {
        variables.insert("MLFLOW_CONDA_HOME".to_owned(), tools.folder.display().to_string());
    }
    if needs_pyenv {
        // Last, so that nothing of the person's is hidden.
        let own = tools.folder.join("pyenv-bin");
        variables.insert("PATH".to_owned(), format!("{path}:{}", own.display()));
    }
    Ok(())
}

/// Answers a call of the stand-in for conda; the text for its standard output.
///
/// Errors: the words for its standard error, when it is asked for something that MLflow does not ask.
pub fn conda(
    data_dir: &Path,
    arguments: &[String],
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<String> {
    let tools = Tools::at(&Environments::new(data_dir));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] | ["--help" | "-h" | "help"] => Ok("Cairn's stand-in for conda\n".to_owned()),
        ["--version"] => Ok("conda 24.1.0\n".to_owned()),
        ["env", "list", "--json"] => {
            Ok(format!("{}\n", serde_json::json!({ "envs": tools.names() })))
        }
        ["env", "create", "-n" | "--name", name, "--file" | "-f", file] => {
            tools.create(name, Some(Path::new(file)), say)?;
            Ok(String::new())
        }
        ["create", .., "-n", name, "python"] => {
            tools.create(name, None, say)?;
            Ok(String::new())
        }
        ["remove", .., "--name", name, "--all"] => {
            let _ = fs::remove_file(tools.link(name)?);
            Ok(String::new())
        }
        ["cairn-path", name] => {
            let link = tools.link(name)?;
            let folder = fs::canonicalize(&link).map_err(ProjectError::io("finding", &link))?;
            Ok(format!("{}\n", folder.display()))
        }
        _ => Err(unknown("conda", &arguments)),
    }
}

/// Answers a call of the stand-in for pyenv, as [`conda`] does.
pub fn pyenv(data_dir: &Path, arguments: &[String]) -> Result<String> {
    let tools = Tools::at(&Environments::new(data_dir));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--version"] => Ok("pyenv 2.4.0\n".to_owned()),
        ["root"] => Ok(format!("{}\n", tools.folder.join("pyenv").display())),
        ["install", "--list"] => {
            let versions: Vec<String> =
                pythons().iter().map(|(version, _)| format!("  {version}\n")).collect();
            Ok(versions.concat())
        }
        ["install", "--skip-existing", version] => {
            let found = pythons().into_iter().find(|(known, _)| known == version);
            let Some((_, program)) = found else {
                return Err(RuntimeError::InvalidSpec(format!(
                    "Python {version} is not on this computer. Install it with uv or pyenv, or ask for one that is there."
                ))
                .into());
            };
            let bin = tools.folder.join("pyenv/versions").join(version).join("bin");
            fs::create_dir_all(&bin).map_err(ProjectError::io("creating", &bin))?;
            replace_link(&program, &bin.join("python"))?;
            Ok(String::new())
        }
        _ => Err(unknown("pyenv", &arguments)),
    }
}

/// The Pythons of this computer with their versions: those that pyenv and uv installed, then those on PATH, which
/// are asked.
fn pythons() -> Vec<(String, PathBuf)> {
    const ASK: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let mut found: Vec<(String, PathBuf)> =
        installed_pythons().into_iter().map(|python| (python.version, python.program)).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    let names = (8..20).map(|minor| format!("python3.{minor}")).chain(["python3".to_owned()]);
    for program in names.filter_map(|name| find(&name, &path)) {
        let asked = Command::new(&program).args(["-I", "-c", ASK]).stdin(Stdio::null()).output();
        let Ok(answer) =
            asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        else {
            continue;
        };
        if !answer.is_empty() && !found.iter().any(|(version, _)| *version == answer) {
            found.push((answer, program));
        }
    }
    found
}

fn unknown(name: &str, arguments: &[&str]) -> ProjectError {
    ProjectError::source(
        format!(
            "Cairn's stand-in for {name} does not know \"{}\"",
            crate::yaml::shortened(&arguments.join(" "))
        ),
        format!("Install {name} itself for this; Cairn then uses that."),
    )
}

struct Tools {
    folder: PathBuf,
    environments: Environments,
}

impl Tools {
    fn at(environments: &Environments) -> Self {
        let data_dir = environments.root().parent().unwrap_or(Path::new("/"));
        Self { folder: data_dir.join("tools/mlflow"), environments: environments.clone() }
    }

    /// Writes the small scripts, if they are not as they should be.
    fn write(&self) -> Result<()> {
        let program = cairn_runtime::launch::program()?;
        let program = quote(&program.to_string_lossy());
        let data_dir = self.environments.root().parent().unwrap_or(Path::new("/"));
        let data_dir = quote(&data_dir.to_string_lossy());
        let call =
            |what: &str| format!("#!/bin/sh\nexec {program} launch {what} {data_dir} -- \"$@\"\n");
        let conda = quote(&self.folder.join("bin/conda").to_string_lossy());
        // Sourced by bash, for a command that MLflow writes: `conda activate NAME`, or `source activate NAME`.
        let activate = format!(
            "_cairn_env=\"$({conda} cairn-path \"$1\")\" || return 1\n\
             export PATH=\"$_cairn_env/bin:$PATH\" VIRTUAL_ENV=\"$_cairn_env\" CONDA_DEFAULT_ENV=\"$1\"\n\
             if [ -d \"$_cairn_env/conda-meta\" ]; then export CONDA_PREFIX=\"$_cairn_env\"; fi\n\
             unset PYTHONHOME PYTHONPATH _cairn_env\n"
        );
        let function = format!(
            "conda() {{\n  if [ \"$1\" = activate ]; then shift; . {}; else {conda} \"$@\"; fi\n}}\n",
            quote(&self.folder.join("bin/activate").to_string_lossy())
        );
        self.script("bin/conda", &call("conda"))?;
        self.script("bin/activate", &activate)?;
        self.script("etc/profile.d/conda.sh", &function)?;
        self.script("pyenv-bin/pyenv", &call("pyenv"))
    }

    fn script(&self, name: &str, text: &str) -> Result<()> {
        use std::io::Write as _;
        let path = self.folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|known| known == text) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.folder);
        make_folder(folder)?;
        let partial = folder.join(format!(".{}.partial", std::process::id()));
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(&partial)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(ProjectError::io("writing", &path))
    }

    /// The environments that were made by name and still exist.
    fn names(&self) -> Vec<String> {
        let folder = self.folder.join("envs");
        let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
        entries
            .flatten()
            // A link to an environment that was pruned is made again.
            .filter(|entry| entry.path().join("bin/python").exists())
            .map(|entry| entry.path().display().to_string())
            .collect()
    }

    fn link(&self, name: &str) -> Result<PathBuf> {
        let is_plain = !name.is_empty()
            && name.len() < 200
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if !is_plain {
            return Err(ProjectError::source(
                format!("\"{}\" is no name of an environment", crate::yaml::shortened(name)),
                "MLflow's names are letters, digits and dashes.",
            ));
        }
        Ok(self.folder.join("envs").join(name))
    }

    fn create(
        &self,
        name: &str,
        file: Option<&Path>,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<()> {
        let link = self.link(name)?;
        let spec = match file {
            Some(file) => {
                let file = std::path::absolute(file).map_err(ProjectError::io("finding", file))?;
                let folder = file.parent().unwrap_or(Path::new("/"));
                let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
                let declared =
                    DeclaredEnvironment { conda_env: name, ..DeclaredEnvironment::default() };
                let found = EnvironmentSpec::of_project_folder(
                    folder,
                    &declared,
                    None::<EnvironmentManager>,
                )
                .map_err(RuntimeError::from)?;
                for warning in &found.warnings {
                    say(warning);
                }
                match found.place {
                    ProjectPlace::Environment(spec) => spec,
                    ProjectPlace::Local | ProjectPlace::Container(_) => {
                        return Err(ProjectError::source(
                            format!("{} asks for no environment", file.display()),
                            "List packages under dependencies.",
                        ));
                    }
                }
            }
            None => EnvironmentSpec::python::<&str>("python", None, [])?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ProjectError::io("starting", "the program's threads"))?;
        let environment = runtime.block_on(self.environments.ensure(
            &spec,
            &|text| say(text),
            &CancellationToken::new(),
        ))?;
        make_folder(&self.folder.join("envs"))?;
        replace_link(environment.folder(), &link)
    }
}

fn replace_link(target: &Path, link: &Path) -> Result<()> {
    let partial = link.with_extension(format!("{}-partial", std::process::id()));
    symlink(target, &partial)
        .and_then(|()| fs::rename(&partial, link))
        .map_err(ProjectError::io("writing", link))
}

fn find(name: &str, path: &str) -> Option<PathBuf> {
    std::env::split_paths(OsStr::new(path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
