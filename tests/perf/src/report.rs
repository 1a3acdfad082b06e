//! Measured values beside what they must reach, and tables and charts of how cost grows.

use anyhow::{Result, bail};
use cairn_charts::LineChart;

/// What a value must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// At least so much.
    AtLeast(f64),
    /// Less than so much.
    Below(f64),
    /// It is told, and nothing depends on it.
    None,
}

/// One figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// What it must reach.
    pub target: Target,
    /// The measured value.
    pub value: f64,
    /// The unit of both.
    pub unit: &'static str,
    /// Of what the value was made.
    pub detail: String,
}

impl Figure {
    /// Whether the target was met; `None` where there is none.
    pub fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::AtLeast(least) => Some(self.value >= least),
            Target::Below(most) => Some(self.value < most),
            Target::None => None,
        }
    }

    /// The target in words; empty where there is none.
    pub fn target_text(&self) -> String {
        match self.target {
            Target::AtLeast(least) => format!("≥ {}", with_unit(least, self.unit)),
            Target::Below(most) => format!("< {}", with_unit(most, self.unit)),
            Target::None => String::new(),
        }
    }

    /// The value with its unit.
    pub fn value_text(&self) -> String {
        with_unit(self.value, self.unit)
    }

    /// `met`, `missed`, or nothing.
    pub fn verdict_text(&self) -> &'static str {
        match self.is_met() {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        }
    }
}

/// How something grows.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its heading.
    pub title: String,
    /// Column headings; the first is that of the rows.
    pub columns: Vec<String>,
    /// Rows, each with a cell for each column.
    pub rows: Vec<Vec<String>>,
    /// The same as a picture: the name of its file without ending, and what it shows.
    pub chart: Option<(String, LineChart)>,
}

/// All that one run of the bench found.
#[derive(Debug, Default)]
pub struct Report {
    /// Figures, in the order they were measured.
    pub figures: Vec<Figure>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Parts that broke off, and why.
    pub failures: Vec<(String, String)>,
}

impl Report {
    /// Adds a figure and prints it.
    pub fn add(
        &mut self,
        what: impl Into<String>,
        target: Target,
        value: f64,
        unit: &'static str,
        detail: impl Into<String>,
    ) {
        let figure = Figure { what: what.into(), target, value, unit, detail: detail.into() };
        let verdict = figure.verdict_text();
        let (target, value) = (figure.target_text(), figure.value_text());
        crate::say(&format!("{verdict:<7}{}: {value} {target} ({})", figure.what, figure.detail));
        self.figures.push(figure);
    }

    /// Remembers a part that broke off. It counts as missed.
    pub fn failed(&mut self, part: &str, error: &anyhow::Error) {
        crate::say(&format!("{part}: not measured: {error:#}"));
        self.failures.push((part.to_owned(), format!("{error:#}")));
    }

    /// Prints everything again, together.
    #[expect(clippy::print_stdout, reason = "the end of the program's output")]
    pub fn print(&self) {
        for table in &self.tables {
            println!("\n{}", table.title);
            let mut lines = vec![table.columns.clone()];
            lines.extend(table.rows.iter().cloned());
            print_aligned(&lines);
        }
        println!("\nWhat Cairn must reach, and what was measured:");
        let mut lines = vec![["figure", "target", "measured", "", ""].map(str::to_owned).to_vec()];
        for figure in &self.figures {
            lines.push(vec![
                figure.what.clone(),
                figure.target_text(),
                figure.value_text(),
                figure.verdict_text().to_owned(),
                figure.detail.clone(),
            ]);
        }
        for (part, error) in &self.failures {
            let cells = [part.as_str(), "", "not measured", "missed", error];
            lines.push(cells.map(str::to_owned).to_vec());
        }
        print_aligned(&lines);
        println!();
    }

    /// An error if a target was missed.
    pub fn verdict(&self) -> Result<()> {
        let judged = self.figures.iter().filter_map(Figure::is_met);
        let total = judged.clone().count() + self.failures.len();
        let missed = judged.filter(|is_met| !is_met).count() + self.failures.len();
        if missed > 0 {
            bail!("{missed} of {total} targets were missed");
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "a part of the report")]
fn print_aligned(lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("  {}", cells.join("  ").trim_end());
    }
}

/// A number with about three significant digits, and its unit.
pub fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

/// A number with about three significant digits, thousands apart.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "–".to_owned(),
        size if size >= 10_000.0 => thousands(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with a comma between each three digits.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(target: Target, value: f64) -> Report {
        let figure =
            Figure { what: "thing".into(), target, value, unit: "ms", detail: String::new() };
        Report { figures: vec![figure], ..Report::default() }
    }

    #[test]
    fn a_target_is_met_from_its_good_side_only() {
        let check = |target, value, expected: bool| {
            assert_eq!(report(target, value).verdict().is_ok(), expected, "{target:?} {value}");
        };
        check(Target::AtLeast(10.0), 10.0, true);
        check(Target::AtLeast(10.0), 9.9, false);
        check(Target::Below(10.0), 9.9, true);
        check(Target::Below(10.0), 10.0, false);
        check(Target::Below(10.0), f64::NAN, false);
        check(Target::None, 99.0, true);
    }

    #[test]
    fn what_could_not_be_measured_was_missed() {
        let mut report = report(Target::None, 1.0);
        report.failures.push(("search".to_owned(), "no answer".to_owned()));
        assert!(report.verdict().is_err());
    }

    #[test]
    fn numbers_have_three_digits_or_all_before_the_point() {
        for (value, text) in [
            (0.1234, "0.12"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1234"),
            (12_345.6, "12,346"),
            (1_234_567.0, "1,234,567"),
            (-123_456.0, "-123,456"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
