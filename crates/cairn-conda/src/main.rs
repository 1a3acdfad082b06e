//! The program that makes conda environments natively.

fn main() {
    eprintln!("error: this build of cairn-conda makes nothing yet");
    std::process::exit(2);
}
