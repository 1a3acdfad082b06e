//! What a person changes about runs: all of it in one transaction, and each change with the way back.

use cairn_core::RunId;
use cairn_store::{Result, WriteTx, experiments::Tag, runs::RunUpdate};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    app::App,
    dto::{CommandError, ErrorCode},
    errors,
    runs::parse_run,
};

/// Runs that one edit changes at most.
const MAX_RUNS: usize = 100_000;

/// The tag of a run that a person marked with a star; its value is [`STARRED`].
pub(crate) const STAR: &str = "cairn.star";
/// The value of [`STAR`].
pub(crate) const STARRED: &str = "1";

/// One change, of one run or of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum RunEdit {
    /// Gives it another name; an empty one is refused.
    Rename {
        /// The new name.
        name: String,
    },
    /// Sets a tag, also over another value.
    SetTag {
        /// The tag.
        key: String,
        /// Its new value.
        value: String,
    },
    /// Takes a tag away; runs without it stay as they are.
    RemoveTag {
        /// The tag.
        key: String,
    },
    /// Moves it to the trash.
    Delete,
    /// Brings it back from the trash.
    Restore,
}

/// A change and the runs that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct RunsEdit {
    /// 32 hexadecimal digits each.
    pub run_ids: Vec<String>,
    /// What changes.
    pub edit: RunEdit,
}

/// Changes to be made in this order, all or none.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct RunsEdits {
    /// The changes.
    pub edits: Vec<RunsEdit>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RunsEdited {
    /// How many runs are not as they were.
    pub changed: u32,
    /// What brings everything back, to be given to `runs.edit`.
    pub undo: Vec<RunsEdit>,
}

/// Makes the changes in one transaction.
pub(crate) async fn edit(
    app: &App,
    args: RunsEdits,
) -> std::result::Result<RunsEdited, CommandError> {
    let store = app.store()?;
    let count: usize = args.edits.iter().map(|edit| edit.run_ids.len()).sum();
    if count > MAX_RUNS {
        return Err(CommandError::new(
            ErrorCode::InvalidInput,
            format!("{count} runs are too many for one change; {MAX_RUNS} are the most"),
        )
        .with_hint("Select fewer runs, for example by a filter."));
    }
    let mut edits = Vec::with_capacity(args.edits.len());
    for RunsEdit { run_ids, edit } in args.edits {
        if matches!(&edit, RunEdit::Rename { name } if name.trim().is_empty()) {
            return Err(CommandError::new(ErrorCode::InvalidInput, "A run needs a name"));
        }
        let ids = run_ids.iter().map(|id| parse_run(id));
        edits.push((ids.collect::<std::result::Result<Vec<RunId>, _>>()?, edit));
    }
    store
        .write(move |tx| {
            let mut undo = Undo::default();
            for (ids, edit) in &edits {
                for id in ids {
                    if let Some(back) = apply(tx, id, edit)? {
                        undo.note(id, back);
                    }
                }
            }
            Ok(undo.finish())
        })
        .await
        .map_err(errors::store_error)
}

/// Makes one change of one run; what takes it back, `None` if nothing had to be changed.
fn apply(tx: &mut WriteTx<'_>, id: &RunId, edit: &RunEdit) -> Result<Option<RunEdit>> {
    Ok(match edit {
        RunEdit::Rename { name } => {
            let before = tx.run_info(id)?.run_name;
            let name = name.trim().to_owned();
            if before == name {
                return Ok(None);
            }
            tx.update_run(id, &RunUpdate { run_name: Some(name), ..RunUpdate::default() })?;
            // A run of an old file may have had none, which cannot be given back.
            (!before.is_empty()).then_some(RunEdit::Rename { name: before })
        }
        RunEdit::SetTag { key, value } => {
            let before = tag(tx, id, key)?;
            if before.as_ref() == Some(value) {
                return Ok(None);
            }
            tx.set_tag(id, &Tag { key: key.clone(), value: value.clone() })?;
            let key = key.clone();
            Some(match before {
                Some(value) => RunEdit::SetTag { key, value },
                None => RunEdit::RemoveTag { key },
            })
        }
        RunEdit::RemoveTag { key } => {
            let Some(value) = tag(tx, id, key)? else { return Ok(None) };
            tx.delete_tag(id, key)?;
            Some(RunEdit::SetTag { key: key.clone(), value })
        }
        RunEdit::Delete => is_moved(tx, id, false)?.then_some(RunEdit::Restore),
        RunEdit::Restore => is_moved(tx, id, true)?.then_some(RunEdit::Delete),
    })
}

/// Moves a run into the trash or out of it; whether it was not there yet.
fn is_moved(tx: &mut WriteTx<'_>, id: &RunId, to_active: bool) -> Result<bool> {
    let is_active = tx.run_info(id)?.lifecycle_stage == cairn_core::LifecycleStage::Active;
    match to_active {
        _ if is_active == to_active => return Ok(false),
        true => tx.restore_run(id)?,
        false => tx.delete_run(id)?,
    }
    Ok(true)
}

fn tag(tx: &WriteTx<'_>, id: &RunId, key: &str) -> Result<Option<String>> {
    Ok(tx.tags(id)?.into_iter().find(|tag| tag.key == key).map(|tag| tag.value))
}

/// Gathers the ways back: equal ones of many runs are one.
#[derive(Default)]
struct Undo {
    edits: Vec<RunsEdit>,
    changed: std::collections::HashSet<RunId>,
}

impl Undo {
    fn note(&mut self, id: &RunId, edit: RunEdit) {
        self.changed.insert(id.clone());
        // What is taken back is taken back from the end: only neighbours may be joined.
        match self.edits.last_mut() {
            Some(last) if last.edit == edit => last.run_ids.push(id.to_string()),
            _ => self.edits.push(RunsEdit { run_ids: vec![id.to_string()], edit }),
        }
    }

    fn finish(mut self) -> RunsEdited {
        self.edits.reverse();
        RunsEdited { changed: self.changed.len() as u32, undo: self.edits }
    }
}
