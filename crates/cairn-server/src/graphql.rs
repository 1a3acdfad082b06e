//! `/graphql`: the four questions that MLflow's web pages ask in GraphQL.
//!
//! Only reading, one query in a request, and of bounded depth and cost: asking for everything many
//! times under other names was a way to hold a server up (CVE-2025-0453).

use std::{collections::HashMap, sync::LazyLock};

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Enum, Error, InputObject, InputValueError,
    InputValueResult, Object, Request, Scalar, ScalarType, Schema, SimpleObject, Value, Variables,
    parser::{parse_query, types::DocumentOperations},
};
use cairn_core::{
    ExperimentId, MetricPoint, RunId, ViewType,
    filter::{self, Entity},
};
use cairn_store::{
    ReadTx, Store,
    experiments::Tag,
    inputs::DatasetInput,
    registry::{ModelVersion, SearchModelVersions},
    runs::{Param, Run},
    search_runs::SearchRuns,
};
use serde::Serialize;

use crate::{
    call::{Answer, Call, json},
    error::ApiError,
    metrics::{self, Interval},
    page, runs, search,
};

/// The most bytes of a request.
pub(crate) const GRAPHQL_LIMIT: usize = 64 << 10;
/// The deepest nesting of fields.
const MAX_DEPTH: usize = 10;
/// The highest cost of a query: each field costs 1.
const MAX_COST: usize = 1_000;
/// What a question to the store costs, so that a query has at most three of them under any names.
const QUESTION_COST: usize = 250;
/// The most versions of models that a run is answered with.
const MAX_VERSIONS: usize = 100;
/// The most letters of what is wrong with a query.
const MAX_REASON: usize = 400;

static SCHEMA: LazyLock<Schema<Query, EmptyMutation, EmptySubscription>> = LazyLock::new(|| {
    Schema::build(Query, EmptyMutation, EmptySubscription)
        .limit_depth(MAX_DEPTH)
        .limit_complexity(MAX_COST)
        .limit_directives(4)
        .disable_introspection()
        .finish()
});

/// Answers one query, as `{"data": …, "errors": null}` or with a list of texts.
///
/// Errors: 400 for what is no query, and for one that is too deep or too costly.
pub(crate) async fn answer(call: Call) -> Answer {
    #[derive(Serialize)]
    struct Reply {
        data: Value,
        errors: Option<Vec<String>>,
    }

    let body = call.value()?;
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
    let query = text("query")
        .filter(|query| !query.is_empty())
        .ok_or_else(|| ApiError::from(cairn_core::Invalid::missing("query")))?;
    let mut document =
        parse_query(query).map_err(|error| not_answered("cannot be read", &error.to_string()))?;
    // Fragments that spread fragments cost twice as much with each level before anything can count
    // it. MLflow's pages use none.
    if !document.fragments.is_empty() {
        return Err(not_answered("is refused", "fragments are not supported"));
    }
    // MLflow's pages mark their operations with a directive that means nothing to a server.
    let forget = |directives: &mut Vec<async_graphql::Positioned<_>>| {
        directives.retain(
            |directive: &async_graphql::Positioned<async_graphql::parser::types::Directive>| {
                directive.node.name.node != "component"
            },
        );
    };
    match &mut document.operations {
        DocumentOperations::Single(operation) => forget(&mut operation.node.directives),
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                forget(&mut operation.node.directives);
            }
        }
    }
    let variables = body.get("variables").cloned().unwrap_or_default();
    let mut request = Request::new("").variables(Variables::from_json(variables)).data(call.store);
    request.set_parsed_query(document);
    if let Some(name) = text("operationName").or(text("operation_name")) {
        request = request.operation_name(name);
    }
    let response = SCHEMA.execute(request).await;
    // An error without a path is one of the query itself: nothing was asked of the store.
    if let Some(error) = response.errors.iter().find(|error| error.path.is_empty()) {
        return Err(not_answered("is refused", &error.message));
    }
    let errors: Vec<String> = response.errors.into_iter().map(|error| error.message).collect();
    json(&Reply { data: response.data, errors: (!errors.is_empty()).then_some(errors) })
}

