//! Where a project comes from, and getting it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use cairn_runtime::{CancellationToken, Progress};
use serde::{Deserialize, Serialize};

use crate::archive;
use crate::error::{ProjectError, Result};
use crate::git::{Git, check_version, objects_folder};
use crate::yaml::shortened;

/// Where a project comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProjectSource {
    /// A folder on this computer; the project runs in it, in place.
    Folder {
        /// The folder with the project, absolute.
        folder: PathBuf,
    },
    /// A version of a repository on this computer; fetched into a folder of its own, so that the person's
    /// repository stays as it is.
    LocalGit {
        /// A folder in the repository, absolute.
        folder: PathBuf,
        /// The branch, tag or commit.
        version: String,
        /// The folder with the project, relative to `folder`.
        subfolder: String,
    },
    /// A zip file on this computer; unpacked into a folder of its own.
    Zip {
        /// The file, absolute.
        file: PathBuf,
        /// The folder with the project, relative to the archive's root.
        subfolder: String,
    },
    /// A repository elsewhere.
    Git {
        /// Its address, as git reads it.
        url: String,
        /// The branch, tag or commit; `None` for what the repository names its head.
        version: Option<String>,
        /// The folder with the project, relative to the repository's root.
        subfolder: String,
    },
}

/// A project that lies on this computer, ready to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The folder with the project, where its command starts.
    pub folder: PathBuf,
    /// Where it came from.
    pub source: ProjectSource,
    /// The branch that was asked for by `-v`, when that names one; for the tag `mlflow.source.git.branch`.
    pub branch: Option<String>,
}

impl ProjectSource {
    /// Reads what `mlflow run` takes as its URI, by MLflow's rules. Looks at the disk, and starts nothing.
    ///
    /// Quotes around it are dropped, `#` begins the subfolder (in which MLflow allows no dot), what exists is
    /// local, what ends in `.zip` is an archive, everything else is git's. `caller_folder` is what a relative
    /// path begins at.
    ///
    /// Errors: [`ProjectError::Source`].
    pub fn parse(uri: &str, version: Option<&str>, caller_folder: &Path) -> Result<Self> {
        let uri = uri.trim_matches(['\'', '"']);
        let (address, subfolder) = uri.split_once('#').unwrap_or((uri, ""));
        let subfolder = check_subfolder(subfolder)?;
        if address.is_empty() {
            return Err(ProjectError::source(
                "No project was named",
                "Give a folder, a zip file or the address of a git repository.",
            ));
        }
        if let Some(version) = version {
            check_version(version)?;
        }
        let path = caller_folder.join(local_path(address));
        let exists = path.exists();
        if has_zip_ending(address) && !(exists && path.is_dir()) {
            return zip(address, path, subfolder, version);
        }
        if !exists {
            return remote(address, subfolder, version);
        }
        let folder = std::path::absolute(&path).map_err(ProjectError::io("finding", &path))?;
        let folder = without_dots(&folder);
        if !folder.is_dir() {
            return Err(ProjectError::source(
                format!("{} is no folder", folder.display()),
                "Give the folder of a project, or a zip file.",
            ));
        }
        match version {
            // There are no files in it to run in place.
            None if is_bare(&folder) => Ok(Self::Git {
                url: format!("file://{}", folder.display()),
                version: None,
                subfolder: subfolder.to_owned(),
            }),
            None => {
                let project = below(&folder, subfolder);
                if !project.is_dir() {
                    return Err(missing_subfolder(subfolder, &folder));
                }
                Ok(Self::Folder { folder: project })
            }
            Some(version) if is_in_repository(&folder) => Ok(Self::LocalGit {
                folder,
                version: version.to_owned(),
                subfolder: subfolder.to_owned(),
            }),
            Some(_) => Err(ProjectError::source(
                "A version can only be set for a project in a git repository",
                format!("Leave -v out, or run git init in {}.", folder.display()),
            )),
        }
    }

