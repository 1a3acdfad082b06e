//! Experiments and their tags.

use cairn_core::{
    ExperimentId, Invalid, LifecycleStage, ViewType,
    filter::tree::{ExperimentAttribute, Expr, Field, Op, OrderItem, Value},
    limits,
};
use rusqlite::{OptionalExtension as _, Row, params};

use crate::{
    Change, ReadTx, Result, StoreError, WriteTx,
    sql::{Page, Sql, render_filter},
};

/// A key and its text: a tag of anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The text.
    pub value: String,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// Its number.
    pub experiment_id: ExperimentId,
    /// Its name; unique, deleted ones included.
    pub name: String,
    /// Where the files of its runs go.
    pub artifact_location: String,
    /// In use or in the trash.
    pub lifecycle_stage: LifecycleStage,
    /// Milliseconds since 1970; `None` in rows of MLflow before 2.0.
    pub creation_time: Option<i64>,
    /// Milliseconds since 1970.
    pub last_update_time: Option<i64>,
    /// Its tags, in the order they are stored.
    pub tags: Vec<Tag>,
}

/// What an experiment is made from.
#[derive(Debug, Clone, Default)]
pub struct NewExperiment {
    /// Its name.
    pub name: String,
    /// Where the files of its runs go; the store's artifact tree if not given.
    pub artifact_location: Option<String>,
    /// Its first tags.
    pub tags: Vec<Tag>,
}

/// A search of experiments.
#[derive(Debug, Clone, Default)]
pub struct SearchExperiments {
    /// Parsed for [`cairn_core::filter::Entity::Experiments`].
    pub filter: Option<Expr>,
    /// Empty: newest first.
    pub order: Vec<OrderItem>,
    /// Which stages.
    pub view: ViewType,
    /// Rows at most.
    pub max_results: usize,
    /// Rows to leave out.
    pub offset: usize,
}

/// What a list of experiments shows of one, beside its own facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentActivity {
    /// The experiment.
    pub experiment: Experiment,
    /// Active runs.
    pub run_count: u64,
    /// Active runs that are RUNNING.
    pub running_count: u64,
    /// The latest start of an active run.
    pub last_run_time: Option<i64>,
}

