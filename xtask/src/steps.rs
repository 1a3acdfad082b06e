//! Steps: what is being done, how long it took, and the table at the end.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How a step ended when it did not fail.
pub enum Outcome {
    /// Work was done.
    Done,
    /// Nothing had to be done; the text says why.
    Skipped(String),
}

enum Ending {
    Done,
    Skipped,
    Failed(String),
}

struct Finished {
    name: String,
    took: Duration,
    ending: Ending,
}

/// The steps of one command, in the order they were taken.
pub struct Steps {
    started: Instant,
    finished: Vec<Finished>,
}

impl Steps {
    /// Starts the clock of the whole command.
    pub fn begin() -> Self {
        Self { started: Instant::now(), finished: Vec::new() }
    }

    /// Takes a step that the following ones need: its failure ends the command.
    pub fn need(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        if self.attempt(name, step) {
            return Ok(());
        }
        print!("\n{}", self.table());
        bail!("the step “{name}” failed; the steps after it need it");
    }

    /// Takes a step whose failure is remembered and reported by [`Steps::end`], so that one run
    /// shows every failure. True if it did not fail.
    pub fn attempt(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) -> bool {
        println!("→ {name}");
        let started = Instant::now();
        let result = step();
        let took = started.elapsed();
        let ending = match result {
            Ok(Outcome::Done) => {
                println!("  {name}: {}", seconds(took));
                Ending::Done
            }
            Ok(Outcome::Skipped(reason)) => {
                println!("  {name}: {}, {reason}", seconds(took));
                Ending::Skipped
            }
            Err(error) => {
                println!("  {name}: FAILED after {}: {error:#}", seconds(took));
                Ending::Failed(format!("{error:#}"))
            }
        };
        let succeeded = !matches!(ending, Ending::Failed(_));
        self.finished.push(Finished { name: name.to_owned(), took, ending });
        succeeded
    }

    /// Remembers a step that could not be taken because an earlier one failed; this is a failure.
    pub fn not_possible(&mut self, name: &str, reason: &str) {
        println!("→ {name}\n  {name}: NOT RUN: {reason}");
        self.finished.push(Finished {
            name: name.to_owned(),
            took: Duration::ZERO,
            ending: Ending::Failed(format!("not run: {reason}")),
        });
    }

    /// Prints the table of all steps; an error if any of them failed.
    pub fn end(self) -> Result<()> {
        print!("\n{}", self.table());
        let failed: Vec<&str> = self
            .finished
            .iter()
            .filter(|step| matches!(step.ending, Ending::Failed(_)))
            .map(|step| step.name.as_str())
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        bail!("{} of {} steps failed: {}", failed.len(), self.finished.len(), failed.join(", "))
    }

    fn table(&self) -> String {
        let width = self.finished.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for step in &self.finished {
            let ending = match &step.ending {
                Ending::Done => "ok".to_owned(),
                Ending::Skipped => "ok, was done".to_owned(),
                Ending::Failed(reason) => format!("FAILED  {}", first_line(reason)),
            };
            let took = seconds(step.took);
            let _ = writeln!(text, "  {:width$}  {took:>9}  {ending}", step.name);
        }
        let _ = writeln!(text, "  {:width$}  {:>9}", "total", seconds(self.started.elapsed()));
        text
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A duration for people: `0.4 s`, `75.0 s`, `12 min 05 s`.
fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 120 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_attempt_fails_the_end_and_the_next_step_is_still_taken() {
        let mut steps = Steps::begin();
        assert!(!steps.attempt("first", || bail!("broken")));
        let mut taken = false;
        assert!(steps.attempt("second", || {
            taken = true;
            Ok(Outcome::Done)
        }));
        assert!(taken);
        let error = steps.end().expect_err("one step failed").to_string();
        assert_eq!(error, "1 of 2 steps failed: first");
    }

    #[test]
    fn a_step_that_could_not_be_taken_counts_as_failed() {
        let mut steps = Steps::begin();
        steps.not_possible("window", "no build");
        assert!(steps.end().is_err());
    }

    #[test]
    fn a_needed_step_that_fails_ends_the_command_at_once() {
        let mut steps = Steps::begin();
        assert!(steps.need("first", || bail!("broken")).is_err());
    }

    #[test]
    fn skipped_steps_are_no_failure() {
        let mut steps = Steps::begin();
        assert!(steps.attempt("first", || Ok(Outcome::Skipped("present".to_owned()))));
        assert!(steps.end().is_ok());
    }

    #[test]
    fn long_durations_are_minutes() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(725)), "12 min 05 s");
    }
}
