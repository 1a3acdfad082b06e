//! Where the files of a model version are.

use cairn_core::{ArtifactPath, LoggedModelId, RunId};
use rusqlite::OptionalExtension as _;

use super::source::ModelSource;
use crate::{ReadTx, Result};

/// A place where files may be: an artifact URI, and the folder below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    /// What [`crate::artifacts::ArtifactTree::locate`] finds.
    pub uri: String,
    /// The folder below it.
    pub below: ArtifactPath,
}

impl ReadTx<'_> {
    /// The places where the files of a version may be, the likeliest first; at least one.
    ///
    /// A `runs:/` source means the files of that run or, as in MLflow 3, those of the logged model
    /// that the run made under the name of the path. Whatever else is in the row is answered as it
    /// stands there, and is only opened if it lies in the store.
    pub fn model_version_places(&self, name: &str, version: i64) -> Result<Vec<FilePlace>> {
        let uri = self.model_version_download_uri(name, version)?;
        match ModelSource::parse(&uri) {
            Ok(ModelSource::Run(run, below)) => {
                let model = self.model_of_run(&run, &below)?;
                let run = FilePlace { uri: self.run_info(&run)?.artifact_uri, below };
                let model = model.map(|uri| FilePlace { uri, below: ArtifactPath::root() });
                Ok([Some(run), model].into_iter().flatten().collect())
            }
            Ok(ModelSource::LoggedModel(id)) => {
                Ok(vec![FilePlace { uri: self.location_of(&id)?, below: ArtifactPath::root() }])
            }
            _ => Ok(vec![FilePlace { uri, below: ArtifactPath::root() }]),
        }
    }

    fn location_of(&self, id: &LoggedModelId) -> Result<String> {
        Ok(self.logged_model(id, false)?.artifact_location)
    }

    /// The location of the latest logged model that a run made under a name.
    fn model_of_run(&self, run: &RunId, name: &ArtifactPath) -> Result<Option<String>> {
        if !self.shape.has_logged_models {
            return Ok(None);
        }
        let found = self
            .connection
            .prepare_cached(
                "SELECT artifact_location FROM logged_models WHERE source_run_id = ?1 \
                 AND name = ?2 AND lifecycle_stage = 'active' \
                 ORDER BY creation_timestamp_ms DESC, model_id LIMIT 1",
            )?
            .query_row([run.as_str(), name.as_str()], |row| row.get(0))
            .optional()?;
        Ok(found)
    }
}
