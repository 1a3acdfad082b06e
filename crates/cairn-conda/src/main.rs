//! The program `cairn-conda`: makes one conda environment.
//!
//! `cairn-conda make REQUEST ANSWER` reads what is wanted from a JSON file, says what it does line by line, and
//! writes what it made, or why it could not, as JSON. It is called by Cairn, like uv is; nothing links it.

mod install;
mod request;
mod solve;

use std::path::Path;
use std::process::ExitCode;

use request::{Failure, Request};

const USAGE: &str = "usage: cairn-conda make REQUEST.json ANSWER.json\n\
                     Makes a conda environment. It is called by cairn.";

#[expect(clippy::print_stdout, reason = "this is what the options are for")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", request, answer] => make(Path::new(request), Path::new(answer)),
        ["--version" | "-V"] => {
            println!("cairn-conda {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn make(request: &Path, answer: &Path) -> ExitCode {
    let made = Request::read(request).and_then(|request| {
        // One provider of TLS for the whole program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("The program cannot start: {error}")))?;
        runtime.block_on(install::make(&request))
    });
    let (code, text) = match made {
        Ok(made) => (ExitCode::SUCCESS, serde_json::to_vec(&made)),
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            (ExitCode::FAILURE, serde_json::to_vec(&failure))
        }
    };
    match std::fs::write(answer, text.expect("text is always JSON")) {
        Ok(()) => code,
        Err(error) => {
            eprintln!("error: {} cannot be written: {error}", answer.display());
            ExitCode::FAILURE
        }
    }
}