/// Why a query was not answered, without repeating much of it.
fn not_answered(what: &str, why: &str) -> ApiError {
    let end = why.char_indices().nth(MAX_REASON).map_or(why.len(), |(end, _)| end);
    ApiError::invalid(format!("The GraphQL query {what}: {}", &why[..end]))
}

/// A whole number, answered as a text: JavaScript has none beyond 2^53.
#[derive(Debug, Clone, Copy)]
struct Long(i64);

#[Scalar(name = "LongString")]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.map(Self).ok_or_else(|| InputValueError::expected_type(value))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "MlflowViewType")]
enum View {
    ActiveOnly,
    DeletedOnly,
    All,
}

#[derive(InputObject)]
#[graphql(name = "MlflowGetRunInput")]
struct GetRunInput {
    run_id: Option<String>,
    run_uuid: Option<String>,
}

#[derive(InputObject)]
#[graphql(name = "MlflowGetExperimentInput")]
struct GetExperimentInput {
    experiment_id: Option<String>,
}

#[derive(InputObject)]
#[graphql(name = "MlflowSearchRunsInput")]
struct SearchRunsInput {
    experiment_ids: Option<Vec<Option<String>>>,
    filter: Option<String>,
    run_view_type: Option<View>,
    max_results: Option<i32>,
    order_by: Option<Vec<Option<String>>>,
    page_token: Option<String>,
}

#[derive(InputObject)]
#[graphql(name = "MlflowGetMetricHistoryBulkIntervalInput")]
struct HistoryInput {
    run_ids: Option<Vec<Option<String>>>,
    metric_key: Option<String>,
    start_step: Option<i32>,
    end_step: Option<i32>,
    max_results: Option<i32>,
}

