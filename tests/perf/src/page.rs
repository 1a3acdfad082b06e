//! The page about all of it in the documents: `benchmarks.md`, and its pictures.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::machine;
use crate::report::{Report, Table};

/// How it was measured, for readers.
const METHOD: &str = "\
`cargo xtask bench tracking --write` measures and writes this page; without `--write` it only prints. One part
alone: `cargo xtask bench tracking log-batch`. A figure is a ratio wherever it can be one, because the machine
cancels out of it: each of Cairn's slices stands beside one of the other side in the same run.

- **Plain SQLite** writes the same rows into a file of the same schema from inside the program: one connection,
  prepared statements, WAL, `synchronous=FULL`, foreign keys checked, one transaction for each call. There is no
  HTTP, no JSON and no second client in it, so it is what the disk and SQLite allow.
- **MLflow** is stock `mlflow server` 3.17.2 with its default settings on SQLite, on the same machine.
- Clients send without a pause over connections that are kept open, on the same cores as the server. After each
  series of writes the server is asked for all that it answered, and the bench fails if anything is missing.
- Generated runs have 20 parameters, 20 metrics and 5 tags each. No two searches are alike, so none is
  answered from one that was kept. MLflow's first page must list the same runs in the same order as Cairn's.
- The disk's own rate is that of one file written up to its `fsync`, and read after the system forgot it.
";

/// Writes the page and its pictures below the folder of the documents.
pub fn write(docs: &Path, report: &Report, machine: &[String]) -> Result<()> {
    let pictures = docs.join("benchmarks");
    fs::create_dir_all(&pictures)?;
    for table in &report.tables {
        if let Some((name, chart)) = &table.chart {
            let svg = cairn_charts::svg(chart).with_context(|| format!("the picture {name}"))?;
            fs::write(pictures.join(format!("{name}.svg")), svg)?;
        }
    }
    fs::write(docs.join("benchmarks.md"), text(report, machine)?)?;
    Ok(())
}

fn text(report: &Report, machine: &[String]) -> Result<String> {
    let mut text = String::from("# Benchmarks\n\n");
    let today = machine::today().unwrap_or_else(|| "an unknown day".to_owned());
    let load = machine::load().unwrap_or_else(|| "unknown".to_owned());
    writeln!(text, "Measured on {today}; load of the machine at the end: {load}.\n")?;
    for line in machine {
        writeln!(text, "- {line}")?;
    }
    writeln!(text, "\n## What Cairn must reach\n")?;
    writeln!(text, "| figure | target | measured | | |")?;
    writeln!(text, "| --- | --- | --- | --- | --- |")?;
    for figure in &report.figures {
        let cells = [
            figure.what.clone(),
            figure.target_text(),
            figure.value_text(),
            figure.verdict_text().to_owned(),
            figure.detail.clone(),
        ];
        writeln!(text, "| {} |", cells.join(" | "))?;
    }
    for (part, _) in &report.failures {
        writeln!(text, "| {part} | | not measured | missed | the part broke off |")?;
    }
    writeln!(text, "\n## How cost grows")?;
    for table in &report.tables {
        write_table(&mut text, table)?;
    }
    write!(text, "\n## Method\n\n{METHOD}")?;
    Ok(text)
}

fn write_table(text: &mut String, table: &Table) -> Result<()> {
    writeln!(text, "\n### {}\n", table.title)?;
    writeln!(text, "| {} |", table.columns.join(" | "))?;
    writeln!(text, "|{}", " --- |".repeat(table.columns.len()))?;
    for row in &table.rows {
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    if let Some((name, chart)) = &table.chart {
        writeln!(text, "\n![{}](benchmarks/{name}.svg)", chart.title)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cairn_charts::{Axis, LineChart, Series};

    use super::*;
    use crate::report::Target;

    #[test]
    fn the_page_names_every_figure_table_and_picture() {
        let mut report = Report::default();
        report.add("start", Target::Below(150.0), 12.0, "ms", "median");
        report.failures.push(("search".to_owned(), "at /home/x".to_owned()));
        let series =
            vec![Series { name: "Cairn".to_owned(), points: vec![(1.0, 2.0), (2.0, 3.0)] }];
        let chart = LineChart {
            title: "By clients".to_owned(),
            description: String::new(),
            x: Axis::log("clients"),
            y: Axis::log("rate"),
            series,
        };
        report.tables.push(Table {
            title: "By clients".to_owned(),
            columns: vec!["clients".to_owned(), "rate".to_owned()],
            rows: vec![vec!["1".to_owned(), "2".to_owned()]],
            chart: Some(("by-clients".to_owned(), chart)),
        });
        let docs = tempfile::tempdir().expect("a folder");
        write(docs.path(), &report, &["Processor: one".to_owned()]).expect("written");
        let page = fs::read_to_string(docs.path().join("benchmarks.md")).expect("the page");
        for part in [
            "| start | < 150 ms | 12.0 ms | met | median |",
            "| search | | not measured | missed |",
            "| 1 | 2 |",
            "![By clients](benchmarks/by-clients.svg)",
            "- Processor: one",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        // What went wrong may name a folder of this machine.
        assert!(!page.contains("/home/x"));
        assert!(docs.path().join("benchmarks/by-clients.svg").exists());
    }
}
