//! What runs read and made: datasets and logged models.

use cairn_core::{ExperimentId, Invalid, LoggedModelId, RunId, limits};
use rusqlite::{OptionalExtension as _, params};

use crate::{
    Change, ReadTx, Result, RunFacets, StoreError, WriteTx, experiments::Tag, sql::Sql,
    tx::random_bytes,
};

/// A dataset, named by experiment, name and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// Kind of source: `http`, `local`, `code` …
    pub source_type: String,
    /// The source, JSON text.
    pub source: String,
    /// The columns, JSON text.
    pub schema: Option<String>,
    /// The sizes, JSON text.
    pub profile: Option<String>,
}

/// A dataset that a run read, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetInput {
    /// Tags of the reading; `mlflow.data.context` says what for.
    pub tags: Vec<Tag>,
    /// What was read.
    pub dataset: Dataset,
}

/// What a run read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunInputs {
    /// Datasets, in order of logging.
    pub datasets: Vec<DatasetInput>,
    /// Logged models.
    pub models: Vec<LoggedModelId>,
}

/// A logged model that a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOutput {
    /// Which model.
    pub model_id: LoggedModelId,
    /// At which step.
    pub step: i64,
}

/// What a run made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunOutputs {
    /// Logged models.
    pub models: Vec<ModelOutput>,
}

/// A dataset that runs of an experiment read, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetSummary {
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// The name of the dataset.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// The tag `mlflow.data.context` of the reading.
    pub context: Option<String>,
}