    /// The folder of a project that runs in place.
    pub fn in_place(&self) -> Option<&Path> {
        match self {
            Self::Folder { folder } => Some(folder),
            _ => None,
        }
    }

    /// Gets the project: at once for a folder, else into `dest`, which must not exist or be empty.
    ///
    /// The person's git is used with their credentials. `dest` holds whatever came when this fails.
    ///
    /// Errors: [`ProjectError::Source`], [`ProjectError::Tool`], [`ProjectError::Io`],
    /// [`ProjectError::Cancelled`].
    pub fn fetch(
        &self,
        dest: &Path,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Fetched> {
        let (subfolder, branch) = match self {
            Self::Folder { folder } => {
                return Ok(Fetched { folder: folder.clone(), source: self.clone(), branch: None });
            }
            Self::Zip { file, subfolder } => {
                progress(&format!("Unpacking {}", file.display()));
                make_folder(dest)?;
                archive::unpack(file, dest, cancel)?;
                (subfolder.clone(), None)
            }
            Self::LocalGit { folder, version, subfolder } => {
                progress(&format!("Taking {version} out of the repository {}", folder.display()));
                make_folder(dest)?;
                let (inside, branch) = take_version(folder, version, dest, cancel)?;
                (join(&inside, subfolder), branch)
            }
            Self::Git { url, version, subfolder } => {
                progress(&format!("Fetching {}", crate::git::without_credentials(url)));
                make_folder(dest)?;
                let branch = fetch_git(url, version.as_deref(), dest, cancel)?;
                (subfolder.clone(), branch)
            }
        };
        let folder = below(dest, &subfolder);
        // A link in what came may lead anywhere.
        let real = fs::canonicalize(&folder).map_err(|_| missing_subfolder(&subfolder, dest))?;
        let real_dest = fs::canonicalize(dest).map_err(ProjectError::io("finding", dest))?;
        if !real.is_dir() || !real.starts_with(&real_dest) {
            return Err(missing_subfolder(&subfolder, dest));
        }
        Ok(Fetched { folder, source: self.clone(), branch })
    }
}

/// The path that MLflow's local addresses name: `file:///a/b`, `file:a`, or a path.
pub(crate) fn local_path(address: &str) -> PathBuf {
    match address.strip_prefix("file:") {
        Some(rest) => {
            let path = rest
                .strip_prefix("//localhost")
                .or_else(|| rest.strip_prefix("//"))
                .unwrap_or(rest);
            PathBuf::from(percent_decoded(path))
        }
        None => PathBuf::from(address),
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match pair.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' && byte != 0 => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

fn check_subfolder(subfolder: &str) -> Result<&str> {
    let subfolder = subfolder.trim_matches('/');
    if subfolder.contains('.') {
        return Err(ProjectError::source(
            format!("The subfolder \"{}\" has a dot in it", shortened(subfolder)),
            "MLflow allows none after \"#\"; rename the folder, or give its path instead.",
        ));
    }
    if subfolder.contains(['\0', '\n']) {
        return Err(ProjectError::source(
            "The subfolder is no path",
            "Give a path such as #steps/train.",
        ));
    }
    Ok(subfolder)
}

fn missing_subfolder(subfolder: &str, folder: &Path) -> ProjectError {
    ProjectError::source(
        format!("There is no folder \"{}\" in {}", shortened(subfolder), folder.display()),
        "Check what stands after \"#\".",
    )
}

/// MLflow's rule, which knows lower case only.
fn has_zip_ending(address: &str) -> bool {
    address.strip_suffix(".zip").is_some_and(|stem| !stem.is_empty())
}

fn zip(
    address: &str,
    path: PathBuf,
    subfolder: &str,
    version: Option<&str>,
) -> Result<ProjectSource> {
    if version.is_some() {
        return Err(ProjectError::source(
            "A version can only be set for a project in a git repository",
            "Leave -v out.",
        ));
    }
    if address.contains("://") && !address.starts_with("file://") {
        return Err(ProjectError::source(
            format!("{} is not on this computer", shortened(address)),
            "Download the zip file, then run the file.",
        ));
    }
    if !path.is_file() {
        return Err(ProjectError::source(
            format!("There is no file {}", path.display()),
            "Check the path.",
        ));
    }
    let file = std::path::absolute(&path).map_err(ProjectError::io("finding", &path))?;
    Ok(ProjectSource::Zip { file, subfolder: subfolder.to_owned() })
}

fn remote(address: &str, subfolder: &str, version: Option<&str>) -> Result<ProjectSource> {
    const SCHEMES: [&str; 5] = ["https://", "http://", "ssh://", "git://", "file://"];
    let is_url = SCHEMES.iter().any(|scheme| address.starts_with(scheme));
    // `host:path` or `user@host:path`; the part before the colon holds no slash.
    let is_short = address.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty() && !host.contains('/') && !path.is_empty() && !path.starts_with(':')
    });
    let has_odd = address.starts_with('-') || address.chars().any(|c| c.is_control() || c == ' ');
    // `ssh://-oProxyCommand=…` would be an option of ssh; git refuses it too.
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    if has_odd
        || host.starts_with('-')
        || host.contains("@-")
        || !(is_url || is_short && !address.contains("::"))
    {
        return Err(ProjectError::source(
            format!(
                "There is no folder {}, and it is no address that git can fetch",
                shortened(address)
            ),
            "Give a folder that exists, a zip file, or an address such as https://host/project.git.",
        ));
    }
    Ok(ProjectSource::Git {
        url: address.to_owned(),
        version: version.map(str::to_owned),
        subfolder: subfolder.to_owned(),
    })
}

fn is_in_repository(folder: &Path) -> bool {
    folder.ancestors().any(|ancestor| ancestor.join(".git").exists()) || is_bare(folder)
}

/// Whether a folder is a repository without files of its own, such as `project.git`.
fn is_bare(folder: &Path) -> bool {
    folder.join("HEAD").is_file() && folder.join("objects").is_dir() && folder.join("refs").is_dir()
}

/// `a/b/../c` as `a/c`; links are not looked at.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// A folder in another one, or that one itself; joining nothing would end it with a slash.
fn below(folder: &Path, subfolder: &str) -> PathBuf {
    if subfolder.is_empty() { folder.to_owned() } else { folder.join(subfolder) }
}

fn join(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second.to_owned(),
        (_, true) => first.to_owned(),
        _ => format!("{first}/{second}"),
    }
}

