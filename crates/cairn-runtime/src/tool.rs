//! Running a tool that makes something ready: its lines are progress, its failure is an error.

use crate::error::{Result, RuntimeError};
use crate::process::{Process, ProcessSpec};
use crate::{CancellationToken, Progress};

/// How many lines of a failed tool are kept for the report.
const KEPT_LINES: usize = 40;

/// What pip, uv and the system say when an index cannot be reached.
const NETWORK_SIGNS: [&str; 10] = [
    "error sending request",
    "failed to lookup address",
    "dns error",
    "name resolution",
    "name or service not known",
    "newconnectionerror",
    "connection refused",
    "network is unreachable",
    "tcp connect error",
    "operation timed out",
];

/// Runs to the end; `what` is the subject of the error's sentence.
pub(crate) async fn run(
    what: &str,
    spec: &ProcessSpec,
    progress: Progress<'_>,
    cancel: &CancellationToken,
) -> Result<()> {
    let process = Process::spawn(spec, cancel)?;
    let (exit, detail) = process
        .run_to_end(KEPT_LINES, |line| {
            if !line.trim().is_empty() {
                progress(line);
            }
        })
        .await;
    if exit.is_success() {
        return Ok(());
    }
    if exit.was_cancelled {
        return Err(RuntimeError::Cancelled);
    }
    let what = what.to_owned();
    if is_network_failure(&detail) {
        return Err(RuntimeError::NetworkUnavailable { what, detail });
    }
    Err(RuntimeError::ToolFailed { what, exit: exit.to_string(), detail })
}

fn is_network_failure(output: &str) -> bool {
    let output = output.to_lowercase();
    NETWORK_SIGNS.iter().any(|sign| output.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_failures_are_told_from_others() {
        assert!(is_network_failure(
            "error: Request failed\n  Caused by: dns error: failed to lookup address information"
        ));
        assert!(is_network_failure("NewConnectionError: Failed to establish a new connection"));
        assert!(!is_network_failure(
            "Because no-such-package was not found in the package registry"
        ));
    }
}