impl ReadTx<'_> {
    /// The datasets that runs of some experiments read, each with each of its contexts once, by
    /// name, at most `limit`; none in files that have no tables for it.
    pub fn dataset_summaries(
        &self,
        experiments: &[ExperimentId],
        limit: usize,
    ) -> Result<Vec<DatasetSummary>> {
        if !self.shape.has_inputs {
            return Ok(Vec::new());
        }
        let mut sql = Sql::default();
        sql.push(
            "SELECT DISTINCT d.experiment_id, d.name, d.digest, t.value FROM datasets AS d \
             JOIN inputs AS i ON i.source_id = d.dataset_uuid AND i.source_type = 'DATASET' \
             LEFT JOIN input_tags AS t ON t.input_uuid = i.input_uuid \
             AND t.name = 'mlflow.data.context' WHERE d.experiment_id IN ",
        );
        sql.bind_list(experiments.iter().map(|id| id.0));
        sql.push(" ORDER BY d.experiment_id, d.name, d.digest, t.value LIMIT ");
        sql.bind(limit as i64);
        let mut statement = self.connection.prepare_cached(&sql.text)?;
        let rows = statement.query_map(sql.params(), |row| {
            Ok(DatasetSummary {
                experiment_id: ExperimentId(row.get(0)?),
                name: row.get(1)?,
                digest: row.get(2)?,
                context: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What a run read; empty in files that have no tables for it.
    pub fn run_inputs(&self, id: &RunId) -> Result<RunInputs> {
        if !self.shape.has_inputs {
            return Ok(RunInputs::default());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, \
             d.dataset_schema, d.dataset_profile \
             FROM inputs AS i JOIN datasets AS d ON d.dataset_uuid = i.source_id \
             WHERE i.destination_type = 'RUN' AND i.destination_id = ?1 \
             AND i.source_type = 'DATASET' ORDER BY i.rowid",
        )?;
        let rows = statement.query_map([id.as_str()], |row| {
            let dataset = Dataset {
                name: row.get(1)?,
                digest: row.get(2)?,
                source_type: row.get(3)?,
                source: row.get(4)?,
                schema: row.get(5)?,
                profile: row.get(6)?,
            };
            Ok((row.get::<_, String>(0)?, dataset))
        })?;
        let mut datasets = Vec::new();
        for row in rows {
            let (input, dataset) = row?;
            datasets.push(DatasetInput { tags: self.input_tags(&input)?, dataset });
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT destination_id FROM inputs WHERE source_type = 'RUN_INPUT' \
             AND source_id = ?1 AND destination_type = 'MODEL_INPUT' ORDER BY rowid",
        )?;
        let models = statement.query_map([id.as_str()], |row| row.get::<_, String>(0))?;
        let models = models.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(RunInputs {
            datasets,
            models: models.iter().filter_map(|model| model.parse().ok()).collect(),
        })
    }

    /// What a run made; empty in files that have no tables for it.
    pub fn run_outputs(&self, id: &RunId) -> Result<RunOutputs> {
        if !self.shape.has_input_steps {
            return Ok(RunOutputs::default());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT destination_id, step FROM inputs WHERE source_type = 'RUN_OUTPUT' \
             AND source_id = ?1 AND destination_type = 'MODEL_OUTPUT' ORDER BY rowid",
        )?;
        let rows = statement.query_map([id.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })?;
        let mut models = Vec::new();
        for row in rows {
            let (model, step) = row?;
            if let Ok(model_id) = model.parse() {
                models.push(ModelOutput { model_id, step });
            }
        }
        Ok(RunOutputs { models })
    }

    fn input_tags(&self, input: &str) -> Result<Vec<Tag>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, value FROM input_tags WHERE input_uuid = ?1 ORDER BY name",
        )?;
        let rows =
            statement.query_map([input], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTx<'_> {
    /// Notes what a run read. A dataset is read once per run: a second reading with another
    /// context is dropped, as MLflow does.
    pub fn log_inputs(
        &mut self,
        id: &RunId,
        datasets: &[DatasetInput],
        models: &[LoggedModelId],
    ) -> Result<()> {
        self.require(self.shape.has_inputs, "datasets", "2.4")?;
        let experiment_id = self.require_active_run(id)?;
        for input in datasets {
            let dataset = &input.dataset;
            limits::check_dataset(
                &dataset.name,
                &dataset.digest,
                &dataset.source,
                dataset.schema.as_deref(),
                dataset.profile.as_deref(),
            )?;
            for tag in &input.tags {
                limits::check_input_tag(&tag.key, &tag.value)?;
            }
            self.put_dataset_input(experiment_id, id, input)?;
        }
        for model in models {
            self.put_model_input(id, model)?;
        }
        self.changed(Change::Run(experiment_id, id.clone(), RunFacets::INPUTS));
        Ok(())
    }

    /// Notes models that a run made.
    ///
    /// Errors: [`StoreError::Conflict`] when the run made the model already.
    pub fn log_outputs(&mut self, id: &RunId, models: &[ModelOutput]) -> Result<()> {
        self.require(self.shape.has_input_steps, "logged models", "3.0")?;
        let experiment_id = self.require_active_run(id)?;
        if models.is_empty() {
            return Err(Invalid::missing("models").into());
        }
        for output in models {
            if !self.put_model_output(id, output)? {
                return Err(StoreError::Conflict(format!(
                    "The model '{}' is already an output of run '{id}'.",
                    output.model_id
                )));
            }
        }
        self.changed(Change::Run(experiment_id, id.clone(), RunFacets::INPUTS));
        Ok(())
    }

    /// Notes that a run read a dataset, with the tags of the first reading.
    pub(crate) fn put_dataset_input(
        &self,
        experiment_id: ExperimentId,
        id: &RunId,
        input: &DatasetInput,
    ) -> Result<()> {
        let dataset_uuid = self.dataset(experiment_id, &input.dataset)?;
        let input_uuid = uuid();
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, \
                 destination_type, destination_id) VALUES (?1, 'DATASET', ?2, 'RUN', ?3)",
            )?
            .execute([&input_uuid, &dataset_uuid, id.as_str()])?;
        if inserted == 1 {
            for tag in &input.tags {
                self.connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO input_tags (input_uuid, name, value) \
                         VALUES (?1, ?2, ?3)",
                    )?
                    .execute([&input_uuid, &tag.key, &tag.value])?;
            }
        }
        Ok(())
    }

    /// Notes that a run read a logged model.
    pub(crate) fn put_model_input(&self, id: &RunId, model: &LoggedModelId) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, \
                 destination_type, destination_id) \
                 VALUES (?1, 'RUN_INPUT', ?2, 'MODEL_INPUT', ?3)",
            )?
            .execute([&uuid(), id.as_str(), model.as_str()])?;
        Ok(())
    }

    /// Notes that a run made a logged model; `false` when that was known.
    pub(crate) fn put_model_output(&self, id: &RunId, output: &ModelOutput) -> Result<bool> {
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, \
                 destination_type, destination_id, step) \
                 VALUES (?1, 'RUN_OUTPUT', ?2, 'MODEL_OUTPUT', ?3, ?4)",
            )?
            .execute(params![uuid(), id.as_str(), output.model_id.as_str(), output.step])?;
        Ok(inserted == 1)
    }

    /// The id of a dataset, made if the experiment has none with this name and digest.
    fn dataset(&self, experiment: ExperimentId, dataset: &Dataset) -> Result<String> {
        let known = self
            .connection
            .prepare_cached(
                "SELECT dataset_uuid FROM datasets \
                 WHERE experiment_id = ?1 AND name = ?2 AND digest = ?3",
            )?
            .query_row(params![experiment.0, dataset.name, dataset.digest], |row| row.get(0))
            .optional()?;
        if let Some(known) = known {
            return Ok(known);
        }
        let id = uuid();
        self.connection
            .prepare_cached(
                "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, \
                 dataset_source_type, dataset_source, dataset_schema, dataset_profile) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id,
                experiment.0,
                dataset.name,
                dataset.digest,
                dataset.source_type,
                dataset.source,
                dataset.schema,
                dataset.profile
            ])?;
        Ok(id)
    }
}

/// A random id as MLflow writes them for datasets and inputs: 32 hexadecimal digits.
fn uuid() -> String {
    RunId::from_random(random_bytes()).to_string()
}
