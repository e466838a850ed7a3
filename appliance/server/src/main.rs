//! The program `storebox`: arguments, one command, exit code.

use std::process::ExitCode;

use clap::Parser;
use storebox::args::Args;

fn main() -> ExitCode {
    storebox::cli::main(Args::parse())
}
