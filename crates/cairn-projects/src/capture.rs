//! What a run was started from: the code as it lay there, and everything else that makes it repeatable.
//!
//! The code is kept as one commit without parents, in a git bundle. It is made with an index and an object
//! folder of Cairn's own, so that the person's repository, its index, branches and files stay as they are;
//! a folder without git is treated the same way. Secrets, big files and what git ignores are left out, and
//! said to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cairn_runtime::{CancellationToken, environment::EnvironmentLock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{ProjectError, Result};
use crate::git::{Git, objects_folder, without_credentials};

/// The artifact with the [`Capture`].
pub const CAPTURE_ARTIFACT: &str = "cairn/capture.json";
/// The artifact with the code.
pub const BUNDLE_ARTIFACT: &str = "cairn/source.bundle";
/// The artifact with the environment's lock.
pub const LOCK_ARTIFACT: &str = "cairn/environment.lock.txt";

/// The branch in a bundle.
const BRANCH: &str = "refs/heads/cairn";
/// A file that is larger is data, not code.
const MAX_FILE_BYTES: u64 = 10 << 20;
/// All captured files together; above it only the project's own folder is captured, then nothing.
const MAX_TREE_BYTES: u64 = 64 << 20;
/// So many files are captured that git does not know.
const MAX_UNTRACKED: usize = 20_000;
/// So many names are listed of each kind.
const MAX_LISTED: usize = 500;
/// Inputs that are smaller altogether are read before the run starts, others after it.
const QUICK_INPUT_BYTES: u64 = 32 << 20;
/// So many files of a folder are read.
const MAX_INPUT_FILES: usize = 20_000;

/// What to do when a bundle is not the one that was captured.
const DAMAGED: &str =
    "The artifact was changed or is incomplete; run the project from its folder instead.";

/// What belongs to nobody's code, for folders without a `.gitignore`.
const NOT_CODE: [&str; 14] = [
    ".git/",
    "__pycache__/",
    "*.pyc",
    ".venv/",
    "venv/",
    "node_modules/",
    "mlruns/",
    "mlartifacts/",
    "mlflow.db*",
    ".ipynb_checkpoints/",
    ".DS_Store",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
];

/// All that is known about how a run was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The shape of this record; 1.
    pub version: u32,
    /// What was asked for: the URI as it was given.
    pub uri: String,
    /// The entry point or script.
    pub entry_point: String,
    /// Every parameter with the value it had, defaults included.
    pub params: BTreeMap<String, String>,
    /// The parameters that were given, in their order; the others were defaults.
    pub given: Vec<(String, String)>,
    /// The command as a shell reads it.
    pub command: String,
    /// The code; `None` when it could not be captured, and `notes` says why.
    pub source: Option<SourceCapture>,
    /// The environment.
    pub environment: EnvironmentCapture,
    /// The machine.
    pub platform: PlatformCapture,
    /// Files and folders that were given as parameters of type `path`.
    pub inputs: Vec<InputCapture>,
    /// Parameters that look like the start of random numbers.
    pub seeds: BTreeMap<String, String>,
    /// SHA-256 of the project's own files, as consent is given to it.
    pub content_hash: String,
    /// What is not in the capture, in sentences.
    pub notes: Vec<String>,
}

/// The code of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCapture {
    /// Whether the folder was in a git repository.
    pub is_git: bool,
    /// The commit that was checked out.
    pub commit: Option<String>,
    /// The address of the first remote, without names and passwords.
    pub remote: Option<String>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// The captured commit, which has no parents; equal code has equal ones.
    pub captured_commit: String,
    /// Its tree. Two runs with the same tree ran the same code.
    pub captured_tree: String,
    /// The folder of the project in it; empty for its root.
    pub subfolder: String,
    /// Whether only the project's folder was captured, since the repository is large.
    pub is_partial: bool,
    /// Files that differ from the commit, those that git did not know included; at most 500.
    pub changed: Vec<ChangedFile>,
    /// How many differ.
    pub changed_count: usize,
    /// Files that are not in the bundle; at most 500.
    pub left_out: Vec<LeftOut>,
    /// The size of the bundle.
    pub bundle_bytes: u64,
}

