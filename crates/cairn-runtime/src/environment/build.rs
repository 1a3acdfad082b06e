//! Making one environment: versions chosen and an empty environment made at the same time, then filled.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tokio::fs;

use super::lock::EnvironmentLock;
use super::requirement::{PackageSources, Requirement, normal_name};
use super::spec::{
    CondaContent, EnvironmentContent, EnvironmentSpec, PythonContent, UvProjectContent,
};
use super::{LOCK, MARKER, Marker, SPEC, conda, python};
use crate::error::{Result, RuntimeError};
use crate::process::ProcessSpec;
use crate::uv::{Uv, clean_python};
use crate::{CancellationToken, Progress, ToolFolders, tool};

/// One attempt.
pub(super) struct Build<'a> {
    pub tools: &'a ToolFolders,
    /// Where it is built.
    pub partial: &'a Path,
    /// For files that the tools read; removed afterwards.
    pub work: &'a Path,
    pub progress: Progress<'a>,
    pub cancel: &'a CancellationToken,
}

impl Build<'_> {
    /// Builds, and writes lock, spec and marker, in that order.
    pub async fn run(&self, spec: &EnvironmentSpec) -> Result<Marker> {
        fs::create_dir_all(self.work).await.map_err(RuntimeError::io("creating", self.work))?;
        let uv = Uv::find_or_install(self.tools, self.progress, self.cancel).await?;
        let mut variables = Vec::new();
        let lock = match &spec.content {
            EnvironmentContent::Python(content) => self.python(&uv, spec, content).await?,
            EnvironmentContent::UvProject(content) => self.uv_project(&uv, spec, content).await?,
            EnvironmentContent::Conda(content) => {
                let (lock, set) = self.conda(&uv, spec, content).await?;
                variables = set;
                lock
            }
            EnvironmentContent::Lock(lock) => {
                variables = self.locked(&uv, spec, lock).await?;
                lock.clone()
            }
        };
        let marker = Marker {
            name: spec.name.clone(),
            kind: spec.kind(),
            digest: spec.digest(),
            lock_digest: lock.digest(),
            python: lock.python_version().map(str::to_owned).or_else(|| version_of(self.partial)),
            summary: spec.summary(),
            packages: lock.package_count(),
            made_ms: now_ms(),
            variables,
        };
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("text is always JSON");
        self.write(&self.partial.join(LOCK), lock.to_string().as_bytes()).await?;
        self.write(&self.partial.join(SPEC), &json(serde_json::to_vec_pretty(spec))).await?;
        self.write(&self.partial.join(MARKER), &json(serde_json::to_vec_pretty(&marker))).await?;
        Ok(marker)
    }

    async fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        fs::write(path, content).await.map_err(RuntimeError::io("writing", path))
    }

    async fn text(&self, path: &Path) -> Result<String> {
        fs::read_to_string(path).await.map_err(RuntimeError::io("reading", path))
    }

    fn uv(&self, uv: &Uv) -> ProcessSpec {
        clean_python(ProcessSpec::new(uv.program(), self.work)).env("NO_COLOR", "1")
    }

    async fn tool(&self, spec: &EnvironmentSpec, process: &ProcessSpec) -> Result<()> {
        let what = format!("Making the environment \"{}\"", spec.name);
        tool::run(&what, process, self.progress, self.cancel).await.map_err(explain)
    }

    /// An empty environment. Relocatable, since it is moved when complete.
    async fn venv(&self, uv: &Uv, spec: &EnvironmentSpec, interpreter: &Path) -> Result<()> {
        let venv = self
            .uv(uv)
            .args([
                "venv",
                "--quiet",
                "--no-project",
                "--no-python-downloads",
                "--relocatable",
                "--python",
            ])
            .arg(interpreter)
            .arg("--")
            .arg(self.partial);
        self.tool(spec, &venv).await
    }

    async fn interpreter(&self, uv: &Uv, request: Option<&str>) -> Result<PathBuf> {
        python::find_or_download(uv, request, self.work, self.progress, self.cancel).await
    }

    async fn python(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        content: &PythonContent,
    ) -> Result<EnvironmentLock> {
        let interpreter = self.interpreter(uv, content.python.as_deref()).await?;
        let mut requirements = content.build_requirements.clone();
        requirements.extend(content.requirements.iter().cloned());
        let wanted = Wanted {
            requirements: &requirements,
            constraints: &content.constraints,
            sources: &content.sources,
        };
        let (body, ()) = tokio::try_join!(
            self.compile(uv, spec, &wanted, &interpreter),
            self.venv(uv, spec, &interpreter)
        )?;
        let python = version_of(self.partial);
        let lock = EnvironmentLock::new(
            &spec.name,
            python.as_deref(),
            Vec::new(),
            &content.sources,
            &body,
        );
        // Installed with the sources as they are: those of the lock lack passwords.
        let whole = format!("{}{body}", content.sources.lines());
        self.sync(uv, spec, &self.partial.join("bin/python"), &whole, !lock.is_hashed()).await?;
        Ok(lock)
    }

    /// Chooses versions: every package pinned, with digests.
    async fn compile(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        wanted: &Wanted<'_>,
        interpreter: &Path,
    ) -> Result<String> {
        if wanted.requirements.is_empty() {
            return Ok(String::new());
        }
        let lines = |requirements: &[Requirement]| {
            requirements.iter().fold(String::new(), |mut text, requirement| {
                let _ = writeln!(text, "{}", requirement.text());
                text
            })
        };
        let input = self.work.join("requirements.in");
        let text = format!("{}{}", wanted.sources.lines(), lines(wanted.requirements));
        self.write(&input, text.as_bytes()).await?;
        let output = self.work.join("requirements.txt");
        let mut compile = self
            .uv(uv)
            .args([
                "pip",
                "compile",
                "--quiet",
                "--no-header",
                "--no-annotate",
                "--generate-hashes",
            ])
            .args(["--no-python-downloads", "--python"])
            .arg(interpreter)
            .arg("--output-file")
            .arg(&output);
        if wanted.sources.pre_releases {
            compile = compile.args(["--prerelease", "allow"]);
        }
        if !wanted.constraints.is_empty() {
            let constraints = self.work.join("constraints.txt");
            self.write(&constraints, lines(wanted.constraints).as_bytes()).await?;
            compile = compile.arg("--constraints").arg(constraints);
        }
        self.tool(spec, &compile.arg("--").arg(&input)).await?;
        Ok(with_given_hashes(&self.text(&output).await?, wanted.requirements))
    }

    /// Makes an environment hold exactly what a list says.
    async fn sync(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        python: &Path,
        list: &str,
        has_unhashed: bool,
    ) -> Result<()> {
        if !list.lines().any(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric())) {
            return Ok(());
        }
        let file = self.work.join("locked.txt");
        self.write(&file, list.as_bytes()).await?;
        let sync = |network: Option<&str>| {
            self.uv(uv)
                .args(["pip", "sync", "--no-progress", "--no-python-downloads"])
                .args(network)
                // What comes from git has a commit and no digest; the digests that are there are verified all the same.
                .args((!has_unhashed).then_some("--require-hashes"))
                .arg("--python")
                .arg(python)
                .arg("--")
                .arg(&file)
        };
        // From what was downloaded before, without asking the index about it all again: half of the time where it
        // works, a tenth of a second where it does not.
        let told = Mutex::new(Vec::new());
        let keep =
            |line: &str| told.lock().expect("no holder of this lock panics").push(line.to_owned());
        let Build { tools, partial, work, cancel, progress: _ } = *self;
        let quick = Build { tools, partial, work, progress: &keep, cancel };
        match quick.tool(spec, &sync(Some("--offline"))).await {
            Ok(()) => {
                let told = told.lock().expect("no holder of this lock panics");
                told.iter().for_each(|line| (self.progress)(line));
                Ok(())
            }
            Err(RuntimeError::Cancelled) => Err(RuntimeError::Cancelled),
            Err(_) => self.tool(spec, &sync(None)).await,
        }
    }

    async fn uv_project(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        content: &UvProjectContent,
    ) -> Result<EnvironmentLock> {
        let interpreter = self.interpreter(uv, content.python.as_deref()).await?;
        let project = self.work.join("project");
        fs::create_dir_all(&project).await.map_err(RuntimeError::io("creating", &project))?;
        self.write(&project.join("pyproject.toml"), content.pyproject.as_bytes()).await?;
        self.write(&project.join("uv.lock"), content.lock.as_bytes()).await?;
        self.venv(uv, spec, &interpreter).await?;
        let process = || {
            clean_python(ProcessSpec::new(uv.program(), &project))
                .env("NO_COLOR", "1")
                .env("UV_PROJECT_ENVIRONMENT", self.partial)
        };
        let sync = process()
            .args([
                "sync",
                "--frozen",
                "--no-install-project",
                "--no-progress",
                "--no-python-downloads",
                "--python",
            ])
            .arg(&interpreter);
        let output = self.work.join("exported.txt");
        let export = process()
            .args([
                "export",
                "--quiet",
                "--frozen",
                "--no-emit-project",
                "--no-header",
                "--no-annotate",
            ])
            .args(["--format", "requirements-txt", "--no-python-downloads", "--output-file"])
            .arg(&output);
        tokio::try_join!(self.tool(spec, &sync), self.tool(spec, &export))?;
        let sources = PackageSources {
            extra_indexes: other_indexes(&content.lock),
            ..PackageSources::default()
        };
        let body = self.text(&output).await?;
        let python = version_of(self.partial);
        Ok(EnvironmentLock::new(&spec.name, python.as_deref(), Vec::new(), &sources, &body))
    }

    async fn conda(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        content: &CondaContent,
    ) -> Result<(EnvironmentLock, Vec<(String, String)>)> {
        let made = conda::Conda::find(self.tools)?
            .make(
                &conda::Request {
                    channels: &content.channels,
                    dependencies: &content.dependencies,
                    explicit: &[],
                    prefix: self.partial,
                    work: self.work,
                    cache: &self.tools.data_dir.join("tools/conda-packages"),
                },
                self.progress,
                self.cancel,
            )
            .await?;
        let python = self.partial.join("bin/python");
        let wanted = Wanted {
            requirements: &content.pip,
            constraints: &content.pip_constraints,
            sources: &content.pip_sources,
        };
        let body = self.pip_section(uv, spec, &wanted, &python).await?;
        let lock =
            EnvironmentLock::new(&spec.name, None, made.explicit, &content.pip_sources, &body);
        Ok((lock, made.variables))
    }

    /// The `pip:` section, into the same prefix. What conda brought stays, so this installs and does not sync.
    async fn pip_section(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        wanted: &Wanted<'_>,
        python: &Path,
    ) -> Result<String> {
        if wanted.requirements.is_empty() {
            return Ok(String::new());
        }
        if !python.exists() {
            return Err(RuntimeError::InvalidSpec(
                "The pip section of the conda.yaml needs Python: add \"- python\" to its dependencies".to_owned(),
            ));
        }
        let body = self.compile(uv, spec, wanted, python).await?;
        self.install(uv, spec, python, &format!("{}{body}", wanted.sources.lines())).await?;
        Ok(body)
    }

    async fn install(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        python: &Path,
        list: &str,
    ) -> Result<()> {
        if !list.lines().any(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric())) {
            return Ok(());
        }
        let file = self.work.join("locked.txt");
        self.write(&file, list.as_bytes()).await?;
        let install = self
            .uv(uv)
            // A prefix of conda says that others manage it; here it is this program.
            .args([
                "pip",
                "install",
                "--no-progress",
                "--no-deps",
                "--no-python-downloads",
                "--break-system-packages",
            ])
            .arg("--python")
            .arg(python)
            .arg("--requirements")
            .arg(&file);
        self.tool(spec, &install).await
    }

    async fn locked(
        &self,
        uv: &Uv,
        spec: &EnvironmentSpec,
        lock: &EnvironmentLock,
    ) -> Result<Vec<(String, String)>> {
        if lock.explicit().is_empty() {
            let interpreter = self.interpreter(uv, lock.python_version()).await?;
            self.venv(uv, spec, &interpreter).await?;
            let python = self.partial.join("bin/python");
            self.sync(uv, spec, &python, lock.body(), !lock.is_hashed()).await?;
            return Ok(Vec::new());
        }
        let made = conda::Conda::find(self.tools)?
            .make(
                &conda::Request {
                    channels: &[],
                    dependencies: &[],
                    explicit: lock.explicit(),
                    prefix: self.partial,
                    work: self.work,
                    cache: &self.tools.data_dir.join("tools/conda-packages"),
                },
                self.progress,
                self.cancel,
            )
            .await?;
        self.install(uv, spec, &self.partial.join("bin/python"), lock.body()).await?;
        Ok(made.variables)
    }
}

