//! The tag in which clients before MLflow 3 note the models of a run.

use cairn_core::{Invalid, RunId};
use serde_json::{Map, Value};

use crate::{Change, Result, RunFacets, WriteTx};

/// The tag: a JSON list of models.
const HISTORY_TAG: &str = "mlflow.log-model.history";
/// The most bytes of the tag. MLflow has no limit, and never shortens it, since half a list is none.
const MAX_BYTES: usize = 1 << 20;

impl WriteTx<'_> {
    /// Appends a model, a JSON object, to the history of a run.
    ///
    /// Errors: [`crate::StoreError::Invalid`] when the run is deleted, when its history is not a
    /// list, or when it would become longer than 1 MiB.
    pub fn record_model(&mut self, id: &RunId, model: Map<String, Value>) -> Result<()> {
        let experiment_id = self.require_active_run(id)?;
        let tags = self.tags(id)?;
        let old = tags.iter().find(|tag| tag.key == HISTORY_TAG).map_or("[]", |tag| &tag.value);
        let mut history: Vec<Value> = serde_json::from_str(old).map_err(|_| {
            Invalid::new(format!("The tag '{HISTORY_TAG}' of run '{id}' is not a list of models."))
        })?;
        history.push(Value::Object(model));
        let value = serde_json::to_string(&history).expect("a JSON tree is always JSON");
        if value.len() > MAX_BYTES {
            return Err(Invalid::new(format!(
                "The tag '{HISTORY_TAG}' of run '{id}' is full: it holds at most 1 MiB."
            ))
            .into());
        }
        self.put_tag(id, HISTORY_TAG, &value)?;
        self.changed(Change::Run(experiment_id, id.clone(), RunFacets::TAGS));
        Ok(())
    }
}