impl ReadTx<'_> {
    /// The experiment with an id, deleted ones included.
    pub fn experiment(&self, id: ExperimentId) -> Result<Experiment> {
        self.find_experiment("experiment_id = ?1", id.0)?
            .ok_or_else(|| StoreError::NotFound(format!("No Experiment with id={id} exists")))
    }

    /// The experiment with a name, deleted ones included.
    pub fn experiment_by_name(&self, name: &str) -> Result<Experiment> {
        self.find_experiment("name = ?1", name.to_owned())?.ok_or_else(|| {
            StoreError::NotFound(format!("Could not find experiment with name '{name}'"))
        })
    }

    /// A page of experiments.
    pub fn search_experiments(&self, search: &SearchExperiments) -> Result<Page<Experiment>> {
        let mut sql = Sql::default();
        sql.push("SELECT ").push(self.experiment_columns()).push(" FROM experiments WHERE ");
        sql.push(match search.view {
            ViewType::ActiveOnly => "lifecycle_stage = 'active'",
            ViewType::DeletedOnly => "lifecycle_stage = 'deleted'",
            ViewType::All => "1",
        });
        if let Some(filter) = &search.filter {
            sql.push(" AND ");
            render_filter(&mut sql, filter, &mut |sql, comparison| {
                self.experiment_condition(sql, &comparison.field, comparison.op, &comparison.value)
            })?;
        }
        sql.push(" ORDER BY ");
        for item in &search.order {
            let Field::Experiment(attribute) = &item.field else { continue };
            sql.push(self.experiment_attribute(*attribute));
            sql.push(if item.ascending { " ASC, " } else { " DESC, " });
        }
        if search.order.is_empty() {
            sql.push(self.experiment_attribute(ExperimentAttribute::CreationTime));
            sql.push(" DESC, experiment_id ASC");
        } else {
            sql.push("experiment_id DESC");
        }
        sql.push(" LIMIT ").bind((search.max_results as i64).saturating_add(1));
        sql.push(" OFFSET ").bind(search.offset as i64);
        let mut statement = self.connection.prepare_cached(&sql.text)?;
        let rows = statement.query_map(sql.params(), experiment_from_row)?;
        let experiments = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut page = Page::from_overfull(experiments, search.offset, search.max_results);
        for experiment in &mut page.items {
            experiment.tags = self.experiment_tags(experiment.experiment_id)?;
        }
        Ok(page)
    }

    /// All active experiments with how much happens in them, most recently used first.
    pub fn experiment_activity(&self) -> Result<Vec<ExperimentActivity>> {
        let search = SearchExperiments { max_results: 100_000, ..SearchExperiments::default() };
        let experiments = self.search_experiments(&search)?.items;
        let mut statement = self.connection.prepare_cached(
            "SELECT experiment_id, COUNT(*), SUM(status = 'RUNNING'), MAX(start_time) FROM runs \
             WHERE lifecycle_stage = 'active' GROUP BY experiment_id",
        )?;
        let rows = statement.query_map([], |row| {
            let counts = (row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?, row.get(3)?);
            Ok((row.get::<_, i64>(0)?, counts))
        })?;
        let counts =
            rows.collect::<rusqlite::Result<std::collections::HashMap<_, (i64, Option<i64>, Option<i64>)>>>()?;
        let mut activity: Vec<_> = experiments
            .into_iter()
            .map(|experiment| {
                let (runs, running, last) =
                    counts.get(&experiment.experiment_id.0).copied().unwrap_or_default();
                ExperimentActivity {
                    run_count: runs.unsigned_abs(),
                    running_count: running.unwrap_or(0).unsigned_abs(),
                    last_run_time: last,
                    experiment,
                }
            })
            .collect();
        activity.sort_by_key(|entry| {
            std::cmp::Reverse(entry.last_run_time.or(entry.experiment.creation_time))
        });
        Ok(activity)
    }

    fn find_experiment(
        &self,
        condition: &str,
        value: impl rusqlite::ToSql,
    ) -> Result<Option<Experiment>> {
        let sql =
            format!("SELECT {} FROM experiments WHERE {condition}", self.experiment_columns());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let Some(mut experiment) = statement.query_row([value], experiment_from_row).optional()?
        else {
            return Ok(None);
        };
        experiment.tags = self.experiment_tags(experiment.experiment_id)?;
        Ok(Some(experiment))
    }

    fn experiment_tags(&self, id: ExperimentId) -> Result<Vec<Tag>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, COALESCE(value, '') FROM experiment_tags WHERE experiment_id = ?1 \
             ORDER BY rowid",
        )?;
        let rows =
            statement.query_map([id.0], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn experiment_columns(&self) -> &'static str {
        if self.shape.has_experiment_times {
            "experiment_id, name, COALESCE(artifact_location, ''), lifecycle_stage, \
             creation_time, last_update_time"
        } else {
            "experiment_id, name, COALESCE(artifact_location, ''), lifecycle_stage, NULL, NULL"
        }
    }

    fn experiment_attribute(&self, attribute: ExperimentAttribute) -> &'static str {
        match attribute {
            ExperimentAttribute::Name => "name",
            ExperimentAttribute::ExperimentId => "experiment_id",
            ExperimentAttribute::CreationTime if self.shape.has_experiment_times => "creation_time",
            ExperimentAttribute::LastUpdateTime if self.shape.has_experiment_times => {
                "last_update_time"
            }
            ExperimentAttribute::CreationTime | ExperimentAttribute::LastUpdateTime => "NULL",
        }
    }

    fn experiment_condition(
        &self,
        sql: &mut Sql,
        field: &Field,
        op: Op,
        value: &Value,
    ) -> Result<()> {
        match field {
            Field::Experiment(ExperimentAttribute::ExperimentId) => {
                sql.compare("CAST(experiment_id AS TEXT)", op, value);
            }
            Field::Experiment(attribute) => {
                sql.compare(self.experiment_attribute(*attribute), op, value);
            }
            Field::Tag(key) => {
                sql.not_if_absent(op);
                sql.push(
                    "EXISTS (SELECT 1 FROM experiment_tags AS t \
                     WHERE t.experiment_id = experiments.experiment_id AND t.key = ",
                );
                sql.bind(key.clone()).and_value("t.value", op, value).push(")");
            }
            _ => return Err(Invalid::new("This field is not searchable for experiments").into()),
        }
        Ok(())
    }
}

