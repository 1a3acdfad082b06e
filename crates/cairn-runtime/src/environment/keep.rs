//! Which environments there are, who needs them, and removing those that nobody does.

use std::collections::HashSet;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::build::now_ms;
use super::{
    Environment, EnvironmentKind, EnvironmentSpec, Environments, LOCK, MARKER, SPEC, read,
};
use crate::error::{Result, RuntimeError};
use crate::launch::Launches;
use crate::{CancellationToken, Progress};

/// How many uses are listed of one environment, the newest.
const LISTED_USES: usize = 50;

/// One run that an environment was made ready for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentUse {
    /// The run.
    pub run_id: String,
    /// The folder of the store that the run is in, when it is one of this computer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// An environment in a list.
#[derive(Debug, Clone)]
pub struct EnvironmentInfo {
    /// The name of its folder, which stands for it.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// How it was made; `None` for a folder that is not whole.
    pub kind: Option<EnvironmentKind>,
    /// One line for people.
    pub summary: String,
    /// Python's version.
    pub python: Option<String>,
    /// How many packages are in it.
    pub packages: usize,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: i64,
    /// The room its files take, each counted once.
    pub size_bytes: u64,
    /// The part of it that nothing else holds: what removing it frees.
    pub own_bytes: u64,
    /// When a run last used it; when it was made, if none did.
    pub last_used_ms: i64,
    /// The runs that used it, the newest first, at most 50.
    pub used_by: Vec<EnvironmentUse>,
    /// How many uses there were in all.
    pub uses: usize,
    /// Whether it must be made again before it can be used: its Python or part of it is gone.
    pub is_broken: bool,
    /// Whether a process runs in it now.
    pub is_in_use: bool,
    /// Whether it can be made again exactly.
    pub has_lock: bool,
}

/// All environments.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentList {
    /// Those that were used last come first.
    pub environments: Vec<EnvironmentInfo>,
    /// The room of all, files that several share counted once.
    pub total_bytes: u64,
}

/// Which environments may go.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Only those that no run used for so long.
    pub unused_for: Duration,
    /// Environments that are needed all the same, by name: those of active launches.
    pub needed: HashSet<String>,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { unused_for: Duration::from_hours(24 * 30), needed: HashSet::new() }
    }
}

/// An environment that stays, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Why, as a clause: `a run used it 2 days ago`.
    pub because: String,
}

/// What pruning did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// The ones that go.
    pub removed: Vec<EnvironmentInfo>,
    /// The ones that stay.
    pub kept: Vec<Kept>,
    /// What that frees.
    pub freed_bytes: u64,
}

impl Environments {
    /// Notes that a run uses an environment. Call it before the run starts: pruning then knows.
    ///
    /// Errors: [`RuntimeError::Io`].
    pub fn note_use(&self, environment: &Environment, used: &EnvironmentUse) -> Result<()> {
        self.prepare_root()?;
        let path = self.uses_file(environment.name());
        let mut line = serde_json::to_string(used).expect("text is always JSON");
        line.push('\n');
        // One write at the end of the file: several runs may do so at a time.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(RuntimeError::io("writing", path))
    }

    fn uses_file(&self, name: &str) -> PathBuf {
        self.root.join(".uses").join(format!("{name}.jsonl"))
    }

    fn uses(&self, name: &str) -> Vec<EnvironmentUse> {
        let text = std::fs::read_to_string(self.uses_file(name)).unwrap_or_default();
        let mut uses: Vec<EnvironmentUse> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        uses.sort_by_key(|used| std::cmp::Reverse(used.at_ms));
        uses
    }

    /// All environments. Looks at every file of each for its size, so it is not for the async threads.
    pub fn list(&self) -> EnvironmentList {
        let busy = folders_in_use(&self.root);
        let mut all = HashSet::new();
        let mut total_bytes = 0;
        let mut environments: Vec<EnvironmentInfo> = self
            .names()
            .into_iter()
            .filter_map(|name| {
                let folder = self.root.join(&name);
                folder.is_dir().then(|| {
                    let mut room = Room::default();
                    room.add(&folder, &mut all);
                    total_bytes += room.new;
                    self.info(name, folder, &room, &busy)
                })
            })
            .collect();
        environments.sort_by_key(|info| std::cmp::Reverse(info.last_used_ms));
        EnvironmentList { environments, total_bytes }
    }