/// A file that differed from the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// From the repository's root on.
    pub path: String,
    /// `A` new, `M` changed, `D` removed, `T` of another kind.
    pub status: char,
}

/// A file that was not captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// From the repository's root on.
    pub path: String,
    /// Why.
    pub why: LeftOutReason,
}

/// Why a file was not captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// Its name is one that secrets have.
    Secret,
    /// It is larger than 10 MiB.
    TooLarge,
    /// There are too many files that git does not know.
    TooMany,
    /// It is a repository of its own; only its commit is noted.
    Submodule,
}

/// The environment of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentCapture {
    /// `python`, `conda`, `container` or `local`.
    pub kind: String,
    /// Who made it, in MLflow's words.
    pub manager: String,
    /// The name of its folder, as in the tag `cairn.environment`.
    pub name: Option<String>,
    /// SHA-256 of the lock that lies beside this record.
    pub lock_sha256: Option<String>,
    /// Python's version.
    pub python: Option<String>,
    /// The image of a container.
    pub image: Option<String>,
    /// The files that describe it, with the SHA-256 of each.
    pub files: BTreeMap<String, String>,
}

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformCapture {
    /// `linux`, `macos`.
    pub os: String,
    /// `x86_64`, `aarch64`.
    pub arch: String,
    /// The kernel's version.
    pub kernel: Option<String>,
    /// The processor's name.
    pub processor: Option<String>,
    /// Cairn's version.
    pub cairn: String,
}

/// Data that a parameter named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCapture {
    /// The parameter.
    pub param: String,
    /// Where it was.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// All files together.
    pub size_bytes: u64,
    /// The latest change of a file, milliseconds since 1970.
    pub modified_ms: i64,
    /// SHA-256 of the file, or of a list of the folder's files with theirs; `None` until it is known, or when it was
    /// changed during the run.
    pub sha256: Option<String>,
}

/// The code of a project, gathered and not yet packed.
#[derive(Debug)]
struct SourceTree {
    /// What will be recorded; the size of the bundle is not known yet.
    capture: SourceCapture,
    /// A repository of Cairn's own that holds the commit.
    repository: PathBuf,
}

/// What git says about a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GitFacts {
    /// The root of the working tree; `None` outside git.
    pub root: Option<PathBuf>,
    /// The commit that is checked out; `None` before the first one.
    pub commit: Option<String>,
    /// The address of the first remote, without names and passwords.
    pub remote: Option<String>,
    /// The branch that is checked out.
    pub branch: Option<String>,
    /// Whether the folder is one that its repository ignores: then no commit says anything about it.
    pub is_ignored: bool,
}

impl GitFacts {
    /// Asks git, several questions at a time.
    pub(crate) fn of(folder: &Path) -> Self {
        // Saves starting git at all in most folders without it.
        if !folder.ancestors().any(|ancestor| ancestor.join(".git").exists()) {
            return Self::default();
        }
        let git = Git::at(folder);
        std::thread::scope(|scope| {
            let root = scope.spawn(|| git.ask(&["rev-parse", "--show-toplevel"]));
            let commit = scope.spawn(|| git.ask(&["rev-parse", "--verify", "--quiet", "HEAD"]));
            let ignored = scope.spawn(|| {
                let arguments = ["check-ignore".as_ref(), "--".as_ref(), folder.as_os_str()];
                git.ask(&arguments).is_some()
            });
            let branch = scope.spawn(|| git.ask(&["symbolic-ref", "--quiet", "--short", "HEAD"]));
            let remote = git.ask(&["config", "--get-regexp", r"^remote\..*\.url$"]);
            let remote = remote.and_then(|lines| {
                let (_, url) = lines.lines().next()?.split_once(' ')?;
                Some(without_credentials(url))
            });
            let root = root.join().ok().flatten().map(PathBuf::from);
            let is_known = root.is_some();
            let is_ignored = ignored.join().unwrap_or_default();
            Self {
                root,
                is_ignored,
                // As MLflow has it.
                commit: commit.join().ok().flatten().filter(|_| !is_ignored),
                branch: branch.join().ok().flatten(),
                remote: remote.filter(|_| is_known),
            }
        })
    }
}

