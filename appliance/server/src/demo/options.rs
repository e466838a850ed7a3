//! What can be chosen on the command line.

use std::path::PathBuf;

/// The choices of the demo.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// End after the comparison; the exit code is 0 only if it holds.
    #[arg(long)]
    pub once: bool,
    /// A directory with the data set; without it, the sample of the repository.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Real tickets to sell.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub tickets: u64,
    /// Tills that sell at the same time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub tills: u16,
    /// Seconds over which the tickets are sold; the line is cut for the middle half of them.
    #[arg(long, value_name = "S", default_value_t = 24, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub seconds: u64,
    /// Weeks of price changes that head office imports during the outage.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=25))]
    pub weeks: u16,
}
