//! Did a rerun reproduce its original? Two runs' records in, a report out.
//!
//! [`compare`] is pure: it sees what [`read::read`] brought from the tracking server and touches
//! nothing. What a rerun necessarily changes does not count: run ids, times, `system/` metrics,
//! artifacts below `cairn/`, tags. Child runs are paired and compared like their parents.
//!
//! The verdict is about outcomes only (how the runs ended, metrics, artifacts). What went in
//! (parameters, code, packages, data) explains a difference and is ranked in [`Report::causes`].

use cairn_runtime::capital;
use serde::{Deserialize, Serialize};

mod artifacts;
mod causes;
mod environment;
pub mod facts;
pub mod html;
mod metrics;
mod pairs;
pub mod read;

pub use artifacts::{ArtifactComparison, ArtifactOutcome};
pub use causes::{Cause, CauseKind};
pub use environment::{EnvironmentComparison, FactDifference, PackageDifference};
pub use facts::RunFacts;
pub use metrics::{MetricComparison, MetricOutcome, Tolerances};

/// The version of the report's JSON; a reader refuses a higher one.
pub const REPORT_VERSION: u32 = 1;

/// Where the report lies among the artifacts of the new run.
pub const REPORT_JSON: &str = "cairn/reproduction.json";
/// The same for people, one file without scripts.
pub const REPORT_HTML: &str = "cairn/reproduction.html";
/// The tag of the new run that holds the verdict's text.
pub const VERDICT_TAG: &str = "cairn.reproduction.verdict";
/// The tag of the new run that names the run it repeats.
pub const RERUN_OF_TAG: &str = "cairn.rerun.of";

/// What a rerun proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// Every metric is equal to the last bit, and every artifact is the same but for ids and times.
    #[serde(rename = "reproduced")]
    Reproduced,
    /// Every metric is within its tolerance; something is not equal.
    #[serde(rename = "within tolerance")]
    WithinTolerance,
    /// A metric is out of its tolerance, something is missing, or the runs ended differently.
    #[serde(rename = "differs")]
    Differs,
}

impl Verdict {
    /// The words of the tag and of the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::WithinTolerance => "within tolerance",
            Self::Differs => "differs",
        }
    }

    /// Reads the words of the tag; `None` for others.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reproduced, Self::WithinTolerance, Self::Differs]
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }

    /// Whether `cairn rerun --check` ends with 0.
    pub fn is_success(self) -> bool {
        self != Self::Differs
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run, named for a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLabel {
    /// Its id.
    pub run_id: String,
    /// Its name; empty when it has none.
    pub name: String,
    /// Its experiment.
    pub experiment_id: String,
    /// `FINISHED`, `FAILED`, `KILLED`, `RUNNING`.
    pub status: String,
    /// When it began, in milliseconds since 1970.
    pub start_ms: i64,
    /// When it ended; `None` while it runs.
    pub end_ms: Option<i64>,
}

/// The reproduction report: the content of `cairn/reproduction.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// The run that was repeated.
    pub original: RunLabel,
    /// The run that repeats it.
    pub rerun: RunLabel,
    /// What the rerun proved.
    pub verdict: Verdict,
    /// The verdict's reason in one sentence.
    pub summary: String,
    /// What was allowed to differ, and by how much.
    pub tolerances: Tolerances,
    /// Why the outcomes differ, the likeliest first. Also filled when they do not: then it lists
    /// what changed without an effect.
    pub causes: Vec<Cause>,
    /// The two runs, and below them their child runs, parents before children.
    pub runs: Vec<RunComparison>,
    /// Interpreter, packages, platform.
    pub environment: EnvironmentComparison,
    /// The code.
    pub code: CodeComparison,
    /// Files that were parameters of type path.
    pub data: Vec<DataComparison>,
    /// What could not be compared, one sentence each.
    pub unknown: Vec<String>,
}

/// One pair of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunComparison {
    /// Empty for the runs themselves; `train`, `train 2` for their children.
    pub label: String,
    /// The original's side; `None` when only the rerun has such a child.
    pub original: Option<RunLabel>,
    /// The rerun's side; `None` when the child is missing there.
    pub rerun: Option<RunLabel>,
    /// Of this pair alone.
    pub verdict: Verdict,
    /// By name, differing ones first.
    pub metrics: Vec<MetricComparison>,
    /// Only those that differ, by name.
    pub params: Vec<FactDifference>,
    /// Parameters that are the same.
    pub same_params: usize,
    /// By path, differing ones first.
    pub artifacts: Vec<ArtifactComparison>,
}

