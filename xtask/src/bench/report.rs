//! Measured values beside what they must reach.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};

struct Line {
    part: String,
    what: String,
    detail: String,
    measured: f64,
    unit: &'static str,
    target: f64,
}

impl Line {
    fn passes(&self) -> bool {
        self.measured < self.target
    }
}

/// All lines of one bench, printed as they come and once more at the end.
#[derive(Default)]
pub struct Report {
    /// What is measured now: `projects`.
    part: String,
    lines: Vec<Line>,
    failures: Vec<String>,
}

impl Report {
    /// Begins a part: what is added from now on is its.
    pub fn begin(&mut self, part: &str) {
        part.clone_into(&mut self.part);
    }

    /// Adds a measured value, which is to stay below its target, and prints it.
    pub fn add(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
        target: f64,
        detail: impl Into<String>,
    ) {
        let (part, what, detail) = (self.part.clone(), what.into(), detail.into());
        let line = Line { part, what, detail, measured, unit, target };
        println!("  {}", text(&line));
        self.lines.push(line);
    }

    /// Remembers a measurement that could not be taken. It counts as failed.
    pub fn failed(&mut self, what: &str, error: &anyhow::Error) {
        let line = format!("FAIL  {what}: not measured: {error:#}");
        println!("  {line}");
        self.failures.push(line);
    }

    /// Writes `<folder>/<part>.md` for each part that was measured.
    pub fn write(&self, folder: &Path, today: &str) -> Result<()> {
        let mut parts: Vec<&str> = self.lines.iter().map(|line| line.part.as_str()).collect();
        parts.dedup();
        for part in parts {
            let lines = self.lines.iter().filter(|line| line.part == part);
            let path = folder.join(format!("{part}.md"));
            fs::write(&path, page(part, today, lines))
                .with_context(|| format!("{} cannot be written", path.display()))?;
            println!("  written: {}", path.display());
        }
        Ok(())
    }

    /// Prints everything again, together; an error if any target was missed.
    pub fn end(self) -> Result<()> {
        println!("\nWhat Cairn must reach, and what was measured:");
        if let Some(remark) = fs::read_to_string("/proc/loadavg").ok().and_then(|text| load(&text))
        {
            println!("  {remark}");
        }
        for line in &self.lines {
            println!("  {}", text(line));
        }
        for failure in &self.failures {
            println!("  {failure}");
        }
        let missed = self.lines.iter().filter(|line| !line.passes()).count() + self.failures.len();
        if missed > 0 {
            bail!(
                "{missed} of {} targets were not reached",
                self.lines.len() + self.failures.len()
            );
        }
        Ok(())
    }
}

/// How busy the machine was, from the text of `/proc/loadavg`: the bench itself keeps about two threads
/// busy, and times mean little when others do too.
fn load(text: &str) -> Option<String> {
    let cores = thread::available_parallelism().ok()?;
    let average = text.split(' ').next()?;
    Some(format!("load {average} over the last minute, on {cores} cores"))
}

fn text(line: &Line) -> String {
    let verdict = if line.passes() { "PASS" } else { "FAIL" };
    format!(
        "{verdict}  {:<44} {:>9} {} (target < {} {}){}{}",
        line.what,
        number(line.measured),
        line.unit,
        number(line.target),
        line.unit,
        if line.detail.is_empty() { "" } else { "  " },
        line.detail
    )
}

fn page<'a>(part: &str, today: &str, lines: impl Iterator<Item = &'a Line>) -> String {
    let load = fs::read_to_string("/proc/loadavg").ok().and_then(|text| load(&text));
    let load = load.map(|load| format!("; {load}")).unwrap_or_default();
    let mut page = format!(
        "# Measured: {part}\n\nBy `cargo xtask bench {part} --write` on {today}{load}.\n\n\
         | figure | target | measured | | |\n| --- | --- | --- | --- | --- |\n"
    );
    for line in lines {
        let verdict = if line.passes() { "met" } else { "missed" };
        let (target, measured) = (number(line.target), number(line.measured));
        let Line { what, unit, detail, .. } = line;
        let _ = writeln!(
            page,
            "| {what} | < {target} {unit} | {measured} {unit} | {verdict} | {detail} |"
        );
    }
    page
}

/// A number with about three significant digits.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_reached_below_it_only() {
        let check = |measured, expected: bool| {
            let mut report = Report::default();
            report.add("thing", measured, "ms", 10.0, "");
            assert_eq!(report.end().is_ok(), expected, "{measured}");
        };
        check(9.9, true);
        check(10.0, false);
    }

    #[test]
    fn each_part_has_a_page_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        for (part, measured) in [("table", 3.0), ("start", 12.0)] {
            report.begin(part);
            report.add("first page", measured, "ms", 10.0, "of many");
        }
        report.write(folder.path(), "2026-01-02").unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let line = "| first page | < 10.0 ms | 3.00 ms | met | of many |\n";
        assert!(page("table.md").ends_with(line), "{}", page("table.md"));
        assert!(page("start.md").contains("| missed |"), "{}", page("start.md"));
        assert!(page("start.md").contains("bench start --write` on 2026-01-02"));
    }

    #[test]
    fn what_could_not_be_measured_has_failed() {
        let mut report = Report::default();
        report.failed("start", &anyhow::anyhow!("no window"));
        assert!(report.end().is_err());
    }
}
