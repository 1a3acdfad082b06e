//! The run table as text, to be pasted or kept: for spreadsheets, programs and papers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use cairn_core::{
    ExperimentId, Invalid, UnixMillis,
    filter::{self, Context, Entity},
};
use cairn_store::{
    Result,
    run_table::{TableColumn, TableOrder, TableQuery, TableRow},
};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::json;
use ts_rs::TS;

use crate::{
    app::App,
    dto::{ColumnRef, CommandError, RunOrder},
    errors,
    runs::{
        SOURCE_NAME, USER, blocking, parse_experiments, parse_run, started, status, table_column,
        user,
    },
};

/// Rows at most.
const MAX_ROWS: usize = 100_000;
/// Cells at most, so that the text can be held in memory and on a clipboard.
const MAX_CELLS: usize = 5_000_000;

/// How runs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum TextFormat {
    /// Tabs between cells, for spreadsheets. Tabs and line ends within a cell become blanks; here
    /// and in CSV a text that would be a formula gets an apostrophe.
    Tsv,
    /// Comma-separated values (RFC 4180), with the runs' ids.
    Csv,
    /// A list of objects, with the runs' ids. NaN and infinities are texts.
    Json,
    /// A table in Markdown.
    Markdown,
    /// A `tabular` for LaTeX, in the manner of the package `booktabs`.
    Latex,
    /// Python that makes a `pandas.DataFrame`, with the runs' ids. Parameters that are numbers
    /// become numbers.
    Pandas,
}

impl TextFormat {
    /// Whether programs read it: then each row names its run.
    fn has_ids(self) -> bool {
        matches!(self, Self::Csv | Self::Json | Self::Pandas)
    }
}

/// Asks for runs as text.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct RunsTextRequest {
    /// Whose runs.
    pub experiment_ids: Vec<String>,
    /// Only these runs, 32 hexadecimal digits each; empty for all that match the filter.
    #[serde(default)]
    pub run_ids: Vec<String>,
    /// MLflow's filter language; empty for all. Runs that are named are not filtered.
    #[serde(default)]
    pub filter: String,
    /// As in `runs.page`.
    #[serde(default)]
    pub order: Vec<RunOrder>,
    /// Deleted runs instead of active ones.
    #[serde(default)]
    pub deleted: bool,
    /// The columns, in order.
    pub columns: Vec<ColumnRef>,
    /// How they are written.
    pub format: TextFormat,
}

/// Runs as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RunsText {
    /// The text; ends with a line end.
    pub text: String,
    /// How many runs are in it.
    pub rows: u32,
}

pub(crate) async fn text(
    app: &App,
    args: RunsTextRequest,
) -> std::result::Result<RunsText, CommandError> {
    let store = app.store()?;
    let experiment_ids = parse_experiments(&args.experiment_ids)?;
    let text = if args.run_ids.is_empty() {
        args.filter.clone()
    } else {
        for id in &args.run_ids {
            parse_run(id)?;
        }
        format!("attributes.run_id IN ('{}')", args.run_ids.join("', '"))
    };
    let context = Context { now: UnixMillis::now(), zone: TimeZone::system() };
    let filter = filter::parse_extended(Entity::Runs, &text, &context)
        .map_err(|error| errors::invalid_filter(&text, error))?;
    let order = args
        .order
        .iter()
        .map(|key| TableOrder { column: table_column(&key.column), ascending: key.ascending })
        .collect();
    let query = TableQuery { experiment_ids, filter, order, deleted: args.deleted };
    let mut wanted: Vec<_> = args.columns.iter().map(table_column).collect();
    wanted.extend([SOURCE_NAME, USER].map(|tag| TableColumn::Tag(tag.into())));
    let limit = MAX_ROWS.min(MAX_CELLS / wanted.len());
    let (page, names) = blocking(move || {
        let count = store.run_table_page(&query, 0, 0, &[])?.total;
        if count > limit as u64 {
            return Err(Invalid::new(format!(
                "{count} runs with so many columns are too many for one text; {limit} runs are the \
                 most."
            ))
            .into());
        }
        let page = store.run_table_page(&query, 0, limit, &wanted)?;
        let ids: BTreeSet<_> = page.rows.iter().map(|row| row.info.experiment_id).collect();
        let names = store.read_blocking(|tx| {
            ids.iter().map(|id| Ok((*id, tx.experiment(*id)?.name))).collect::<Result<_>>()
        })?;
        Ok((page, names))
    })
    .await?;
    let rows = page.rows.len() as u32;
    Ok(RunsText { text: Table::of(&page.rows, &args.columns, &names).write(args.format), rows })
}

