//! The program `cairn-supervisor`: `cairn launch supervise`, and nothing else.
//!
//! It takes the same command line. Of a small program less lies in memory for as long as a run
//! lasts: half of what `cairn` would take. Where it is not beside `cairn`, `cairn` does the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "launch")
        && arguments.next().is_some_and(|word| word == "supervise")
    {
        return cairn_runtime::supervisor::main(arguments);
    }
    eprintln!("error: this is a part of cairn: start cairn instead");
    ExitCode::FAILURE
}