impl SourceTree {
    /// Gathers the code of a folder into a repository at `repository`, which must not exist.
    ///
    /// Errors: [`ProjectError::Tool`] when git is missing or fails, [`ProjectError::Source`] when the folder is too
    /// large, [`ProjectError::Cancelled`].
    fn gather(
        folder: &Path,
        facts: &GitFacts,
        repository: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let root = facts.root.clone().unwrap_or_else(|| folder.to_owned());
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let subfolder = real
            .strip_prefix(&root)
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default();
        let gathering = Gathering { root: &root, facts, repository, cancel };
        gathering.begin()?;
        let (found, is_partial) = match gathering.tree("", &subfolder)? {
            Some(found) => (found, false),
            None if !subfolder.is_empty() => {
                let found = gathering.tree(&subfolder, &subfolder)?;
                (found.ok_or_else(|| too_large(folder))?, true)
            }
            None => return Err(too_large(folder)),
        };
        let Found { tree, left_out, changed } = found;
        let captured_commit = gathering.commit(&tree)?;
        let changed_count = changed.len();
        Ok(Self {
            capture: SourceCapture {
                is_git: facts.root.is_some(),
                commit: facts.commit.clone(),
                remote: facts.remote.clone(),
                branch: facts.branch.clone(),
                captured_commit,
                captured_tree: tree,
                subfolder,
                is_partial,
                changed: changed.into_iter().take(MAX_LISTED).collect(),
                changed_count,
                left_out: left_out.into_iter().take(MAX_LISTED).collect(),
                bundle_bytes: 0,
            },
            repository: repository.to_owned(),
        })
    }

    /// Writes the bundle, and removes the repository that it was made from.
    pub(crate) fn pack(
        mut self,
        bundle: &Path,
        cancel: &CancellationToken,
    ) -> Result<SourceCapture> {
        let git = Git::at(&self.repository);
        let arguments = [
            "bundle".as_ref(),
            "create".as_ref(),
            "--quiet".as_ref(),
            bundle.as_os_str(),
            BRANCH.as_ref(),
        ];
        git.run("Packing the code", &arguments, cancel)?;
        self.capture.bundle_bytes =
            fs::metadata(bundle).map_err(ProjectError::io("reading", bundle))?.len();
        // Of no use any more; what stays is inside the launch's own folder.
        let _ = fs::remove_dir_all(&self.repository);
        Ok(self.capture)
    }
}

/// Captures the code of a folder into a bundle in `work`, a folder of its own that is made if it is missing.
///
/// The person's files, their index, branches and objects stay as they are. Answers what was captured, and the
/// bundle's path.
///
/// Errors: [`ProjectError::Tool`] when git is missing or fails, [`ProjectError::Source`] when the folder is too large,
/// [`ProjectError::Cancelled`].
pub fn capture_code(
    folder: &Path,
    work: &Path,
    cancel: &CancellationToken,
) -> Result<(SourceCapture, PathBuf)> {
    pack(folder, &GitFacts::of(folder), work, cancel)
}

/// Like [`capture_code`], for a folder that git was asked about already.
pub(crate) fn pack(
    folder: &Path,
    facts: &GitFacts,
    work: &Path,
    cancel: &CancellationToken,
) -> Result<(SourceCapture, PathBuf)> {
    fs::create_dir_all(work).map_err(ProjectError::io("creating", work))?;
    let repository = work.join("capture.git");
    let bundle = work.join("source.bundle");
    let none = GitFacts::default();
    let facts = if facts.is_ignored { &none } else { facts };
    let packed = SourceTree::gather(folder, facts, &repository, cancel)
        .and_then(|tree| tree.pack(&bundle, cancel));
    if packed.is_err() {
        let _ = fs::remove_dir_all(&repository);
    }
    packed.map(|source| (source, bundle))
}

