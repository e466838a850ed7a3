//! The program `storebox` as the tests start it: the same library, nothing else.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    storebox::cli::main(storebox::args::Args::parse())
}
