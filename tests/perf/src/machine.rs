//! On what was measured, in words that fit any machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::raw;
use crate::report::number;

/// The lines that describe this machine: processor, memory, system, and what its disk does.
pub fn describe(folder: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let cores = std::thread::available_parallelism()?;
    let cpu = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    lines.push(format!("Processor: {cpu}, {cores} cores"));
    if let Some(memory) = line_of("/proc/meminfo", "MemTotal") {
        let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        lines.push(format!("Memory: {:.0} GiB", kib / 1024.0 / 1024.0));
    }
    let system = fs::read_to_string("/etc/os-release").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok().and_then(|text| {
        let numbers: Vec<&str> = text.trim().split(['.', '-']).take(2).collect();
        (numbers.len() == 2).then(|| numbers.join("."))
    });
    if let (Some(system), Some(kernel)) = (system, kernel) {
        lines.push(format!("System: {system}, Linux {kernel}"));
    }
    lines.push(format!(
        "Disk: {}; an fsync after 4 KiB takes {} µs",
        file_system(folder).unwrap_or_else(|| "unknown file system".to_owned()),
        number(raw::fsync_us(folder)?)
    ));
    Ok(lines)
}

/// Today, as `2026-01-31`.
pub fn today() -> Option<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// How busy the machine is now, of all that runs on it.
pub fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next().map(str::to_owned)
}

/// The value of the first line of a file that begins with `name`, after its colon.
fn line_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn file_system(folder: &Path) -> Option<String> {
    let output =
        Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder).output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}
