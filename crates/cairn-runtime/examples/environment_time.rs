//! How long Cairn takes to make an environment, and to find it again.
//!
//! `environment_time DATA_DIR PYTHON REQUIREMENT…` prints two numbers of milliseconds. For comparing with uv alone.

use std::time::Instant;

use cairn_runtime::{CancellationToken, EnvironmentSpec, Environments};

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cairn_runtime::RuntimeError> {
    let mut arguments = std::env::args().skip(1);
    let data_dir = arguments.next().unwrap_or_default();
    let python = arguments.next().unwrap_or_default();
    let spec = EnvironmentSpec::python("measured", Some(&python), arguments)?;
    let environments = Environments::new(data_dir);
    let cancel = CancellationToken::new();
    for _ in 0..2 {
        let started = Instant::now();
        environments.ensure(&spec, &|_| (), &cancel).await?;
        println!("{:.2}", started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(())
}