/// Puts captured code into a folder, which must not exist or be empty; the project's folder in it.
///
/// Errors: [`ProjectError::Tool`] when the bundle is broken or is not the captured one, [`ProjectError::Io`].
pub fn restore(
    bundle: &Path,
    source: &SourceCapture,
    dest: &Path,
    cancel: &CancellationToken,
) -> Result<PathBuf> {
    const WHAT: &str = "Restoring the captured code";
    fs::create_dir_all(dest).map_err(ProjectError::io("creating", dest))?;
    let format = if source.captured_commit.len() == 64 { "sha256" } else { "sha1" };
    let git = Git::at(dest);
    git.run(
        WHAT,
        &["init", "--quiet", "--template=", &format!("--object-format={format}")],
        cancel,
    )?;
    let arguments =
        ["fetch".as_ref(), "--quiet".as_ref(), "--".as_ref(), bundle.as_os_str(), BRANCH.as_ref()];
    git.run(WHAT, &arguments, cancel).map_err(|error| match error {
        // Git's own words are of packs and objects.
        ProjectError::Tool { what, detail, .. } => {
            ProjectError::Tool { what, detail, hint: Some(DAMAGED.to_owned()) }
        }
        other => other,
    })?;
    // Git checks that what it fetched is what its ids say.
    let expected =
        [("FETCH_HEAD", &source.captured_commit), ("FETCH_HEAD^{tree}", &source.captured_tree)];
    for (what, recorded) in expected {
        let came = git.ask(&["rev-parse", "--verify", "--quiet", what]);
        if came.as_deref() != Some(recorded) {
            return Err(ProjectError::Tool {
                what: WHAT.to_owned(),
                detail: format!(
                    "the bundle holds {}, and {recorded} was captured",
                    came.unwrap_or_else(|| "nothing".to_owned()),
                ),
                hint: Some(DAMAGED.to_owned()),
            });
        }
    }
    git.run(WHAT, &["checkout", "--quiet", "--detach", "FETCH_HEAD"], cancel)?;
    if source.subfolder.is_empty() {
        return Ok(dest.to_owned());
    }
    let folder = dest.join(&source.subfolder);
    let is_inside = Path::new(&source.subfolder)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if is_inside && folder.is_dir() {
        return Ok(folder);
    }
    Err(ProjectError::source(
        format!("The captured code has no folder \"{}\"", source.subfolder),
        "Run the project from its folder instead.",
    ))
}

/// Reads the lock that was kept with a run, and sees to it that it is the one that was captured.
pub(crate) fn recorded_lock(text: &str, captured: &EnvironmentCapture) -> Result<EnvironmentLock> {
    let came = hex(&Sha256::digest(text));
    let recorded = captured.lock_sha256.as_deref();
    if recorded != Some(&came) {
        return Err(ProjectError::Tool {
            what: "Restoring the environment".to_owned(),
            detail: format!(
                "the lock that is kept has the digest {came}, and {} was captured",
                recorded.unwrap_or("none")
            ),
            hint: Some(
                "The artifact was changed or is incomplete; run with today's environment instead."
                    .to_owned(),
            ),
        });
    }
    Ok(EnvironmentLock::parse(text)?)
}

/// Whether a name is that of a seed, which begins random numbers: `seed`, `random_state`, `np_seed`, `randomSeed`, `rng`.
pub fn is_seed(name: &str) -> bool {
    let mut words = Vec::new();
    for part in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut word = String::new();
        for c in part.chars() {
            if c.is_ascii_uppercase() && word.ends_with(|last: char| last.is_ascii_lowercase()) {
                words.push(std::mem::take(&mut word));
            }
            word.push(c);
        }
        words.push(word);
    }
    let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    words.iter().any(|word| matches!(word.as_str(), "seed" | "seeds" | "rng" | "randomstate"))
        || words.windows(2).any(|pair| pair[0] == "random" && pair[1] == "state")
}

