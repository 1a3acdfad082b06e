//! A large file up and down, against writing and reading it on the same disk.

use anyhow::{Result, bail};

use super::median;
use crate::Bench;
use crate::raw;
use crate::report::{Report, Target, number};
use crate::servers::Server;

/// The file goes each way this many times, in turns with the disk alone.
const TURNS: usize = 3;

/// Measures both ways in turns; the last turn's files go away with the scratch folder.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let block = block();
    let count = bench.artifact_mib;
    let size_mb = (block.len() * count) as f64 / 1e6;
    let folder = bench.folder("artifacts");
    let server = Server::cairn(&bench.cairn, &folder)?;
    let mut connection = server.connect();
    connection.get("/health")?;
    let before = server.memory()?;
    let (mut ups, mut downs, mut writes, mut reads) = (vec![], vec![], vec![], vec![]);
    for turn in 0..TURNS {
        let name = format!("1/models/m-{turn}/artifacts/model.bin");
        let raw_path = bench.folder("raw.bin");
        writes.push(raw::write_file(&raw_path, &block, count)?);
        ups.push(up(&mut connection, &name, &block, count)?);
        raw::forget_cached(&raw_path)?;
        reads.push(raw::read_file(&raw_path)?);
        let stored = folder.join("mlartifacts").join(&name);
        raw::forget_cached(&stored)?;
        downs.push(down(&mut connection, &name, block.len() * count)?);
        std::fs::remove_file(stored)?;
        std::fs::remove_file(raw_path)?;
    }
    let memory = server.memory()?.peak_mb - before.resident_mb;
    drop(server);
    for (what, ours, raw) in [("up", ups, writes), ("down", downs, reads)] {
        let (ours, raw) = (size_mb / median(ours), size_mb / median(raw));
        report.add(
            format!("artifact of {} MB {what}, against the disk", number(size_mb)),
            Target::AtLeast(0.7),
            ours / raw,
            "of its rate",
            format!("{} MB/s against {} MB/s", number(ours), number(raw)),
        );
    }
    report.add(
        "memory while artifacts go up and down",
        Target::Below(32.0),
        memory,
        "MB more",
        format!("the most above {} MB before", number(before.resident_mb)),
    );
    against_mlflow(bench, report, &block, size_mb)
}

fn against_mlflow(bench: &Bench, report: &mut Report, block: &[u8], size_mb: f64) -> Result<()> {
    let server = bench.mlflow()?;
    let mut connection = server.connect();
    let name = "1/models/m-1/artifacts/model.bin";
    let up = up(&mut connection, name, block, bench.artifact_mib)?;
    let down = down(&mut connection, name, block.len() * bench.artifact_mib)?;
    report.add("artifact up, MLflow", Target::None, size_mb / up, "MB/s", "for comparison");
    report.add("artifact down, MLflow", Target::None, size_mb / down, "MB/s", "for comparison");
    Ok(())
}

/// Seconds until the answer.
fn up(
    connection: &mut crate::http::Connection,
    name: &str,
    block: &[u8],
    count: usize,
) -> Result<f64> {
    let started = std::time::Instant::now();
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/{name}");
    let response = connection.put_blocks(&path, block, count)?;
    if response.status != 200 {
        bail!("the upload was answered with {}", response.status);
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds until the last byte.
fn down(connection: &mut crate::http::Connection, name: &str, size: usize) -> Result<f64> {
    let started = std::time::Instant::now();
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/{name}");
    let count = connection.get_and_count(&path)?;
    if count != size as u64 {
        bail!("{count} bytes of {size} came down");
    }
    Ok(started.elapsed().as_secs_f64())
}

/// 1 MiB that no disk can make smaller.
fn block() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut block = Vec::with_capacity(1 << 20);
    while block.len() < 1 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block
}