/// Never set: errors come in the list of errors, as in MLflow.
#[derive(SimpleObject)]
#[graphql(name = "ApiError")]
struct NoError {
    code: Option<String>,
    message: Option<String>,
    help_url: Option<String>,
    trace_id: Option<String>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowGetRunResponse")]
struct RunReply {
    run: RunObject,
    api_error: Option<NoError>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowGetExperimentResponse")]
struct ExperimentReply {
    experiment: ExperimentObject,
    api_error: Option<NoError>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowSearchRunsResponse")]
struct RunsReply {
    runs: Vec<RunObject>,
    next_page_token: Option<String>,
    api_error: Option<NoError>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowGetMetricHistoryBulkIntervalResponse")]
struct HistoryReply {
    metrics: Vec<MetricObject>,
    api_error: Option<NoError>,
}

/// A tag or a parameter.
#[derive(SimpleObject)]
#[graphql(name = "MlflowKeyValue")]
struct Pair {
    key: String,
    value: String,
}

impl From<Tag> for Pair {
    fn from(tag: Tag) -> Self {
        Self { key: tag.key, value: tag.value }
    }
}

impl From<Param> for Pair {
    fn from(param: Param) -> Self {
        Self { key: param.key, value: param.value }
    }
}

#[derive(SimpleObject, Clone)]
#[graphql(name = "MlflowMetric")]
struct MetricObject {
    key: String,
    /// Null for NaN, which JSON cannot say.
    value: Option<f64>,
    timestamp: Long,
    step: Long,
    run_id: Option<String>,
}

impl MetricObject {
    fn new(point: &MetricPoint, run: Option<&RunId>) -> Self {
        Self {
            key: point.key.clone(),
            value: (!point.value.0.is_nan()).then_some(point.value.0),
            timestamp: Long(point.timestamp),
            step: Long(point.step),
            run_id: run.map(ToString::to_string),
        }
    }
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowExperiment")]
struct ExperimentObject {
    experiment_id: String,
    name: String,
    artifact_location: String,
    lifecycle_stage: String,
    last_update_time: Option<Long>,
    creation_time: Option<Long>,
    tags: Vec<Pair>,
    effective_trace_archival_retention: Option<String>,
    workspace: String,
}

impl ExperimentObject {
    fn read(tx: &ReadTx<'_>, id: ExperimentId) -> cairn_store::Result<Self> {
        let found = tx.experiment(id)?;
        Ok(Self {
            experiment_id: found.experiment_id.to_string(),
            name: found.name,
            artifact_location: found.artifact_location,
            lifecycle_stage: found.lifecycle_stage.as_str().to_owned(),
            last_update_time: found.last_update_time.map(Long),
            creation_time: found.creation_time.map(Long),
            tags: found.tags.into_iter().map(Into::into).collect(),
            effective_trace_archival_retention: None,
            workspace: "default".to_owned(),
        })
    }
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowRun")]
struct RunObject {
    info: RunInfoObject,
    experiment: Option<ExperimentObject>,
    data: RunDataObject,
    inputs: RunInputsObject,
    outputs: RunOutputsObject,
    model_versions: Option<Vec<ModelVersionObject>>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowRunInfo")]
struct RunInfoObject {
    run_id: String,
    run_uuid: String,
    run_name: String,
    experiment_id: String,
    user_id: String,
    status: String,
    start_time: Option<Long>,
    end_time: Option<Long>,
    artifact_uri: String,
    lifecycle_stage: String,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowRunData")]
struct RunDataObject {
    metrics: Vec<MetricObject>,
    params: Vec<Pair>,
    tags: Vec<Pair>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowDataset")]
struct DatasetObject {
    name: String,
    digest: String,
    source_type: String,
    source: String,
    schema: Option<String>,
    profile: Option<String>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowDatasetInput")]
struct DatasetInputObject {
    tags: Vec<Pair>,
    dataset: DatasetObject,
}

impl From<DatasetInput> for DatasetInputObject {
    fn from(input: DatasetInput) -> Self {
        let dataset = input.dataset;
        Self {
            tags: input.tags.into_iter().map(Into::into).collect(),
            dataset: DatasetObject {
                name: dataset.name,
                digest: dataset.digest,
                source_type: dataset.source_type,
                source: dataset.source,
                schema: dataset.schema,
                profile: dataset.profile,
            },
        }
    }
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowModelInput")]
struct ModelInputObject {
    model_id: String,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowRunInputs")]
struct RunInputsObject {
    dataset_inputs: Vec<DatasetInputObject>,
    model_inputs: Vec<ModelInputObject>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowModelOutput")]
struct ModelOutputObject {
    model_id: String,
    step: Long,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowRunOutputs")]
struct RunOutputsObject {
    model_outputs: Vec<ModelOutputObject>,
}

#[derive(SimpleObject)]
#[graphql(name = "MlflowModelVersion")]
struct ModelVersionObject {
    name: String,
    version: String,
    creation_timestamp: Option<Long>,
    last_updated_timestamp: Option<Long>,
    current_stage: String,
    description: Option<String>,
    source: Option<String>,
    run_id: Option<String>,
    status: String,
    status_message: Option<String>,
    tags: Vec<Pair>,
    run_link: Option<String>,
}

impl From<ModelVersion> for ModelVersionObject {
    fn from(version: ModelVersion) -> Self {
        Self {
            name: version.name,
            version: version.version.to_string(),
            creation_timestamp: version.creation_time.map(Long),
            last_updated_timestamp: version.last_updated_time.map(Long),
            current_stage: version.stage.as_str().to_owned(),
            description: version.description,
            source: version.source,
            run_id: version.run_id,
            status: version.status,
            status_message: version.status_message,
            tags: version.tags.into_iter().map(Into::into).collect(),
            run_link: version.run_link,
        }
    }
}

impl RunObject {
    fn new(run: Run) -> Self {
        let info = run.info;
        Self {
            info: RunInfoObject {
                run_id: info.run_id.to_string(),
                run_uuid: info.run_id.to_string(),
                run_name: info.run_name,
                experiment_id: info.experiment_id.to_string(),
                user_id: info.user_id,
                status: info.status.as_str().to_owned(),
                start_time: info.start_time.map(Long),
                end_time: info.end_time.map(Long),
                artifact_uri: info.artifact_uri,
                lifecycle_stage: info.lifecycle_stage.as_str().to_owned(),
            },
            experiment: None,
            data: RunDataObject {
                metrics: run.metrics.iter().map(|point| MetricObject::new(point, None)).collect(),
                params: run.params.into_iter().map(Into::into).collect(),
                tags: run.tags.into_iter().map(Into::into).collect(),
            },
            inputs: RunInputsObject {
                dataset_inputs: run.inputs.datasets.into_iter().map(Into::into).collect(),
                model_inputs: run
                    .inputs
                    .models
                    .iter()
                    .map(|model| ModelInputObject { model_id: model.to_string() })
                    .collect(),
            },
            outputs: RunOutputsObject {
                model_outputs: run
                    .outputs
                    .models
                    .iter()
                    .map(|output| ModelOutputObject {
                        model_id: output.model_id.to_string(),
                        step: Long(output.step),
                    })
                    .collect(),
            },
            model_versions: None,
        }
    }
}

/// Which of the things beside a run a query asks for.
#[derive(Clone, Copy)]
struct Beside {
    experiment: bool,
    model_versions: bool,
}

impl Beside {
    /// What is asked for in the field that holds runs.
    fn asked(context: &Context<'_>, runs: &str) -> Self {
        let runs = context.look_ahead().field(runs);
        Self {
            experiment: runs.field("experiment").exists(),
            model_versions: runs.field("modelVersions").exists(),
        }
    }