/// What experiments are called.
type Names = BTreeMap<ExperimentId, String>;

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Nothing,
    Text(String),
    /// A parameter or tag: a text that a person may have meant as a number.
    Loose(String),
    Number(f64),
}

/// Rows under heads, all of the same length.
#[derive(Debug, PartialEq)]
struct Table {
    ids: Vec<String>,
    heads: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    fn of(rows: &[TableRow], columns: &[ColumnRef], experiments: &Names) -> Self {
        Self {
            ids: rows.iter().map(|row| row.info.run_id.to_string()).collect(),
            heads: heads(columns),
            rows: rows
                .iter()
                .map(|row| columns.iter().map(|column| value(row, column, experiments)).collect())
                .collect(),
        }
    }

    fn write(mut self, format: TextFormat) -> String {
        if format.has_ids() {
            self.heads.insert(0, "run_id".to_owned());
            for (row, id) in self.rows.iter_mut().zip(self.ids.drain(..)) {
                row.insert(0, Value::Text(id));
            }
        }
        match format {
            TextFormat::Tsv => {
                self.lines("", "\t", "\n", |text| inert(text).replace(['\t', '\n', '\r'], " "))
            }
            TextFormat::Csv => self.lines("", ",", "\r\n", csv_cell),
            TextFormat::Json => self.json(),
            TextFormat::Markdown => self.markdown(),
            TextFormat::Latex => self.latex(),
            TextFormat::Pandas => self.pandas(),
        }
    }

    /// One line for the heads and one for each row, cells between `begin`, `between` and `end`.
    fn lines(
        &self,
        begin: &str,
        between: &str,
        end: &str,
        cell: impl Fn(&str) -> String,
    ) -> String {
        let line = |cells: Vec<String>| format!("{begin}{}{end}", cells.join(between));
        let mut text = line(self.heads.iter().map(|head| cell(head)).collect());
        for row in &self.rows {
            text += &line(row.iter().map(|value| cell(&plain(value))).collect());
        }
        text
    }

    fn json(&self) -> String {
        let objects = self.rows.iter().map(|row| {
            let pairs = self.heads.iter().zip(row).map(|(head, value)| {
                let value = match value {
                    Value::Nothing => serde_json::Value::Null,
                    Value::Number(number) => serde_json::Number::from_f64(*number)
                        .map_or_else(|| json!(number_text(*number)), serde_json::Value::Number),
                    Value::Text(text) | Value::Loose(text) => json!(text),
                };
                format!("{}: {value}", json!(head))
            });
            format!("  {{{}}}", pairs.collect::<Vec<_>>().join(", "))
        });
        format!("[\n{}\n]\n", objects.collect::<Vec<_>>().join(",\n"))
    }

    fn markdown(&self) -> String {
        let cell = |text: &str| text.replace(['\n', '\r'], " ").replace('|', "\\|");
        let lines = self.lines("| ", " | ", " |\n", cell);
        let (head, rows) = lines.split_once('\n').unwrap_or((&lines, ""));
        let rule: String = (0..self.heads.len())
            .map(|at| if self.is_right(at) { " ---: |" } else { " --- |" })
            .collect();
        format!("{head}\n|{rule}\n{rows}")
    }

    fn latex(&self) -> String {
        let columns: String =
            (0..self.heads.len()).map(|at| if self.is_right(at) { 'r' } else { 'l' }).collect();
        let lines = self.lines("  ", " & ", " \\\\\n", latex_cell);
        let (head, rows) = lines.split_once('\n').unwrap_or((&lines, ""));
        format!(
            "% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n  \\toprule\n{head}\n  \\midrule\n\
             {rows}  \\bottomrule\n\\end{{tabular}}\n"
        )
    }

    fn pandas(&self) -> String {
        let mut text = "import pandas as pd\n\nruns = pd.DataFrame({\n".to_owned();
        for (at, head) in self.heads.iter().enumerate() {
            let cells: Vec<String> = self.rows.iter().map(|row| python(&row[at])).collect();
            let _ = writeln!(text, "    {}: [{}],", json!(head), cells.join(", "));
        }
        text + "})\n"
    }