/// Makes a folder that only this person can enter.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(ProjectError::io("creating", folder))
}

/// Checks a version of the repository at `folder` out into `dest`, and leaves that repository alone: `dest` only
/// borrows its objects. Answers where in the repository `folder` is, and the branch when the version is one.
fn take_version(
    folder: &Path,
    version: &str,
    dest: &Path,
    cancel: &CancellationToken,
) -> Result<(String, Option<String>)> {
    let theirs = Git::at(folder);
    let what = format!("Finding {version}");
    let named = format!("{version}^{{commit}}");
    let found = theirs.run(
        &what,
        &["rev-parse", "--verify", "--quiet", "--end-of-options", &named],
        cancel,
    );
    let commit = match found {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(ProjectError::Cancelled) => return Err(ProjectError::Cancelled),
        // A branch that is only known as the remote's.
        Err(_) => {
            let remote = format!("refs/remotes/origin/{version}^{{commit}}");
            theirs
                .ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &remote])
                .ok_or_else(|| {
                    ProjectError::source(
                        format!(
                            "There is no branch, tag or commit \"{version}\" in {}",
                            folder.display()
                        ),
                        "git branch --all and git tag list what there is.",
                    )
                })?
        }
    };
    let inside = theirs.ask(&["rev-parse", "--show-prefix"]).unwrap_or_default();
    let format =
        theirs.ask(&["rev-parse", "--show-object-format"]).unwrap_or_else(|| "sha1".to_owned());
    let origin = theirs.ask(&["config", "--get", "remote.origin.url"]);
    let objects = objects_folder(folder).ok_or_else(|| {
        ProjectError::source(format!("{} is no git repository", folder.display()), "Leave -v out.")
    })?;
    let is_branch = theirs
        .ask(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &format!("refs/heads/{version}"),
        ])
        .is_some();
    let ours = Git::at(dest);
    ours.run(
        "Making a folder for the version",
        &["init", "--quiet", "--template=", &format!("--object-format={format}")],
        cancel,
    )?;
    let alternates = dest.join(".git/objects/info/alternates");
    make_folder(&dest.join(".git/objects/info"))?;
    fs::write(&alternates, format!("{}\n", objects.display()))
        .map_err(ProjectError::io("writing", &alternates))?;
    if let Some(origin) = origin {
        ours.run("Noting the origin", &["config", "remote.origin.url", &origin], cancel)?;
    }
    ours.run(
        &format!("Checking out {version}"),
        &["checkout", "--quiet", "--detach", &commit],
        cancel,
    )?;
    submodules(dest, cancel)?;
    Ok((inside.trim_end_matches('/').to_owned(), is_branch.then(|| version.to_owned())))
}