    fn info(
        &self,
        name: String,
        folder: PathBuf,
        room: &Room,
        busy: &HashSet<PathBuf>,
    ) -> EnvironmentInfo {
        let environment = read(&folder);
        let uses = self.uses(&name);
        let marker = environment.as_ref().map(|environment| &environment.marker);
        let made_ms = marker.map_or_else(|| modified_ms(&folder), |marker| marker.made_ms);
        EnvironmentInfo {
            kind: marker.map(|marker| marker.kind),
            summary: marker.map_or_else(
                || "Not whole: making it was interrupted".to_owned(),
                |m| m.summary.clone(),
            ),
            python: marker.and_then(|marker| marker.python.clone()),
            packages: marker.map_or(0, |marker| marker.packages),
            made_ms,
            size_bytes: room.whole,
            own_bytes: room.own,
            last_used_ms: uses.first().map_or(made_ms, |used| used.at_ms.max(made_ms)),
            uses: uses.len(),
            used_by: uses.into_iter().take(LISTED_USES).collect(),
            is_broken: !environment.as_ref().is_some_and(Environment::is_whole),
            is_in_use: busy.contains(&folder),
            has_lock: folder.join(LOCK).is_file(),
            name,
            folder,
        }
    }

    /// The names of environments that launches which have not ended run in.
    ///
    /// Errors: [`RuntimeError::Io`] when the launches cannot be read; then nothing should be removed.
    pub fn needed_by(&self, launches: &Launches) -> Result<HashSet<String>> {
        let mut needed = HashSet::new();
        for launch in launches.active()? {
            let Some(child) = launch.child() else { continue };
            let folders =
                ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|key| child.env.get(*key));
            for folder in folders.chain(child.argv.first()) {
                let inside = Path::new(folder).strip_prefix(&self.root).ok();
                let first = inside.and_then(|inside| inside.components().next());
                needed.extend(first.and_then(|name| name.as_os_str().to_str()).map(str::to_owned));
            }
        }
        Ok(needed)
    }

    /// What [`Environments::prune`] would do; removes nothing.
    pub fn prune_plan(&self, options: &PruneOptions) -> Pruned {
        let now = now_ms();
        let mut plan = Pruned::default();
        for info in self.list().environments {
            if let Some(because) = self.reason_to_keep(&info, options, now) {
                plan.kept.push(Kept { name: info.name, because });
            } else {
                plan.freed_bytes += info.own_bytes;
                plan.removed.push(info);
            }
        }
        plan
    }

    fn reason_to_keep(
        &self,
        info: &EnvironmentInfo,
        options: &PruneOptions,
        now: i64,
    ) -> Option<String> {
        if info.is_in_use {
            return Some("a program runs in it".to_owned());
        }
        if options.needed.contains(&info.name) {
            return Some("a run that has not ended needs it".to_owned());
        }
        let digest = info.name.rsplit('-').next().unwrap_or_default();
        if !matches!(self.try_lock(digest), Ok(Some(_))) {
            return Some("it is being made".to_owned());
        }
        let age_ms = u64::try_from(now - info.last_used_ms).unwrap_or(0);
        if u128::from(age_ms) < options.unused_for.as_millis() {
            let what = if info.uses > 0 { "a run used it" } else { "it was made" };
            return Some(format!("{what} {}", ago(age_ms)));
        }
        None
    }

    /// Removes what nobody needs; answers what was removed, and what stays and why.
    ///
    /// Errors: [`RuntimeError::Io`]; what was removed before stays removed.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        let mut plan = self.prune_plan(options);
        let mut removed = Vec::new();
        for info in std::mem::take(&mut plan.removed) {
            match self.remove(&info.name, &options.needed, false) {
                Ok(()) => removed.push(info),
                Err(RuntimeError::EnvironmentInUse { name, by }) => {
                    plan.freed_bytes -= info.own_bytes;
                    plan.kept.push(Kept { name, because: by });
                }
                Err(error) => return Err(error),
            }
        }
        plan.removed = removed;
        Ok(plan)
    }

    /// Removes one environment; `even_if_used` also when a program runs in it.
    ///
    /// Errors: [`RuntimeError::EnvironmentNotFound`], [`RuntimeError::EnvironmentInUse`],
    /// [`RuntimeError::Io`].
    pub fn remove(&self, name: &str, needed: &HashSet<String>, even_if_used: bool) -> Result<()> {
        let folder = self.existing(name)?;
        let in_use = |by: &str| {
            Err(RuntimeError::EnvironmentInUse { name: name.to_owned(), by: by.to_owned() })
        };
        if !even_if_used && folders_in_use(&self.root).contains(&folder) {
            return in_use("a program runs in it");
        }
        if !even_if_used && needed.contains(name) {
            return in_use("a run that has not ended needs it");
        }
        self.prepare_root()?;
        let digest = name.rsplit('-').next().unwrap_or_default();
        let Some(_lock) = self.try_lock(digest)? else {
            return in_use("it is being made");
        };
        self.discard(&folder)
    }

    /// Makes an environment again from its lock, in the same place and with the same name; the runs that used it
    /// are still known. Without a lock it is made from what it was made of.
    ///
    /// Errors: those of [`Environments::ensure`] and [`Environments::remove`]; the old one stays then.
    pub async fn rebuild(
        &self,
        name: &str,
        progress: Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Environment> {
        let folder = self.existing(name)?;
        if folders_in_use(&self.root).contains(&folder) {
            return Err(RuntimeError::EnvironmentInUse {
                name: name.to_owned(),
                by: "a program runs in it".to_owned(),
            });
        }
        let old = read(&folder);
        let spec_path = folder.join(SPEC);
        let spec: Option<EnvironmentSpec> =
            std::fs::read(&spec_path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let lock = old.as_ref().and_then(|environment| environment.lock().ok());
        let Some(mut from) = lock.map(EnvironmentSpec::of_lock).or_else(|| spec.clone()) else {
            return Err(RuntimeError::InvalidSpec(format!(
                "{name} cannot be made again: neither its lock nor what it was made of is there. Remove it; the \
                 next run that needs it makes it"
            )));
        };
        self.prepare_root()?;
        let digest = name.rsplit('-').next().unwrap_or_default();
        let _lock = self.lock(digest, progress, cancel).await?;
        if let Some(old) = &old {
            old.marker.name.clone_into(&mut from.name);
        }
        from.check()?;
        progress(&format!("Making {name} again: {}", from.summary()));
        let mut made = self.build(&from, &folder, progress, cancel).await?;
        // It stays what it was for those who look for it by what it was made of.
        if let (Some(old), Some(spec)) = (old, spec) {
            let marker = super::Marker {
                made_ms: made.marker.made_ms,
                lock_digest: made.marker.lock_digest.clone(),
                python: made.marker.python.clone(),
                packages: made.marker.packages,
                variables: made.marker.variables.clone(),
                ..old.marker
            };
            let write = |path: PathBuf, text: serde_json::Result<Vec<u8>>| {
                let text = text.expect("text is always JSON");
                std::fs::write(&path, text).map_err(RuntimeError::io("writing", path))
            };
            write(spec_path, serde_json::to_vec_pretty(&spec))?;
            write(folder.join(MARKER), serde_json::to_vec_pretty(&marker))?;
            made.marker = marker;
        }
        Ok(made)
    }

    fn existing(&self, name: &str) -> Result<PathBuf> {
        self.folder(name)
            .filter(|folder| folder.is_dir())
            .ok_or_else(|| RuntimeError::EnvironmentNotFound(name.to_owned()))
    }
}

fn modified_ms(path: &Path) -> i64 {
    std::fs::metadata(path).map_or(0, |data| data.mtime() * 1000)
}

/// `3 days ago`.
fn ago(age_ms: u64) -> String {
    let (count, unit) = match age_ms / 60_000 {
        0..60 => (age_ms / 60_000, "minute"),
        minutes @ 60..2_880 => (minutes / 60, "hour"),
        minutes => (minutes / 1_440, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// The room that files take on the disk.
#[derive(Debug, Default)]
struct Room {
    /// All of it.
    whole: u64,
    /// What nothing else holds.
    own: u64,
    /// What was not counted for another environment.
    new: u64,
}

impl Room {
    fn add(&mut self, folder: &Path, all: &mut HashSet<(u64, u64)>) {
        let mut seen = HashSet::new();
        let mut waiting = vec![folder.to_owned()];
        while let Some(folder) = waiting.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(data) = entry.metadata() else { continue };
                if data.is_dir() {
                    waiting.push(entry.path());
                }
                let bytes = data.blocks() * 512;
                let is_alone = data.is_dir() || data.nlink() == 1;
                let file = (data.dev(), data.ino());
                if is_alone || seen.insert(file) {
                    self.whole += bytes;
                }
                if is_alone {
                    self.own += bytes;
                }
                if is_alone || all.insert(file) {
                    self.new += bytes;
                }
            }
        }
    }
}

/// The folders below `root` that processes of this user run in.
fn folders_in_use(root: &Path) -> HashSet<PathBuf> {
    let mut found = HashSet::new();
    let real = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut note = |path: &Path| {
        let inside = path.strip_prefix(root).or_else(|_| path.strip_prefix(&real));
        if let Some(first) = inside.ok().and_then(|inside| inside.components().next()) {
            found.insert(root.join(first));
        }
    };
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return found;
    };
    for entry in entries.flatten() {
        let is_process =
            entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        if !is_process {
            continue;
        }
        // Its program as it was called: a Python of an environment is a link to one elsewhere.
        if let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) {
            let first = arguments.split(|&byte| byte == 0).next().unwrap_or_default();
            note(Path::new(&*String::from_utf8_lossy(first)));
        }
        if let Ok(variables) = std::fs::read(entry.path().join("environ")) {
            for variable in variables.split(|&byte| byte == 0) {
                let value = variable
                    .strip_prefix(b"VIRTUAL_ENV=")
                    .or_else(|| variable.strip_prefix(b"CONDA_PREFIX="));
                if let Some(value) = value {
                    note(Path::new(&*String::from_utf8_lossy(value)));
                }
            }
        }
    }
    found
}