/// Whether a file's name is one that secrets have: keys, tokens, passwords.
pub fn is_secret(path: &str) -> bool {
    const NAMES: [&str; 16] = [
        ".env",
        ".envrc",
        ".netrc",
        ".pgpass",
        ".pypirc",
        ".npmrc",
        ".git-credentials",
        ".htpasswd",
        "credentials",
        "credentials.json",
        "client_secret.json",
        "service-account.json",
        "kaggle.json",
        "secrets.toml",
        "secrets.yaml",
        "secrets.yml",
    ];
    const ENDINGS: [&str; 9] =
        [".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".gpg"];
    const FOLDERS: [&str; 4] = [".ssh", ".aws", ".gnupg", ".azure"];
    let lower = path.to_lowercase();
    let mut parts = lower.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let is_template =
        [".example", ".sample", ".template", ".dist"].iter().any(|end| name.ends_with(end));
    !is_template
        && (NAMES.contains(&name)
            || name.starts_with(".env.")
            || name.starts_with("id_rsa")
            || name.starts_with("id_dsa")
            || name.starts_with("id_ecdsa")
            || name.starts_with("id_ed25519")
            || ENDINGS.iter().any(|end| name.ends_with(end))
            || parts.any(|folder| FOLDERS.contains(&folder)))
}

impl PlatformCapture {
    /// This machine; reads two small files and starts nothing.
    pub(crate) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let processor = read("/proc/cpuinfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            processor,
            cairn: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl InputCapture {
    /// Looks at a file or folder: size and time, and its digest when that is quick.
    pub(crate) fn of(param: &str, path: &Path) -> io::Result<Self> {
        let data = fs::metadata(path)?;
        let (size_bytes, modified_ms) = extent(path)?;
        let mut input = Self {
            param: param.to_owned(),
            path: path.to_owned(),
            is_folder: data.is_dir(),
            size_bytes,
            modified_ms,
            sha256: None,
        };
        if size_bytes <= QUICK_INPUT_BYTES {
            input.sha256 = Some(digest(path)?);
        }
        Ok(input)
    }

    /// Fills in a digest that took too long before the run, if the data is as it was then.
    pub(crate) fn complete(&mut self) {
        if self.sha256.is_some() {
            return;
        }
        if let Ok(extent) = extent(&self.path)
            && extent == (self.size_bytes, self.modified_ms)
        {
            self.sha256 = digest(&self.path).ok();
        }
    }
}

/// SHA-256 of a file, or of a folder's list of `<digest>  <path>` lines in order of their paths.
pub fn digest(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_dir() {
        return file_digest(path);
    }
    let mut list = Sha256::new();
    for file in files_below(path)? {
        let digest = file_digest(&file)?;
        list.update(digest.as_bytes());
        list.update(b"  ");
        list.update(file.strip_prefix(path).unwrap_or(&file).as_os_str().as_bytes());
        list.update(b"\n");
    }
    Ok(hex(&list.finalize()))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn file_digest(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// Size of all files, and the latest change.
fn extent(path: &Path) -> io::Result<(u64, i64)> {
    let files =
        if fs::metadata(path)?.is_dir() { files_below(path)? } else { vec![path.to_owned()] };
    let mut extent = (0, 0);
    for file in files {
        let data = fs::metadata(&file)?;
        let modified = data.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        extent = (extent.0 + data.len(), extent.1.max(modified.as_millis() as i64));
    }
    Ok(extent)
}

/// The files below a folder in order of their paths; links are not followed.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
            if found.len() > MAX_INPUT_FILES {
                return Err(io::Error::other("the folder holds too many files"));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn too_large(folder: &Path) -> ProjectError {
    ProjectError::source(
        format!("The code in {} is larger than {} MiB", folder.display(), MAX_TREE_BYTES >> 20),
        "Let git ignore data and results (.gitignore), and the code is kept with the next run.",
    )
}

/// The tree of a folder, and what is to be said about it.
struct Found {
    tree: String,
    left_out: Vec<LeftOut>,
    changed: Vec<ChangedFile>,
}

struct Gathering<'a> {
    root: &'a Path,
    facts: &'a GitFacts,
    repository: &'a Path,
    cancel: &'a CancellationToken,
}

impl Gathering<'_> {
    /// Makes the repository, which borrows the objects of the person's.
    fn begin(&self) -> Result<()> {
        fs::create_dir_all(self.repository)
            .map_err(ProjectError::io("creating", self.repository))?;
        let is_sha256 = self.facts.commit.as_ref().is_some_and(|commit| commit.len() == 64);
        let format = if is_sha256 { "sha256" } else { "sha1" };
        Git::at(self.repository).run(
            "Making a folder for the code",
            &["init", "--quiet", "--bare", "--template=", &format!("--object-format={format}")],
            self.cancel,
        )?;
        if self.facts.root.is_some()
            && let Some(objects) = objects_folder(self.root)
        {
            let info = self.repository.join("objects/info");
            fs::create_dir_all(&info).map_err(ProjectError::io("creating", &info))?;
            let alternates = info.join("alternates");
            fs::write(&alternates, format!("{}\n", objects.display()))
                .map_err(ProjectError::io("writing", &alternates))?;
        }
        Ok(())
    }

    /// git on the person's files, with the index and the objects of Cairn's own repository.
    fn git(&self) -> Git {
        Git::at(self.root)
            .with("GIT_DIR", self.repository)
            .with("GIT_WORK_TREE", self.root)
            .with("GIT_INDEX_FILE", self.repository.join("index"))
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        self.git().run("Capturing the code", arguments, self.cancel)
    }

    /// The tree of what lies below a folder; `None` when it is too large.
    fn tree(&self, within: &str, project: &str) -> Result<Option<Found>> {
        let index = self.repository.join("index");
        let _ = fs::remove_file(&index);
        let scope = if within.is_empty() { "." } else { within };
        if let Some(commit) = &self.facts.commit {
            // Their index knows when files were last looked at, which saves reading all of them.
            let theirs = Git::at(self.root).ask(&[
                "rev-parse",
                "--path-format=absolute",
                "--git-path",
                "index",
            ]);
            let is_copied = theirs.is_some_and(|theirs| fs::copy(theirs, &index).is_ok());
            if !is_copied {
                self.run(&["read-tree", commit])?;
            }
            self.run(&["add", "--update", "--ignore-errors", "--", "."])?;
        }
        let mut left_out = Vec::new();
        self.add_untracked(scope, project, &mut left_out)?;
        let size = self.remove_unwanted(within, &mut left_out)?;
        if size > MAX_TREE_BYTES {
            return Ok(None);
        }
        let tree = String::from_utf8_lossy(&self.run(&["write-tree"])?).trim().to_owned();
        let changed = match &self.facts.commit {
            Some(commit) => self.changed(commit, &tree, within, &left_out)?,
            None => Vec::new(),
        };
        Ok(Some(Found { tree, left_out, changed }))
    }

    /// Adds what git does not know yet and does not ignore.
    fn add_untracked(&self, scope: &str, project: &str, left_out: &mut Vec<LeftOut>) -> Result<()> {
        let mut arguments = vec!["ls-files", "--others", "--exclude-standard", "-z"];
        for pattern in NOT_CODE {
            arguments.extend(["--exclude", pattern]);
        }
        // With exclude-standard the person's own info/exclude is not read, since the repository is another.
        let own = Git::at(self.root).ask(&[
            "rev-parse",
            "--path-format=absolute",
            "--git-path",
            "info/exclude",
        ]);
        let own = own.filter(|path| self.facts.root.is_some() && Path::new(path).is_file());
        if let Some(own) = &own {
            arguments.extend(["--exclude-from", own]);
        }
        arguments.extend(["--", scope]);
        let listed = self.run(&arguments)?;
        let mut input = Vec::new();
        let mut count = 0;
        let mut bytes = 0;
        let mut names: Vec<&[u8]> =
            listed.split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
        // Those of the project come first when there are too many.
        names.sort_by_key(|name| !name.starts_with(project.as_bytes()));
        for name in names {
            let path = String::from_utf8_lossy(name).into_owned();
            let mut leave = |why| left_out.push(LeftOut { path: path.clone(), why });
            // A repository inside this one.
            if name.ends_with(b"/") {
                leave(LeftOutReason::Submodule);
                continue;
            }
            let Ok(data) = fs::symlink_metadata(self.root.join(std::ffi::OsStr::from_bytes(name)))
            else {
                continue;
            };
            if is_secret(&path) {
                leave(LeftOutReason::Secret);
            } else if data.len() > MAX_FILE_BYTES {
                leave(LeftOutReason::TooLarge);
            } else if count == MAX_UNTRACKED || bytes + data.len() > MAX_TREE_BYTES {
                leave(LeftOutReason::TooMany);
            } else {
                count += 1;
                bytes += data.len();
                input.extend_from_slice(name);
                input.push(0);
            }
        }
        if count > 0 {
            self.git().run_with_input(
                "Capturing the code",
                &["update-index", "--add", "-z", "--stdin"],
                Some(input),
                self.cancel,
            )?;
        }
        Ok(())
    }

    /// Takes secrets, big files and what is outside of `within` out of the index; the size of the rest.
    fn remove_unwanted(&self, within: &str, left_out: &mut Vec<LeftOut>) -> Result<u64> {
        let staged = self.run(&["ls-files", "--stage", "-z"])?;
        let mut entries = Vec::new();
        let mut input = Vec::new();
        for entry in staged.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()) {
            // `<mode> <object> <stage>\t<path>`
            let Some(tab) = entry.iter().position(|&byte| byte == b'\t') else { continue };
            let head = String::from_utf8_lossy(&entry[..tab]).into_owned();
            let mut head = head.split(' ');
            let (mode, object) = (head.next().unwrap_or_default(), head.next().unwrap_or_default());
            input.extend_from_slice(object.as_bytes());
            input.push(b'\n');
            entries.push((mode == "160000", &entry[tab + 1..]));
        }
        let sizes = self.git().run_with_input(
            "Capturing the code",
            &["cat-file", "--batch-check=%(objectsize)", "--buffer"],
            Some(input),
            self.cancel,
        )?;
        let sizes = String::from_utf8_lossy(&sizes).into_owned();
        let mut total = 0;
        let mut removed = Vec::new();
        for ((is_submodule, name), size) in entries.into_iter().zip(sizes.lines()) {
            let path = String::from_utf8_lossy(name).into_owned();
            let size: u64 = size.parse().unwrap_or_default();
            let why = if is_submodule {
                Some(LeftOutReason::Submodule)
            } else if is_secret(&path) {
                Some(LeftOutReason::Secret)
            } else if size > MAX_FILE_BYTES {
                Some(LeftOutReason::TooLarge)
            } else {
                None
            };
            let is_outside = !within.is_empty() && !Path::new(&path).starts_with(within);
            if let Some(why) = why
                && !is_outside
            {
                left_out.push(LeftOut { path, why });
            }
            if why.is_some() || is_outside {
                removed.extend_from_slice(name);
                removed.push(0);
            } else {
                total += size;
            }
        }
        if !removed.is_empty() {
            self.git().run_with_input(
                "Capturing the code",
                &["update-index", "--force-remove", "-z", "--stdin"],
                Some(removed),
                self.cancel,
            )?;
        }
        Ok(total)
    }

    fn changed(
        &self,
        commit: &str,
        tree: &str,
        within: &str,
        left_out: &[LeftOut],
    ) -> Result<Vec<ChangedFile>> {
        let output =
            self.run(&["diff-tree", "-r", "-z", "--no-renames", "--name-status", commit, tree])?;
        let left_out: BTreeSet<&str> = left_out.iter().map(|left| left.path.as_str()).collect();
        let mut fields = output.split(|&byte| byte == 0);
        let mut changed = Vec::new();
        while let (Some(status), Some(path)) = (fields.next(), fields.next()) {
            let path = String::from_utf8_lossy(path).into_owned();
            let is_inside = within.is_empty() || Path::new(&path).starts_with(within);
            // What was left out is not removed by the person.
            if is_inside && !left_out.contains(path.as_str()) {
                let status = status.first().map_or('M', |&byte| char::from(byte));
                changed.push(ChangedFile { path, status });
            }
        }
        Ok(changed)
    }

    /// One commit without parents, at the same moment always: equal trees have equal commits.
    fn commit(&self, tree: &str) -> Result<String> {
        let git = [
            ("GIT_AUTHOR_NAME", "Cairn"),
            ("GIT_AUTHOR_EMAIL", "capture@localhost"),
            ("GIT_AUTHOR_DATE", "@0 +0000"),
            ("GIT_COMMITTER_NAME", "Cairn"),
            ("GIT_COMMITTER_EMAIL", "capture@localhost"),
            ("GIT_COMMITTER_DATE", "@0 +0000"),
        ]
        .into_iter()
        .fold(self.git(), |git, (name, value)| git.with(name, value));
        let arguments =
            ["-c", "commit.gpgSign=false", "commit-tree", "-m", "The code as a run found it", tree];
        let commit = git.run("Capturing the code", &arguments, self.cancel)?;
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        let reference = self.repository.join(BRANCH);
        if let Some(folder) = reference.parent() {
            fs::create_dir_all(folder).map_err(ProjectError::io("creating", folder))?;
        }
        fs::write(&reference, format!("{commit}\n"))
            .map_err(ProjectError::io("writing", &reference))?;
        Ok(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_not_the_captured_one_is_refused() {
        let text = EnvironmentLock::parse("a==1\n").unwrap().to_string();
        let captured = |lock_sha256: Option<String>| EnvironmentCapture {
            lock_sha256,
            ..EnvironmentCapture::default()
        };
        let recorded = EnvironmentLock::parse(&text).unwrap().sha256();
        assert!(recorded_lock(&text, &captured(Some(recorded.clone()))).is_ok());
        for (text, captured) in [
            (text.replace("a==1", "a==2"), captured(Some(recorded.clone()))),
            (text[..text.len() - 1].to_owned(), captured(Some(recorded))),
            (text, captured(None)),
        ] {
            let error = recorded_lock(&text, &captured).unwrap_err();
            assert!(error.to_string().starts_with("Restoring the environment failed"), "{error}");
            assert!(error.hint().unwrap().contains("changed or is incomplete"));
        }
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in [
            ".env",
            "a/.env.local",
            "keys/server.pem",
            "id_rsa",
            "b/ID_ED25519",
            ".aws/config",
            "credentials.json",
            ".netrc",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for other in
            [".env.example", "environment.py", "monkey.py", "train.py", "keys.md", "credentials.py"]
        {
            assert!(!is_secret(other), "{other}");
        }
    }

    #[test]
    fn seeds_are_known_by_their_names() {
        let seeds = [
            "seed",
            "SEED",
            "random_state",
            "RANDOM_SEED",
            "split-seed",
            "np-seed",
            "randomSeed",
            "data.seed",
            "rng",
        ];
        for name in seeds {
            assert!(is_seed(name), "{name}");
        }
        for name in ["seedling_count", "state", "random_forest", "alpha", "proceed"] {
            assert!(!is_seed(name), "{name}");
        }
    }
}