/// Fetches one version of a repository, as little of it as the server allows; the branch when it is one.
fn fetch_git(
    url: &str,
    version: Option<&str>,
    dest: &Path,
    cancel: &CancellationToken,
) -> Result<Option<String>> {
    let git = Git::at(dest);
    git.run("Making a folder for the project", &["init", "--quiet", "--template="], cancel)?;
    git.run("Noting the origin", &["config", "remote.origin.url", url], cancel)?;
    git.run(
        "Noting the origin",
        &["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"],
        cancel,
    )?;
    let shown = crate::git::without_credentials(url);
    let what = match version {
        Some(version) => format!("Fetching {version} of {shown}"),
        None => format!("Fetching {shown}"),
    };
    let wanted = version.unwrap_or("HEAD");
    let one = git.run(
        &what,
        &["fetch", "--quiet", "--depth=1", "--no-recurse-submodules", "--", "origin", wanted],
        cancel,
    );
    match one {
        Ok(_) => {
            git.run(&what, &["checkout", "--quiet", "--detach", "FETCH_HEAD"], cancel)?;
        }
        Err(ProjectError::Cancelled) => return Err(ProjectError::Cancelled),
        // A short hash, or a server that gives no single commits.
        Err(first) => {
            let Some(version) = version else { return Err(first) };
            git.run(
                &what,
                &["fetch", "--quiet", "--tags", "--no-recurse-submodules", "--", "origin"],
                cancel,
            )
            .map_err(|_| first)?;
            let named = format!("{version}^{{commit}}");
            let commit = git
                .ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &named])
                .ok_or_else(|| {
                    ProjectError::source(
                        format!("There is no branch, tag or commit \"{version}\" in {shown}"),
                        "git ls-remote lists branches and tags.",
                    )
                })?;
            git.run(&what, &["checkout", "--quiet", "--detach", &commit], cancel)?;
        }
    }
    submodules(dest, cancel)?;
    let heads = fs::read_to_string(dest.join(".git/FETCH_HEAD")).unwrap_or_default();
    Ok(version
        .filter(|version| heads.contains(&format!("branch '{version}' of")))
        .map(str::to_owned))
}

fn submodules(dest: &Path, cancel: &CancellationToken) -> Result<()> {
    if !dest.join(".gitmodules").is_file() {
        return Ok(());
    }
    let git = Git::at(dest);
    git.run(
        "Fetching submodules",
        &["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"],
        cancel,
    )
    .or_else(|_| {
        git.run(
            "Fetching submodules",
            &["submodule", "--quiet", "update", "--init", "--recursive"],
            cancel,
        )
    })
    .map(drop)
}