/// What is known about the code of both runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeComparison {
    /// The commit of the original; `None` when it is not known.
    pub original_commit: Option<String>,
    /// The commit of the rerun.
    pub rerun_commit: Option<String>,
    /// Whether both ran the same files; `None` when that is not known.
    pub is_same: Option<bool>,
    /// Files that differ, by path.
    pub files: Vec<FileDifference>,
    /// Whether a changed line is about a seed.
    pub touches_seed: bool,
}

/// A file of the code that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDifference {
    /// Its path in the repository or project.
    pub path: String,
    /// What happened to it.
    pub change: FileChange,
    /// Lines that are new; 0 when it is not text.
    pub added_lines: usize,
    /// Lines that are gone.
    pub removed_lines: usize,
}

/// What happened to a file from the original to the rerun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileChange {
    /// Only the rerun has it.
    Added,
    /// Only the original has it.
    Removed,
    /// Both have it, with other content.
    Changed,
}

/// A data file named by a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataComparison {
    /// The parameter.
    pub param: String,
    /// Where the original read it.
    pub original_path: Option<String>,
    /// Where the rerun read it.
    pub rerun_path: Option<String>,
    /// SHA-256 at the original's time.
    pub original_digest: Option<String>,
    /// SHA-256 at the rerun's time.
    pub rerun_digest: Option<String>,
    /// Bytes at the original's time.
    pub original_size: Option<u64>,
    /// Bytes at the rerun's time.
    pub rerun_size: Option<u64>,
    /// Whether the content is the same; `None` when one side is not known.
    pub is_same: Option<bool>,
}

/// Compares a rerun with its original.
///
/// `code` is what [`read::read_code`] found out; everything else is in the two records.
pub fn compare(
    original: &RunFacts,
    rerun: &RunFacts,
    code: CodeComparison,
    tolerances: &Tolerances,
    created_ms: i64,
) -> Report {
    let ids = Ids::of(original, rerun);
    let mut runs = Vec::new();
    for pair in pairs::pair(original, rerun, &ids) {
        runs.push(compare_pair(&pair, &ids, tolerances));
    }
    let environment = environment::compare(original, rerun);
    let data = compare_data(original, rerun);
    let verdict = runs.iter().map(|run| run.verdict).max().unwrap_or(Verdict::Reproduced);
    let causes = causes::rank(&causes::Inputs {
        verdict,
        original,
        rerun,
        runs: &runs,
        environment: &environment,
        code: &code,
        data: &data,
    });
    let mut unknown: Vec<String> =
        original.notes.iter().chain(&rerun.notes).cloned().collect::<Vec<_>>();
    if code.is_same.is_none() {
        unknown
            .push("The code of one of the runs is not known, so it was not compared.".to_owned());
    }
    if !environment.is_known {
        unknown.push(
            "The packages of one of the runs are not recorded, so they were not compared."
                .to_owned(),
        );
    }
    unknown.dedup();
    Report {
        version: REPORT_VERSION,
        created_ms,
        original: original.label.clone(),
        rerun: rerun.label.clone(),
        verdict,
        summary: summary(verdict, &runs),
        tolerances: tolerances.clone(),
        causes,
        runs,
        environment,
        code,
        data,
        unknown,
    }
}

/// The ids of a run and all its children, which texts of either side may hold.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    original: Vec<String>,
    rerun: Vec<String>,
}

impl Ids {
    fn of(original: &RunFacts, rerun: &RunFacts) -> Self {
        fn collect(run: &RunFacts, into: &mut Vec<String>) {
            into.push(run.label.run_id.clone());
            run.children.iter().for_each(|child| collect(child, into));
        }
        let mut ids = Self::default();
        collect(original, &mut ids.original);
        collect(rerun, &mut ids.rerun);
        ids
    }

    fn mask_original(&self, text: &str) -> String {
        mask(text, &self.original)
    }

    fn mask_rerun(&self, text: &str) -> String {
        mask(text, &self.rerun)
    }

