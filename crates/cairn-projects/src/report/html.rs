//! The report as one HTML file: no scripts, nothing from elsewhere, light and dark.
//!
//! Every text that comes from a run goes through [`Escaped`].

use std::fmt::{self, Write as _};

use cairn_runtime::capital;

use super::{ArtifactOutcome, FileChange, MetricOutcome, Report, RunComparison, RunLabel, Verdict};

/// Equal artifacts are listed up to this number.
const MAX_EQUAL_ROWS: usize = 200;

/// Writes the whole page.
pub fn page(report: &Report) -> String {
    let mut html = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut html, report);
    html
}

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1c2126;--soft:#5b6670;--line:#d9dee3;--ground:#fff;--panel:#f5f7f8;--good:#17663a;--near:#7a5200;--bad:#a3232b}\
@media(prefers-color-scheme:dark){:root{--text:#e6eaed;--soft:#a0abb5;--line:#39424a;--ground:#16191c;--panel:#1f2428;--good:#7dd3a0;--near:#e8c069;--bad:#ff9a9a}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:2rem 1.5rem;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,sans-serif}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.5rem 0 .5rem}p{margin:.25rem 0}\
.soft{color:var(--soft)}.verdict{background:var(--panel);border:1px solid var(--line);border-left:.4rem solid;border-radius:.4rem;padding:1rem 1.25rem;margin:1rem 0}\
.good{color:var(--good)}.near{color:var(--near)}.bad{color:var(--bad)}.verdict.good{border-left-color:var(--good)}.verdict.near{border-left-color:var(--near)}.verdict.bad{border-left-color:var(--bad)}\
.verdict p{color:var(--text)}.verdict strong{font-size:1.25rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}th{color:var(--soft);font-weight:600}\
td.number,th.number{text-align:right}code{font:13px/1.4 ui-monospace,monospace}ol{padding-left:1.5rem;margin:.25rem 0}.wide{overflow-x:auto}";

fn write(html: &mut String, report: &Report) -> fmt::Result {
    let (class, sign) = look(report.verdict);
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Reproduction report: {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Reproduction report</h1>\n<p class=\"soft\">Made by Cairn, {}</p>\n\
         <div class=\"verdict {class}\"><strong>{sign} {}</strong><p>{}</p></div>\n",
        Escaped(report.verdict.as_str()),
        Time(report.created_ms),
        Escaped(&capital(report.verdict.as_str())),
        Escaped(&report.summary),
    )?;
    html.push_str(
        "<table><thead><tr><th></th><th>Original</th><th>Rerun</th></tr></thead><tbody>\n",
    );
    let both = |html: &mut String, name: &str, of: &dyn Fn(&RunLabel) -> String| {
        writeln!(
            html,
            "<tr><th scope=\"row\">{name}</th><td>{}</td><td>{}</td></tr>",
            of(&report.original),
            of(&report.rerun)
        )
    };
    both(html, "Run", &|run| {
        format!("{} <code>{}</code>", Escaped(&run.name), Escaped(&run.run_id))
    })?;
    both(html, "Status", &|run| Escaped(&run.status).to_string())?;
    both(html, "Started", &|run| Time(run.start_ms).to_string())?;
    both(html, "Took", &|run| match run.end_ms {
        Some(end) => format!("{:.1} s", (end - run.start_ms) as f64 / 1000.0),
        None => "–".to_owned(),
    })?;
    html.push_str("</tbody></table>\n");

    if !report.causes.is_empty() {
        let title = if report.verdict == Verdict::Reproduced {
            "What changed, without an effect"
        } else {
            "Likely causes"
        };
        writeln!(html, "<h2>{title}</h2>\n<ol>")?;
        for cause in &report.causes {
            writeln!(html, "<li>{}</li>", Escaped(&cause.text))?;
        }
        html.push_str("</ol>\n");
    }
    for run in &report.runs {
        write_run(html, run)?;
    }
    write_inputs(html, report)?;
    if !report.unknown.is_empty() {
        html.push_str("<h2>Not compared</h2>\n<ul>\n");
        for text in &report.unknown {
            writeln!(html, "<li>{}</li>", Escaped(text))?;
        }
        html.push_str("</ul>\n");
    }
    write!(
        html,
        "<p class=\"soft\">Within tolerance means: the values are at most {} + {} × the original's value apart, \
         unless the metric has a tolerance of its own. What every rerun changes does not count: ids, times, \
         system metrics.</p>\n</main>\n</body>\n</html>\n",
        report.tolerances.absolute, report.tolerances.relative
    )
}

fn write_run(html: &mut String, run: &RunComparison) -> fmt::Result {
    if !run.label.is_empty() {
        let (class, sign) = look(run.verdict);
        let alone = match (&run.original, &run.rerun) {
            (Some(_), None) => ", only in the original",
            (None, Some(_)) => ", only in the rerun",
            _ => "",
        };
        writeln!(
            html,
            "<h2>Child run {} <span class=\"{class}\">{sign} {}{alone}</span></h2>",
            Escaped(&run.label),
            run.verdict
        )?;
    }
    if !run.metrics.is_empty() {
        html.push_str(
            "<h3>Metrics</h3>\n<div class=\"wide\"><table><thead><tr><th>Metric</th><th class=\"number\">Original</th>\
             <th class=\"number\">Rerun</th><th class=\"number\">Difference</th><th class=\"number\">Relative</th>\
             <th>Verdict</th></tr></thead><tbody>\n",
        );
        for metric in &run.metrics {
            let (class, text) = match metric.outcome {
                MetricOutcome::Equal => ("good", "✓ equal".to_owned()),
                MetricOutcome::WithinTolerance => ("near", "≈ within tolerance".to_owned()),
                MetricOutcome::Time => ("near", "≈ a measure of time".to_owned()),
                MetricOutcome::Missing => ("bad", "✗ missing in the rerun".to_owned()),
                MetricOutcome::Extra => ("bad", "✗ only in the rerun".to_owned()),
                MetricOutcome::Differs => {
                    let points = if metric.original_points == metric.rerun_points {
                        String::new()
                    } else {
                        format!(", {} and {} points", metric.original_points, metric.rerun_points)
                    };
                    let from = metric
                        .first_different_step
                        .filter(|_| metric.original_points > 1)
                        .map(|step| format!(" from step {step} on"))
                        .unwrap_or_default();
                    ("bad", format!("✗ differs{from}{points}"))
                }
            };
            writeln!(
                html,
                "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td class=\"{class}\">{text}</td></tr>",
                Escaped(&metric.name),
                Number(metric.original),
                Number(metric.rerun),
                Number(metric.difference),
                metric
                    .relative_difference
                    .map_or_else(|| "–".to_owned(), |share| format!("{share:.3e}")),
            )?;
        }
        html.push_str("</tbody></table></div>\n");
    }
    if !run.params.is_empty() {
        html.push_str(
            "<h3>Parameters that differ</h3>\n<div class=\"wide\"><table><thead><tr><th>Parameter</th><th>Original</th>\
             <th>Rerun</th></tr></thead><tbody>\n",
        );
        for param in &run.params {
            write_row(html, &param.name, param.original.as_deref(), param.rerun.as_deref())?;
        }
        html.push_str("</tbody></table></div>\n");
    }
    if !run.artifacts.is_empty() {
        html.push_str(
            "<h3>Artifacts</h3>\n<div class=\"wide\"><table><thead><tr><th>Path</th><th class=\"number\">Original</th>\
             <th class=\"number\">Rerun</th><th>Verdict</th></tr></thead><tbody>\n",
        );
        for artifact in run.artifacts.iter().take(MAX_EQUAL_ROWS) {
            let (class, text) = match artifact.outcome {
                ArtifactOutcome::Same => ("good", "✓ same"),
                ArtifactOutcome::SameButForIds => ("good", "✓ same but for ids and times"),
                ArtifactOutcome::WithinTolerance => ("near", "≈ within tolerance"),
                ArtifactOutcome::NotCompared => ("near", "? not compared"),
                ArtifactOutcome::Differs => ("bad", "✗ differs"),
                ArtifactOutcome::Missing => ("bad", "✗ missing in the rerun"),
                ArtifactOutcome::Extra => ("bad", "✗ only in the rerun"),
            };
            let why =
                artifact.explanation.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(
                html,
                "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td><span class=\"{class}\">{text}</span>{}</td></tr>",
                Escaped(&artifact.path),
                Bytes(artifact.original_size),
                Bytes(artifact.rerun_size),
                Escaped(&why),
            )?;
        }
        html.push_str("</tbody></table></div>\n");
        if run.artifacts.len() > MAX_EQUAL_ROWS {
            writeln!(
                html,
                "<p class=\"soft\">and {} more</p>",
                run.artifacts.len() - MAX_EQUAL_ROWS
            )?;
        }
    }
    Ok(())
}

fn write_inputs(html: &mut String, report: &Report) -> fmt::Result {
    html.push_str("<h2>Code</h2>\n");
    let code = &report.code;
    let said = match code.is_same {
        Some(true) => "Both ran the same files.",
        Some(false) => "The files differ.",
        None => "Not known for both.",
    };
    writeln!(html, "<p>{said}</p>")?;
    if code.original_commit.is_some() || code.rerun_commit.is_some() {
        writeln!(
            html,
            "<p>Commit <code>{}</code>, rerun <code>{}</code></p>",
            Escaped(code.original_commit.as_deref().unwrap_or("not known")),
            Escaped(code.rerun_commit.as_deref().unwrap_or("not known"))
        )?;
    }
    if !code.files.is_empty() {
        html.push_str("<ul>\n");
        for file in &code.files {
            let change = match file.change {
                FileChange::Added => "added",
                FileChange::Removed => "removed",
                FileChange::Changed => "changed",
            };
            writeln!(
                html,
                "<li><code>{}</code> {change} (+{} −{})</li>",
                Escaped(&file.path),
                file.added_lines,
                file.removed_lines
            )?;
        }
        html.push_str("</ul>\n");
    }
    let environment = &report.environment;
    html.push_str("<h2>Environment</h2>\n");
    let differing = environment.packages.len();
    if environment.is_known {
        writeln!(
            html,
            "<p>{} packages are the same, {differing} differ.</p>",
            environment.same_packages
        )?;
    } else {
        html.push_str("<p>The packages of one of the runs are not recorded.</p>\n");
    }
    if differing > 0 || environment.python.is_some() || !environment.platform.is_empty() {
        html.push_str(
            "<div class=\"wide\"><table><thead><tr><th></th><th>Original</th><th>Rerun</th></tr></thead><tbody>\n",
        );
        for fact in environment.python.iter().chain(&environment.platform) {
            write_row(html, &fact.name, fact.original.as_deref(), fact.rerun.as_deref())?;
        }
        for package in &environment.packages {
            write_row(html, &package.name, package.original.as_deref(), package.rerun.as_deref())?;
        }
        html.push_str("</tbody></table></div>\n");
    }
    if !report.data.is_empty() {
        html.push_str(
            "<h2>Data files</h2>\n<div class=\"wide\"><table><thead><tr><th>Parameter</th><th>Original</th><th>Rerun</th>\
             </tr></thead><tbody>\n",
        );
        for data in &report.data {
            let side = |path: &Option<String>, digest: &Option<String>| {
                let digest =
                    digest.as_ref().map_or("not read", |digest| digest.get(..12).unwrap_or(digest));
                path.as_ref().map(|path| format!("{path} (sha256 {digest})"))
            };
            write_row(
                html,
                &data.param,
                side(&data.original_path, &data.original_digest).as_deref(),
                side(&data.rerun_path, &data.rerun_digest).as_deref(),
            )?;
        }
        html.push_str("</tbody></table></div>\n");
    }
    Ok(())
}

fn write_row(
    html: &mut String,
    name: &str,
    original: Option<&str>,
    rerun: Option<&str>,
) -> fmt::Result {
    writeln!(
        html,
        "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
        Escaped(name),
        Escaped(original.unwrap_or("–")),
        Escaped(rerun.unwrap_or("–"))
    )
}

/// The class of a verdict's colour, and the sign that stands beside it for those who see none.
fn look(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Reproduced => ("good", "✓"),
        Verdict::WithinTolerance => ("near", "≈"),
        Verdict::Differs => ("bad", "✗"),
    }
}

/// A text in which nothing is markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // What would turn the direction of the text around, or is not allowed in HTML.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(f, "{}", c.escape_unicode())?;
                }
                c if c.is_control() && !matches!(c, '\n' | '\t') => {
                    write!(f, "{}", c.escape_default())?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

struct Number(Option<f64>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("–"),
            Some(value)
                if value != 0.0 && value.is_finite() && !(1e-4..1e15).contains(&value.abs()) =>
            {
                write!(f, "{value:e}")
            }
            Some(value) => write!(f, "{value}"),
        }
    }
}

struct Bytes(Option<u64>);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("–"),
            Some(n) if n < 1024 => write!(f, "{n} B"),
            Some(n) if n < 1 << 20 => write!(f, "{:.1} KiB", n as f64 / 1024.0),
            Some(n) => write!(f, "{:.1} MiB", n as f64 / 1_048_576.0),
        }
    }
}

/// Milliseconds since 1970 as a date and time in UTC.
struct Time(i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Howard Hinnant's civil_from_days: days since 1970 to a date, without a library for one line.
        let (days, seconds) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000) / 1000);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_dates() {
        for (millis, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_795_294_123_000, "2026-11-21 20:48:43 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(Time(millis).to_string(), expected);
        }
    }

    #[test]
    fn no_text_becomes_markup() {
        let text = Escaped("<img src=x onerror='alert(1)'>&\"\u{202e}\u{0}").to_string();
        assert_eq!(text, "&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&amp;&quot;\\u{202e}\\u{0}");
    }
}