impl WriteTx<'_> {
    /// Makes an experiment and answers its number, one above the highest so far.
    ///
    /// Errors: [`StoreError::AlreadyExists`] when the name is taken, also by a deleted one.
    pub fn create_experiment(&mut self, new: &NewExperiment) -> Result<ExperimentId> {
        limits::check_experiment_name(&new.name)?;
        if let Some(location) = &new.artifact_location {
            limits::check_artifact_location(location)?;
        }
        for tag in &new.tags {
            limits::check_experiment_tag(&tag.key, &tag.value)?;
        }
        if self.find_experiment("name = ?1", &new.name)?.is_some() {
            return Err(StoreError::AlreadyExists(format!(
                "Experiment(name={}) already exists. It may be deleted: restore it, or delete it \
                 permanently, to use the name again.",
                new.name
            )));
        }
        self.connection
            .prepare_cached(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage) \
                 VALUES (?1, '', 'active')",
            )?
            .execute([&new.name])?;
        let id = ExperimentId(self.connection.last_insert_rowid());
        let location = new.artifact_location.clone().filter(|location| !location.is_empty());
        let location = location.unwrap_or_else(|| format!("mlflow-artifacts:/{id}"));
        self.connection
            .prepare_cached(
                "UPDATE experiments SET artifact_location = ?2 WHERE experiment_id = ?1",
            )?
            .execute(params![id.0, location.trim_end_matches('/')])?;
        if self.shape.has_experiment_times {
            self.connection
                .prepare_cached(
                    "UPDATE experiments SET creation_time = ?2, last_update_time = ?2 \
                     WHERE experiment_id = ?1",
                )?
                .execute(params![id.0, self.now.0])?;
        }
        for tag in &new.tags {
            self.put_experiment_tag(id, tag)?;
        }
        self.changed(Change::Experiments);
        Ok(id)
    }

    /// Gives an active experiment another name.
    pub fn rename_experiment(&mut self, id: ExperimentId, name: &str) -> Result<()> {
        limits::check_experiment_name(name)?;
        let experiment = self.experiment(id)?;
        if experiment.lifecycle_stage == LifecycleStage::Deleted {
            return Err(StoreError::InvalidState(
                "Cannot rename a non-active experiment.".to_owned(),
            ));
        }
        let renamed = self
            .connection
            .prepare_cached("UPDATE experiments SET name = ?2 WHERE experiment_id = ?1")?
            .execute(params![id.0, name])
            .map_err(StoreError::from);
        match renamed {
            Err(error) if error.is_constraint() => {
                return Err(StoreError::AlreadyExists(format!(
                    "Experiment(name={name}) already exists."
                )));
            }
            other => other?,
        };
        self.touch_experiment(id)?;
        self.changed(Change::Experiments);
        Ok(())
    }

    /// Moves an experiment and all its runs to the trash.
    pub fn delete_experiment(&mut self, id: ExperimentId) -> Result<()> {
        self.set_experiment_stage(id, LifecycleStage::Active, LifecycleStage::Deleted)
    }

    /// Brings back a deleted experiment and all its runs, also those deleted before it.
    pub fn restore_experiment(&mut self, id: ExperimentId) -> Result<()> {
        self.set_experiment_stage(id, LifecycleStage::Deleted, LifecycleStage::Active)
    }

    /// Sets a tag of an active experiment.
    pub fn set_experiment_tag(&mut self, id: ExperimentId, tag: &Tag) -> Result<()> {
        limits::check_experiment_tag(&tag.key, &tag.value)?;
        require_active(&self.experiment(id)?)?;
        self.put_experiment_tag(id, tag)?;
        self.changed(Change::Experiments);
        Ok(())
    }

    /// Removes a tag of an active experiment.
    pub fn delete_experiment_tag(&mut self, id: ExperimentId, key: &str) -> Result<()> {
        require_active(&self.experiment(id)?)?;
        let removed = self
            .connection
            .prepare_cached("DELETE FROM experiment_tags WHERE experiment_id = ?1 AND key = ?2")?
            .execute(params![id.0, key])?;
        if removed == 0 {
            return Err(StoreError::NotFound(format!(
                "No tag with name: {key} in experiment with id {id}"
            )));
        }
        self.changed(Change::Experiments);
        Ok(())
    }

    fn put_experiment_tag(&self, id: ExperimentId, tag: &Tag) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) \
                 VALUES (?1, ?2, ?3)",
            )?
            .execute(params![tag.key, tag.value, id.0])?;
        Ok(())
    }

    fn touch_experiment(&self, id: ExperimentId) -> Result<()> {
        if self.shape.has_experiment_times {
            self.connection
                .prepare_cached(
                    "UPDATE experiments SET last_update_time = ?2 WHERE experiment_id = ?1",
                )?
                .execute(params![id.0, self.now.0])?;
        }
        Ok(())
    }

    fn set_experiment_stage(
        &mut self,
        id: ExperimentId,
        from: LifecycleStage,
        to: LifecycleStage,
    ) -> Result<()> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE experiments SET lifecycle_stage = ?3 \
                 WHERE experiment_id = ?1 AND lifecycle_stage = ?2",
            )?
            .execute(params![id.0, from.as_str(), to.as_str()])?;
        if changed == 0 {
            return Err(StoreError::NotFound(format!(
                "No {} Experiment with id={id} exists",
                from.as_str()
            )));
        }
        self.touch_experiment(id)?;
        self.connection
            .prepare_cached("UPDATE runs SET lifecycle_stage = ?2 WHERE experiment_id = ?1")?
            .execute(params![id.0, to.as_str()])?;
        if self.shape.has_deleted_time {
            let deleted = (to == LifecycleStage::Deleted).then_some(self.now.0);
            self.connection
                .prepare_cached("UPDATE runs SET deleted_time = ?2 WHERE experiment_id = ?1")?
                .execute(params![id.0, deleted])?;
        }
        self.changed(Change::Experiments);
        self.changed(Change::Everything);
        Ok(())
    }
}

/// Refuses a deleted experiment.
pub(crate) fn require_active(experiment: &Experiment) -> Result<()> {
    if experiment.lifecycle_stage == LifecycleStage::Active {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "The experiment {} must be in the 'active' state. Current state is deleted.",
        experiment.experiment_id
    ))
    .into())
}

fn experiment_from_row(row: &Row<'_>) -> rusqlite::Result<Experiment> {
    Ok(Experiment {
        experiment_id: ExperimentId(row.get(0)?),
        name: row.get(1)?,
        artifact_location: row.get(2)?,
        lifecycle_stage: LifecycleStage::from_column(
            &row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        ),
        creation_time: row.get(4)?,
        last_update_time: row.get(5)?,
        tags: Vec::new(),
    })
}
