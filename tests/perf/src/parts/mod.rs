//! What is measured, one file for each part.

mod writes;
mod search;
mod history;
mod artifacts;
mod start;

use anyhow::Result;

use crate::Bench;
use crate::report::Report;

/// Measures one part.
pub type Part = fn(&Bench, &mut Report) -> Result<()>;

/// All parts, in the order they are measured.
pub const ALL: [(&str, Part); 8] = [
    ("start", start::measure),
    ("log-metric", writes::log_metric),
    ("create-run", writes::create_run),
    ("log-batch", writes::log_batch),
    ("growth", writes::growth),
    ("history", history::measure),
    ("artifacts", artifacts::measure),
    ("search", search::measure),
];

/// Numbers of runs at which cost is compared; a quick run leaves out the last one.
pub const SIZES: [u64; 3] = [1_000, 10_000, 100_000];

/// Numbers of clients at which cost is compared.
pub const CLIENTS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// The names of all parts.
pub fn names() -> String {
    ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

/// The middle of some values; not a number where there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The largest number of runs in this run of the bench.
pub fn largest(bench: &Bench) -> u64 {
    bench.sizes.last().copied().unwrap_or_default()
}