    /// A parameter's value without what every run makes anew.
    fn param_of_original(&self, text: &str) -> String {
        mask(lasting(text), &self.original)
    }

    fn param_of_rerun(&self, text: &str) -> String {
        mask(lasting(text), &self.rerun)
    }
}

/// A path in a folder for temporary files without that folder, which is another one each time.
fn lasting(value: &str) -> &str {
    let is_temporary = ["/tmp/", "/var/tmp/", "/var/folders/", "/private/var/folders/"]
        .iter()
        .any(|folder| value.starts_with(folder))
        || (value.starts_with('/') && value.contains("/launches/"));
    match value.rsplit_once('/') {
        Some((_, name)) if is_temporary && !name.is_empty() => name,
        _ => value,
    }
}

/// Puts `<run id>` in the place of every id of the family; other text stays as it is.
fn mask(text: &str, ids: &[String]) -> String {
    const LENGTH: usize = 32;
    let bytes = text.as_bytes();
    let mut masked = String::with_capacity(text.len());
    let (mut from, mut at) = (0, 0);
    while at + LENGTH <= bytes.len() {
        let is_id = bytes[at].is_ascii_hexdigit()
            && bytes[at..at + LENGTH].iter().all(u8::is_ascii_hexdigit)
            && ids.iter().any(|id| id.as_bytes() == &bytes[at..at + LENGTH]);
        if is_id {
            masked.push_str(&text[from..at]);
            masked.push_str("<run id>");
            at += LENGTH;
            from = at;
        } else {
            at += 1;
        }
    }
    masked.push_str(&text[from..]);
    masked
}

fn compare_pair(pair: &pairs::Pair<'_>, ids: &Ids, tolerances: &Tolerances) -> RunComparison {
    let (Some(original), Some(rerun)) = (pair.original, pair.rerun) else {
        return RunComparison {
            label: pair.label.clone(),
            original: pair.original.map(|run| run.label.clone()),
            rerun: pair.rerun.map(|run| run.label.clone()),
            verdict: Verdict::Differs,
            metrics: Vec::new(),
            params: Vec::new(),
            same_params: 0,
            artifacts: Vec::new(),
        };
    };
    let metrics = metrics::compare(&original.metrics, &rerun.metrics, tolerances);
    let artifacts = artifacts::compare(original, rerun, ids, tolerances);
    let (params, same_params) = compare_params(original, rerun, ids);
    let by_metrics = metrics.iter().map(|metric| metric.outcome.verdict()).max();
    let has_metrics = by_metrics.is_some();
    let by_artifacts = artifacts.iter().map(|artifact| artifact.outcome.verdict(has_metrics)).max();
    let by_status = if original.label.status == rerun.label.status {
        Verdict::Reproduced
    } else {
        Verdict::Differs
    };
    RunComparison {
        label: pair.label.clone(),
        original: Some(original.label.clone()),
        rerun: Some(rerun.label.clone()),
        verdict: [Some(by_status), by_metrics, by_artifacts]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(Verdict::Reproduced),
        metrics,
        params,
        same_params,
        artifacts,
    }
}

fn compare_params(
    original: &RunFacts,
    rerun: &RunFacts,
    ids: &Ids,
) -> (Vec<FactDifference>, usize) {
    // A file counts by its content, wherever it lies.
    let is_same_file = |name: &String| {
        let digest = |run: &RunFacts| run.data.get(name).and_then(|data| data.digest.clone());
        matches!((digest(original), digest(rerun)), (Some(before), Some(after)) if before == after)
    };
    let (original, rerun) = (&original.params, &rerun.params);
    let mut differences = Vec::new();
    let mut same = 0;
    let mut names: Vec<&String> = original.keys().chain(rerun.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (before, after) = (original.get(name), rerun.get(name));
        let masked = (
            before.map(|text| ids.param_of_original(text)),
            after.map(|text| ids.param_of_rerun(text)),
        );
        if masked.0 == masked.1 || is_same_file(name) {
            same += 1;
        } else {
            differences.push(FactDifference {
                name: name.clone(),
                original: before.cloned(),
                rerun: after.cloned(),
            });
        }
    }
    (differences, same)
}

