//! Reads what a report needs from a tracking server.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::Path,
};

use cairn_core::run::RunStatus;
use cairn_runtime::{
    CancellationToken,
    launch::CAUSE_TAG,
    tracking::{RunRecord, Tracking},
};

use super::{
    CodeComparison, FileChange, FileDifference, RunLabel,
    facts::{ArtifactFact, Content, DataFact, Point, RunFacts, look},
};
use crate::{
    capture::{BUNDLE_ARTIFACT, CAPTURE_ARTIFACT, Capture, LOCK_ARTIFACT, SourceCapture},
    error::{ProjectError, Result},
    git::Git,
};

/// Child runs that are read at most, in all.
const MAX_RUNS: usize = 500;
/// Artifacts of one run that are read at most.
const MAX_FILES: usize = 5_000;
/// Bytes of one artifact that are read at most; a larger one is compared by its size.
const MAX_FILE_BYTES: u64 = 8 << 30;
/// Bytes of a small text that are read at most.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Reads a run with all its children. `status` is put in the place of the run's own when the server
/// does not know the end yet, which is so in a launch's finish phase.
pub fn read(tracking: &Tracking, run_id: &str, status: Option<RunStatus>) -> Result<RunFacts> {
    let record = tracking.get_run(run_id)?;
    let mut budget = MAX_RUNS;
    let mut facts = one(tracking, record, &mut budget)?;
    if let Some(status) = status
        && facts.label.status == "RUNNING"
    {
        status.as_str().clone_into(&mut facts.label.status);
    }
    Ok(facts)
}

fn one(tracking: &Tracking, record: RunRecord, budget: &mut usize) -> Result<RunFacts> {
    *budget = budget.saturating_sub(1);
    let run_id = record.info.run_id.clone();
    let mut notes = Vec::new();
    let mut metrics = BTreeMap::new();
    for name in record.metrics.keys().filter(|name| !name.starts_with("system/")) {
        let mut history = tracking.metric_history(&run_id, name)?;
        history.sort_by_key(|point| (point.step, point.timestamp_ms));
        let points = history.iter().map(|point| Point { step: point.step, value: point.value });
        metrics.insert(name.clone(), points.collect());
    }
    let artifacts = artifacts(tracking, &run_id, &mut notes)?;
    let capture = capture(tracking, &run_id);
    let filter = format!("tags.mlflow.parentRunId = '{run_id}'");
    let mut records = tracking.search_runs(
        std::slice::from_ref(&record.info.experiment_id),
        &filter,
        MAX_RUNS,
    )?;
    records
        .sort_by(|a, b| (a.info.start_ms, &a.info.run_id).cmp(&(b.info.start_ms, &b.info.run_id)));
    let mut children = Vec::new();
    for child in records {
        if *budget == 0 {
            notes.push(format!("Only the first {MAX_RUNS} runs were compared."));
            break;
        }
        children.push(one(tracking, child, budget)?);
    }
    let tag = |name: &str| record.tags.get(name).cloned();
    Ok(RunFacts {
        label: RunLabel {
            run_id: run_id.clone(),
            name: record.info.name.clone(),
            experiment_id: record.info.experiment_id.clone(),
            status: record.info.status.as_str().to_owned(),
            start_ms: record.info.start_ms.unwrap_or_default(),
            end_ms: record.info.end_ms,
        },
        entry_point: what(&record.tags),
        lock: text(tracking, &run_id, LOCK_ARTIFACT),
        python: capture.as_ref().and_then(|capture| capture.environment.python.clone()),
        platform: capture.as_ref().map(platform).unwrap_or_default(),
        data: capture.as_ref().map(data).unwrap_or_default(),
        seeds: capture.as_ref().map(|it| it.seeds.keys().cloned().collect()).unwrap_or_default(),
        capture,
        end_cause: tag(CAUSE_TAG),
        tags: record.tags,
        params: record.params,
        metrics,
        artifacts,
        notes,
        children,
    })
}

/// The record of how a run was started; `None` when Cairn did not start it, or cannot read it.
pub(crate) fn capture(tracking: &Tracking, run_id: &str) -> Option<Capture> {
    serde_json::from_str(&text(tracking, run_id, CAPTURE_ARTIFACT)?).ok()
}

/// What a run did, in a word or two: the step of a pipeline, the trial of a sweep, the entry point, or for
/// `main` and for scripts the last part of where it came from.
fn what(tags: &BTreeMap<String, String>) -> Option<String> {
    let tag = |name: &str| tags.get(name).map(String::as_str);
    if let Some(step) = tag(crate::pipeline::STEP_TAG) {
        return Some(step.to_owned());
    }
    if let Some(number) = tag(crate::sweep::TRIAL_TAG) {
        return Some(format!("trial {number}"));
    }
    let source = tag("mlflow.source.name")
        .and_then(|source| source.trim_end_matches('/').rsplit(['/', '\\', '#']).next());
    match tag("mlflow.project.entryPoint") {
        Some("main") | None => source.or(tag("mlflow.project.entryPoint")).map(str::to_owned),
        Some(entry_point) => Some(entry_point.to_owned()),
    }
}