    fn add(self, tx: &ReadTx<'_>, runs: Vec<Run>) -> cairn_store::Result<Vec<RunObject>> {
        let mut versions: HashMap<String, Vec<ModelVersionObject>> = HashMap::new();
        if self.model_versions {
            for run in &runs {
                let id = &run.info.run_id;
                let filter = filter::parse(Entity::ModelVersions, &format!("run_id = '{id}'"))?;
                let search = SearchModelVersions {
                    filter,
                    max_results: MAX_VERSIONS,
                    ..SearchModelVersions::default()
                };
                let found = tx.search_model_versions(&search)?.items;
                versions.insert(id.to_string(), found.into_iter().map(Into::into).collect());
            }
        }
        runs.into_iter()
            .map(|run| {
                let experiment = run.info.experiment_id;
                let mut object = RunObject::new(run);
                if self.experiment {
                    object.experiment = Some(ExperimentObject::read(tx, experiment)?);
                }
                if self.model_versions {
                    object.model_versions = versions.remove(&object.info.run_id);
                }
                Ok(object)
            })
            .collect()
    }
}

struct Query;

#[Object(name = "Query")]
impl Query {
    #[graphql(complexity = "QUESTION_COST + child_complexity")]
    async fn mlflow_get_run(
        &self,
        context: &Context<'_>,
        input: GetRunInput,
    ) -> async_graphql::Result<RunReply> {
        let text = [input.run_id, input.run_uuid].into_iter().flatten().find(|id| !id.is_empty());
        let id = run_id(&text.ok_or_else(|| missing("run_id"))?)?;
        let beside = Beside::asked(context, "run");
        let mut found = read(context, move |tx| {
            let run = tx.run(&id)?;
            beside.add(tx, vec![run])
        })
        .await?;
        Ok(RunReply { run: found.pop().expect("one run was read"), api_error: None })
    }