fn compare_data(original: &RunFacts, rerun: &RunFacts) -> Vec<DataComparison> {
    let mut names: Vec<&String> = original.data.keys().chain(rerun.data.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|param| {
            let (before, after) = (original.data.get(param), rerun.data.get(param));
            DataComparison {
                param: param.clone(),
                original_path: before.map(|data| data.path.clone()),
                rerun_path: after.map(|data| data.path.clone()),
                original_digest: before.and_then(|data| data.digest.clone()),
                rerun_digest: after.and_then(|data| data.digest.clone()),
                original_size: before.and_then(|data| data.size_bytes),
                rerun_size: after.and_then(|data| data.size_bytes),
                is_same: before
                    .and_then(|data| data.digest.as_ref())
                    .zip(after.and_then(|data| data.digest.as_ref()))
                    .map(|(before, after)| before == after),
            }
        })
        .collect()
}

/// Why the verdict is what it is, in one sentence.
fn summary(verdict: Verdict, runs: &[RunComparison]) -> String {
    let metrics = || runs.iter().flat_map(|run| &run.metrics);
    let artifacts = || runs.iter().flat_map(|run| &run.artifacts);
    let (all_metrics, all_artifacts) = (metrics().count(), artifacts().count());
    let missing = runs.iter().filter(|run| run.original.is_none() || run.rerun.is_none()).count();
    let ended = runs.iter().find_map(|run| {
        let (original, rerun) = (run.original.as_ref()?, run.rerun.as_ref()?);
        (original.status != rerun.status).then(|| (original.status.clone(), rerun.status.clone()))
    });
    let children = match runs.len().saturating_sub(1) {
        0 => String::new(),
        1 => " of the run and its child run".to_owned(),
        n => format!(" of the run and its {n} child runs"),
    };
    match verdict {
        _ if all_metrics + all_artifacts == 0 && verdict == Verdict::Reproduced => {
            "Both ended the same way; neither logged metrics or artifacts, so nothing else could be compared."
                .to_owned()
        }
        Verdict::Reproduced => format!(
            "{}{children} {} the same.",
            counted_both(all_metrics, all_artifacts),
            if all_metrics + all_artifacts == 1 { "is" } else { "are" }
        ),
        Verdict::WithinTolerance => {
            let unequal = metrics().filter(|metric| metric.outcome != MetricOutcome::Equal).count();
            let changed = artifacts()
                .filter(|artifact| artifact.outcome.verdict(true) != Verdict::Reproduced)
                .count();
            match (unequal, changed) {
                (0, changed) => format!(
                    "All metrics are equal; the content of {} differs.",
                    counted(changed, "artifact")
                ),
                (unequal, 0) => format!(
                    "{} not equal, but within tolerance.",
                    is_are(unequal, "metric")
                ),
                (unequal, changed) => format!(
                    "{} not equal, but within tolerance; the content of {} differs.",
                    is_are(unequal, "metric"),
                    counted(changed, "artifact")
                ),
            }
        }
        Verdict::Differs => {
            let out =
                metrics().filter(|metric| metric.outcome.verdict() == Verdict::Differs).count();
            let gone = artifacts()
                .filter(|artifact| artifact.outcome.verdict(all_metrics > 0) == Verdict::Differs)
                .count();
            let mut parts = Vec::new();
            if let Some((original, rerun)) = ended {
                parts.push(format!("the original ended {original}, the rerun {rerun}"));
            }
            if missing > 0 {
                parts.push(format!("{} without a counterpart", is_are(missing, "child run")));
            }
            if out > 0 {
                parts.push(format!("{} out of tolerance or missing", is_are(out, "metric")));
            }
            if gone > 0 {
                parts.push(format!(
                    "{} {} or missing",
                    counted(gone, "artifact"),
                    if gone == 1 { "differs" } else { "differ" }
                ));
            }
            let text = capital(&parts.join("; "));
            if text.is_empty() { text } else { text + "." }
        }
    }
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn is_are(n: usize, what: &str) -> String {
    format!("{} {}", counted(n, what), if n == 1 { "is" } else { "are" })
}

fn counted_both(metrics: usize, artifacts: usize) -> String {
    match (metrics, artifacts) {
        (0, n) => counted(n, "artifact"),
        (n, 0) => counted(n, "metric"),
        (m, a) => format!("{} and {}", counted(m, "metric"), counted(a, "artifact")),
    }
}

#[cfg(test)]
mod tests;