fn platform(capture: &Capture) -> BTreeMap<String, String> {
    let platform = &capture.platform;
    let facts = [
        ("system", Some(platform.os.clone())),
        ("architecture", Some(platform.arch.clone())),
        ("kernel", platform.kernel.clone()),
        ("processor", platform.processor.clone()),
        ("kind of environment", Some(capture.environment.kind.clone())),
        ("image", capture.environment.image.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn data(capture: &Capture) -> BTreeMap<String, DataFact> {
    let fact = |input: &crate::capture::InputCapture| DataFact {
        path: input.path.display().to_string(),
        digest: input.sha256.clone(),
        size_bytes: Some(input.size_bytes),
    };
    capture.inputs.iter().map(|input| (input.param.clone(), fact(input))).collect()
}

/// Reads a small artifact as text; `None` when there is none.
pub(crate) fn text(tracking: &Tracking, run_id: &str, path: &str) -> Option<String> {
    let mut text = String::new();
    let reader = tracking.download(run_id, path).ok()?;
    reader.take(MAX_TEXT_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

fn artifacts(
    tracking: &Tracking,
    run_id: &str,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, ArtifactFact>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in tracking.list_artifacts(run_id, &folder)? {
            if entry.path == "cairn" || entry.path.starts_with("cairn/") {
                continue;
            }
            if entry.is_folder {
                folders.push(entry.path);
                continue;
            }
            if found.len() == MAX_FILES {
                notes.push(format!("Only {MAX_FILES} artifacts of a run were compared."));
                return Ok(found);
            }
            let size_bytes = entry.size_bytes.unwrap_or_default();
            let fact = if size_bytes > MAX_FILE_BYTES {
                ArtifactFact { size_bytes, digest: None, content: Content::Opaque }
            } else {
                look(tracking.download(run_id, &entry.path)?)
                    .map_err(ProjectError::io("reading", &entry.path))?
            };
            found.insert(entry.path, fact);
        }
    }
    Ok(found)
}

/// Finds out what differs in the code of two runs. When both bundles are there they are put into one
/// repository in `work`, an empty or missing folder that is removed afterwards.
pub fn read_code(
    tracking: &Tracking,
    original: &RunFacts,
    rerun: &RunFacts,
    work: &Path,
) -> CodeComparison {
    let sources = |facts: &RunFacts| facts.capture.as_ref().and_then(|it| it.source.clone());
    let commit = |facts: &RunFacts, source: &Option<SourceCapture>| {
        source
            .as_ref()
            .and_then(|source| source.commit.clone())
            .or_else(|| facts.tags.get("mlflow.source.git.commit").cloned())
    };
    let (before, after) = (sources(original), sources(rerun));
    let mut code = CodeComparison {
        original_commit: commit(original, &before),
        rerun_commit: commit(rerun, &after),
        ..CodeComparison::default()
    };
    let hashes = |facts: &RunFacts| {
        facts
            .capture
            .as_ref()
            .map(|capture| capture.content_hash.clone())
            .filter(|it| !it.is_empty())
    };
    match (&before, &after) {
        (Some(before), Some(after)) if before.captured_tree == after.captured_tree => {
            code.is_same = Some(true);
        }
        (Some(before), Some(after)) => {
            code.is_same = Some(false);
            // Without the bundles it is still known that they differ.
            if bundles(tracking, original, rerun, work).is_ok() {
                list_files(&mut code, before, after, work);
            }
            let _ = fs::remove_dir_all(work);
        }
        _ => {
            // What mlflow run fetched from elsewhere is its commit and nothing else.
            let is_remote = original
                .tags
                .get("mlflow.source.name")
                .is_some_and(|name| !name.starts_with('/') && !name.starts_with("file:"));
            let is_clean = after.as_ref().is_some_and(|after| after.changed_count == 0);
            code.is_same = match (&code.original_commit, &code.rerun_commit) {
                (Some(before), Some(after)) if before != after => Some(false),
                (Some(_), Some(_)) if is_remote && is_clean => Some(true),
                _ => match (hashes(original), hashes(rerun)) {
                    (Some(before), Some(after)) => Some(before == after),
                    _ => None,
                },
            };
        }
    }
    // A restored copy has a commit of Cairn's own; the person's says more.
    if code.is_same == Some(true) && original.capture.is_some() {
        code.rerun_commit.clone_from(&code.original_commit);
    }
    code
}

fn bundles(tracking: &Tracking, original: &RunFacts, rerun: &RunFacts, work: &Path) -> Result<()> {
    const WHAT: &str = "Comparing the code";
    let cancel = CancellationToken::new();
    fs::create_dir_all(work).map_err(ProjectError::io("creating", work))?;
    let git = Git::at(work);
    git.run(WHAT, &["init", "--quiet", "--bare", "--template="], &cancel)?;
    for (facts, name) in [(original, "original"), (rerun, "rerun")] {
        let bundle = work.join(format!("{name}.bundle"));
        let mut file = fs::File::create(&bundle).map_err(ProjectError::io("writing", &bundle))?;
        let mut content = tracking.download(&facts.label.run_id, BUNDLE_ARTIFACT)?;
        io::copy(&mut content, &mut file).map_err(ProjectError::io("writing", &bundle))?;
        let arguments = [
            "fetch".as_ref(),
            "--quiet".as_ref(),
            "--".as_ref(),
            bundle.as_os_str(),
            "refs/heads/cairn".as_ref(),
        ];
        git.run(WHAT, &arguments, &cancel)?;
    }
    Ok(())
}

/// So many files are listed.
const MAX_LISTED: usize = 500;

fn list_files(
    code: &mut CodeComparison,
    before: &SourceCapture,
    after: &SourceCapture,
    work: &Path,
) {
    let git = Git::at(work);
    // The project may have moved in its repository: its own folder is compared then.
    let tree = |source: &SourceCapture| {
        if before.subfolder == after.subfolder {
            source.captured_tree.clone()
        } else {
            format!("{}:{}", source.captured_tree, source.subfolder)
        }
    };
    let (old, new) = (tree(before), tree(after));
    let numbers = git
        .ask(&["diff", "--no-ext-diff", "--no-renames", "--numstat", &old, &new, "--"])
        .unwrap_or_default();
    let names = git
        .ask(&["diff", "--no-ext-diff", "--no-renames", "--name-status", &old, &new, "--"])
        .unwrap_or_default();
    for (numbers, names) in numbers.lines().zip(names.lines()).take(MAX_LISTED) {
        let mut numbers = numbers.split('\t');
        let mut count = || numbers.next().and_then(|text| text.parse().ok()).unwrap_or_default();
        let (added_lines, removed_lines) = (count(), count());
        let Some((status, path)) = names.split_once('\t') else { continue };
        let change = match status {
            "A" => FileChange::Added,
            "D" => FileChange::Removed,
            _ => FileChange::Changed,
        };
        code.files.push(FileDifference {
            path: path.to_owned(),
            change,
            added_lines,
            removed_lines,
        });
    }
    if code.files.is_empty() {
        code.is_same = Some(true);
        return;
    }
    let lines = git
        .ask(&["diff", "--no-ext-diff", "--no-color", "--unified=0", &old, &new, "--"])
        .unwrap_or_default();
    code.touches_seed = changes_seed(&lines);
}

/// Whether what follows a seed's name in the removed lines is not what follows it in the added ones:
/// `random_state=seed` in a line that changed elsewhere is no change of a seed.
fn changes_seed(diff: &str) -> bool {
    let mut sides: [Vec<(String, String)>; 2] = [Vec::new(), Vec::new()];
    for line in diff.lines() {
        let side = match line.as_bytes() {
            [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => continue,
            [b'-', ..] => 0,
            [b'+', ..] => 1,
            _ => continue,
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut rest = &line[1..];
        while let Some(start) = rest.find(is_word) {
            let text = &rest[start..];
            let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
            let (word, after) = text.split_at(end);
            rest = after;
            if crate::is_seed(word) {
                let value = after.trim_start_matches([' ', '=', '(', ':', '"', '\'']);
                let value = value.split([',', ')', '#', ';', ' ', '"', '\'']).next();
                sides[side].push((word.to_owned(), value.unwrap_or_default().to_owned()));
            }
        }
    }
    for side in &mut sides {
        side.sort();
    }
    sides[0] != sides[1]
}

#[cfg(test)]
mod tests {
    use super::changes_seed;

    #[test]
    fn a_seed_changed_when_its_value_did() {
        let check = |diff: &str, expected| assert_eq!(changes_seed(diff), expected, "{diff}");
        check(
            "-split(x, size=0.25, random_state=seed)\n+split(x, size=0.3, random_state=seed)",
            false,
        );
        check("-np.random.seed(42)\n+np.random.seed(43)", true);
        check("-SEED = 1\n+SEED = 2", true);
        check("+torch.manual_seed(0)", true);
        check("--- a/seed.py\n+++ b/seed.py\n-x\n+y", false);
    }
}