    /// Whether a column holds numbers and nothing else.
    fn is_right(&self, column: usize) -> bool {
        let mut values = self.rows.iter().map(|row| &row[column]).peekable();
        values.peek().is_some()
            && values.all(|value| match value {
                Value::Nothing | Value::Number(_) => true,
                Value::Loose(text) => text.parse::<f64>().is_ok(),
                Value::Text(_) => false,
            })
    }
}

/// What columns are called; keys that two kinds have get their kind before them.
fn heads(columns: &[ColumnRef]) -> Vec<String> {
    let kind_and_key = |column: &ColumnRef| match column {
        ColumnRef::Param(key) => Some(("params", key.clone())),
        ColumnRef::Metric(key) => Some(("metrics", key.clone())),
        ColumnRef::Tag(key) => Some(("tags", key.clone())),
        _ => None,
    };
    columns
        .iter()
        .map(|column| {
            let name = match column {
                ColumnRef::Name => "run",
                ColumnRef::Status => "status",
                ColumnRef::Start => "start",
                ColumnRef::Duration => "duration_s",
                ColumnRef::Source => "source",
                ColumnRef::User => "user",
                ColumnRef::Experiment => "experiment",
                ColumnRef::Param(key) | ColumnRef::Metric(key) | ColumnRef::Tag(key) => key,
            };
            let is_taken = columns.iter().any(|other| {
                other != column && kind_and_key(other).is_some_and(|(_, key)| key == name)
            });
            match kind_and_key(column) {
                Some((kind, key)) if is_taken => format!("{kind}.{key}"),
                _ => name.to_owned(),
            }
        })
        .collect()
}

fn value(row: &TableRow, column: &ColumnRef, experiments: &Names) -> Value {
    let loose =
        |text: Option<&String>| text.map_or(Value::Nothing, |text| Value::Loose(text.clone()));
    let text = |text: Option<String>| {
        text.filter(|text| !text.is_empty()).map_or(Value::Nothing, Value::Text)
    };
    match column {
        ColumnRef::Name => Value::Text(row.info.run_name.clone()),
        ColumnRef::Status => {
            Value::Text(json!(status(&row.info)).as_str().unwrap_or_default().to_owned())
        }
        ColumnRef::Start => text(
            started(&row.info)
                .and_then(|start| Timestamp::from_millisecond(start).ok())
                .map(|start| start.to_string()),
        ),
        ColumnRef::Duration => match (started(&row.info), row.info.end_time) {
            (Some(start), Some(end)) => Value::Number(end.saturating_sub(start) as f64 / 1000.0),
            _ => Value::Nothing,
        },
        ColumnRef::Experiment => text(experiments.get(&row.info.experiment_id).cloned()),
        ColumnRef::Source => text(row.tags.get(SOURCE_NAME).cloned()),
        ColumnRef::User => text(row.tags.get(USER).cloned().or_else(|| user(&row.info))),
        ColumnRef::Param(key) => loose(row.params.get(key)),
        ColumnRef::Metric(key) => {
            row.metrics.get(key).map_or(Value::Nothing, |value| Value::Number(value.unclamped()))
        }
        ColumnRef::Tag(key) => loose(row.tags.get(key)),
    }
}

/// All digits that tell the number from its neighbours.
fn number_text(number: f64) -> String {
    if number.is_finite() { format!("{number}") } else { number.to_string() }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Nothing => String::new(),
        Value::Number(number) => number_text(*number),
        Value::Text(text) | Value::Loose(text) => text.clone(),
    }
}

/// A text that a spreadsheet would calculate gets an apostrophe before it, and stays a text.
fn inert(text: &str) -> String {
    let begins = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if begins && text.parse::<f64>().is_err() { format!("'{text}") } else { text.to_owned() }
}

fn csv_cell(text: &str) -> String {
    let text = &inert(text);
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn latex_cell(text: &str) -> String {
    text.chars().fold(String::new(), |mut cell, char| {
        match char {
            '\\' => cell += "\\textbackslash{}",
            '~' => cell += "\\textasciitilde{}",
            '^' => cell += "\\textasciicircum{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                cell.push('\\');
                cell.push(char);
            }
            '\n' | '\r' => cell.push(' '),
            _ => cell.push(char),
        }
        cell
    })
}

