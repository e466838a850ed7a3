//! `backup`, `restore` and `reset`.

use std::path::PathBuf;

use clap::Subcommand;

/// What is done with all that a box keeps; it must not run.
#[derive(Debug, Subcommand)]
pub enum Keep {
    /// Write everything that this box alone has into one file, keys included; the box must not run.
    Backup {
        /// The file, which must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Put a backup into an empty data directory; the box must not run.
    Restore {
        /// What `backup` wrote.
        from: PathBuf,
    },
    /// Forget everything, as a box that leaves the shop for good (role store); it must not run.
    Reset {
        /// The box's name, typed again by whoever stands before it.
        #[arg(long, value_name = "NAME")]
        confirm: String,
        /// As many sales have not reached head office and are given up.
        #[arg(long, value_name = "SALES")]
        lose: Option<u64>,
    },
}