/// What uv chooses versions for.
struct Wanted<'a> {
    requirements: &'a [Requirement],
    constraints: &'a [Requirement],
    sources: &'a PackageSources,
}

/// Python's version by what `venv` noted.
fn version_of(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("pyvenv.cfg")).ok()?;
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().to_owned())
    };
    value("version_info").or_else(|| value("version"))
}

/// Where a project gives digests itself, only those are right.
fn with_given_hashes(body: &str, requirements: &[Requirement]) -> String {
    if requirements.iter().all(|requirement| requirement.hashes().is_empty()) {
        return body.to_owned();
    }
    let joined = body.replace("\\\n", " ");
    let mut text = String::new();
    for line in joined.lines() {
        let name_end = line
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(line.len());
        let name = normal_name(&line[..name_end]);
        let given = requirements
            .iter()
            .find(|requirement| !requirement.hashes().is_empty() && requirement.package() == name);
        match given {
            Some(requirement) => {
                let pinned = line.split(" --hash").next().unwrap_or(line).trim_end();
                text.push_str(pinned);
                for hash in requirement.hashes() {
                    let _ = write!(text, " --hash={hash}");
                }
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// Indexes in a uv.lock beside PyPI.
fn other_indexes(lock: &str) -> Vec<String> {
    let mut indexes: Vec<String> = lock
        .lines()
        .filter_map(|line| line.trim().strip_prefix("source = { registry = \"")?.split('"').next())
        .filter(|url| url.starts_with("http") && !url.starts_with("https://pypi.org/"))
        .map(str::to_owned)
        .collect();
    indexes.sort();
    indexes.dedup();
    indexes
}

/// Names the package whose build is what failed.
fn explain(error: RuntimeError) -> RuntimeError {
    match error {
        RuntimeError::ToolFailed { what, exit, detail } => match unbuilt_package(&detail) {
            Some(package) => RuntimeError::PackageBuildFailed { what, package, detail },
            None => RuntimeError::ToolFailed { what, exit, detail },
        },
        other => other,
    }
}

fn unbuilt_package(detail: &str) -> Option<String> {
    ["Failed to build `", "Failed to download and build `"].iter().find_map(|start| {
        let (_, rest) = detail.split_once(start)?;
        Some(rest.split('`').next()?.to_owned())
    })
}

pub(super) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_that_cannot_be_built_is_named() {
        let detail = "  × Failed to build `broken==1.0`\n  ├─▶ The build backend returned an error";
        assert_eq!(unbuilt_package(detail).as_deref(), Some("broken==1.0"));
        assert_eq!(unbuilt_package("No solution found"), None);
    }

    #[test]
    fn given_digests_replace_those_of_the_index() {
        let given = format!("sha256:{}", "a".repeat(64));
        let requirement = Requirement::parse(&format!("A_b==1 --hash={given}")).expect("it is one");
        let body = "a-b==1 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\nc==1 \\\n    --hash=sha256:3\n";
        let text = with_given_hashes(body, &[requirement]);
        assert_eq!(text, format!("a-b==1 --hash={given}\nc==1      --hash=sha256:3\n"));
    }
}
