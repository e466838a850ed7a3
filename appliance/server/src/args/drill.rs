//! `drill`.

use clap::Subcommand;

/// What is done about drills.
#[derive(Debug, Subcommand)]
pub enum Drill {
    /// Cut the line and wait for the report; it comes back by itself, also if this command is interrupted.
    Run {
        /// How long.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=240))]
        minutes: u16,
        /// Who cuts it; the user of this machine if it is left out.
        #[arg(long)]
        by: Option<String>,
    },
    /// Bring the line back now, and wait for the report.
    End {
        /// Who brings it back.
        #[arg(long)]
        by: Option<String>,
    },
    /// Show the reports, the newest first.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}
