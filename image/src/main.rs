//! The program `storebox-image`; all it does is in the library.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use storebox_image::args::Cli;
use storebox_image::commands;

fn main() -> ExitCode {
    match commands::run(Cli::parse(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With no one listening on stderr, the exit code still tells.
            let _ = writeln!(io::stderr(), "failed to {}", chain(&failure));
            failure.exit_code()
        }
    }
}

/// An error and its causes, outermost first.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