    #[graphql(complexity = "QUESTION_COST + child_complexity")]
    async fn mlflow_get_experiment(
        &self,
        context: &Context<'_>,
        input: GetExperimentInput,
    ) -> async_graphql::Result<ExperimentReply> {
        let id = filled(input.experiment_id, "experiment_id")?;
        let id: ExperimentId = id.parse().map_err(refused)?;
        let experiment = read(context, move |tx| ExperimentObject::read(tx, id)).await?;
        Ok(ExperimentReply { experiment, api_error: None })
    }

    #[graphql(complexity = "QUESTION_COST + child_complexity")]
    async fn mlflow_search_runs(
        &self,
        context: &Context<'_>,
        input: SearchRunsInput,
    ) -> async_graphql::Result<RunsReply> {
        let experiment_ids = texts(input.experiment_ids)
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<ExperimentId>, _>>()
            .map_err(refused)?;
        let filter = match &input.filter {
            Some(text) => filter::parse(Entity::Runs, text).map_err(refused)?,
            None => None,
        };
        let order = filter::parse_order(Entity::Runs, &texts(input.order_by)).map_err(refused)?;
        let given = input.max_results.map(i64::from);
        let search = SearchRuns {
            experiment_ids,
            filter,
            order,
            view: match input.run_view_type {
                None | Some(View::ActiveOnly) => ViewType::ActiveOnly,
                Some(View::DeletedOnly) => ViewType::DeletedOnly,
                Some(View::All) => ViewType::All,
            },
            max_results: search::page_size(given, runs::DEFAULT_PAGE, runs::MAX_PAGE)
                .map_err(failed)?,
            offset: page::offset(input.page_token.as_deref()).map_err(failed)?,
        };
        let beside = Beside::asked(context, "runs");
        let store = context.data::<Store>()?;
        let found = store.search_runs(search).await.map_err(|error| failed(error.into()))?;
        let next_page_token = found.next_offset.map(page::token);
        let runs = read(context, move |tx| beside.add(tx, found.items)).await?;
        Ok(RunsReply { runs, next_page_token, api_error: None })
    }

    #[graphql(complexity = "QUESTION_COST + child_complexity")]
    async fn mlflow_get_metric_history_bulk_interval(
        &self,
        context: &Context<'_>,
        input: HistoryInput,
    ) -> async_graphql::Result<HistoryReply> {
        let ids = texts(input.run_ids);
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let interval = Interval::new(
            &ids,
            &filled(input.metric_key, "metric_key")?,
            (input.start_step.map(i64::from), input.end_step.map(i64::from)),
            input.max_results.map(i64::from),
        )
        .map_err(failed)?;
        let found = read(context, move |tx| metrics::sampled(tx, &interval)).await?;
        let metrics = found
            .iter()
            .flat_map(|(id, points)| {
                points.iter().map(move |point| MetricObject::new(point, Some(id)))
            })
            .collect();
        Ok(HistoryReply { metrics, api_error: None })
    }
}

/// Asks the store of the request.
async fn read<T: Send + 'static>(
    context: &Context<'_>,
    question: impl FnOnce(&ReadTx<'_>) -> cairn_store::Result<T> + Send + 'static,
) -> async_graphql::Result<T> {
    let store = context.data::<Store>()?;
    store.read(question).await.map_err(|error| failed(ApiError::from(error)))
}

fn failed(error: ApiError) -> Error {
    Error::new(error.message)
}

fn refused(invalid: cairn_core::Invalid) -> Error {
    Error::new(invalid.message)
}

fn missing(name: &str) -> Error {
    refused(cairn_core::Invalid::missing(name))
}

fn filled(text: Option<String>, name: &str) -> async_graphql::Result<String> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
}

fn run_id(text: &str) -> async_graphql::Result<RunId> {
    text.parse().map_err(|_| Error::new("There is no run with this ID."))
}

fn texts(list: Option<Vec<Option<String>>>) -> Vec<String> {
    list.unwrap_or_default().into_iter().flatten().collect()
}