fn python(value: &Value) -> String {
    let number = |number: f64| {
        if number.is_finite() {
            // Debug keeps the point, so that a column of whole metrics stays one of floats.
            format!("{number:?}")
        } else {
            format!("float(\"{}\")", number_text(number).to_lowercase())
        }
    };
    match value {
        Value::Nothing => "None".to_owned(),
        Value::Number(value) => number(*value),
        Value::Loose(text) => match text.parse::<i64>() {
            Ok(whole) => whole.to_string(),
            Err(_) => text.parse::<f64>().map_or_else(|_| json!(text).to_string(), number),
        },
        Value::Text(text) => json!(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let text = |text: &str| Value::Text(text.to_owned());
        let loose = |text: &str| Value::Loose(text.to_owned());
        Table {
            ids: vec!["a1".to_owned(), "b2".to_owned()],
            heads: vec!["run".to_owned(), "lr_0".to_owned(), "auc".to_owned(), "note".to_owned()],
            rows: vec![
                vec![text("one, \"two\""), loose("0.10"), Value::Number(1.0), loose("a|b\t\nc")],
                vec![text("ä_%"), loose("7"), Value::Number(f64::NAN), Value::Nothing],
            ],
        }
    }

    #[test]
    fn each_format_keeps_what_its_reader_would_take_for_its_own() {
        let check = |format, expected: &str| assert_eq!(table().write(format), expected);
        check(
            TextFormat::Tsv,
            "run\tlr_0\tauc\tnote\none, \"two\"\t0.10\t1\ta|b  c\nä_%\t7\tNaN\t\n",
        );
        check(
            TextFormat::Csv,
            "run_id,run,lr_0,auc,note\r\na1,\"one, \"\"two\"\"\",0.10,1,\"a|b\t\nc\"\r\n\
             b2,ä_%,7,NaN,\r\n",
        );
        check(
            TextFormat::Markdown,
            "| run | lr_0 | auc | note |\n| --- | ---: | ---: | --- |\n\
             | one, \"two\" | 0.10 | 1 | a\\|b\t c |\n| ä_% | 7 | NaN |  |\n",
        );
        check(
            TextFormat::Latex,
            "% needs \\usepackage{booktabs}\n\\begin{tabular}{lrrl}\n  \\toprule\n  \
             run & lr\\_0 & auc & note \\\\\n  \\midrule\n  \
             one, \"two\" & 0.10 & 1 & a|b\t c \\\\\n  ä\\_\\% & 7 & NaN &  \\\\\n  \
             \\bottomrule\n\\end{tabular}\n",
        );
        check(
            TextFormat::Pandas,
            "import pandas as pd\n\nruns = pd.DataFrame({\n    \"run_id\": [\"a1\", \"b2\"],\n    \
             \"run\": [\"one, \\\"two\\\"\", \"ä_%\"],\n    \"lr_0\": [0.1, 7],\n    \
             \"auc\": [1.0, float(\"nan\")],\n    \"note\": [\"a|b\\t\\nc\", None],\n})\n",
        );
    }

    #[test]
    fn spreadsheets_are_given_no_formulas() {
        let check = |text: &str, expected: &str| {
            let rows = vec![vec![Value::Loose(text.to_owned())]];
            let table =
                || Table { ids: vec!["a".into()], heads: vec!["x".into()], rows: rows.clone() };
            assert_eq!(table().write(TextFormat::Csv), format!("run_id,x\r\na,{expected}\r\n"));
            assert_eq!(table().write(TextFormat::Tsv), format!("x\n{expected}\n"));
        };
        check("=1+1", "'=1+1");
        check("@SUM(A1)", "'@SUM(A1)");
        check("-2+3", "'-2+3");
        check("-0.5", "-0.5");
        check("+1e-3", "+1e-3");
    }

    #[test]
    fn json_is_read_back_as_it_was() {
        let read: serde_json::Value =
            serde_json::from_str(&table().write(TextFormat::Json)).unwrap();
        let expected = json!([
            {"run_id": "a1", "run": "one, \"two\"", "lr_0": "0.10", "auc": 1.0, "note": "a|b\t\nc"},
            {"run_id": "b2", "run": "ä_%", "lr_0": "7", "auc": "NaN", "note": null},
        ]);
        assert_eq!(read, expected);
    }

    #[test]
    fn a_key_that_two_kinds_have_says_which_it_is() {
        let columns = [
            ColumnRef::Name,
            ColumnRef::Metric("lr".to_owned()),
            ColumnRef::Param("lr".to_owned()),
            ColumnRef::Tag("depth".to_owned()),
        ];
        assert_eq!(heads(&columns), ["run", "metrics.lr", "params.lr", "depth"]);
    }
}
