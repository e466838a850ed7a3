//! What can be chosen on the command line.

use std::path::PathBuf;

/// The choices of the measurements.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A directory with the data set; without it, the sample of the repository.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where files are written, on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// One part only.
    #[arg(long, value_enum)]
    pub part: Option<Part>,
    /// This process is the one that measures a part, in a directory of its own.
    #[arg(long, hide = true, requires = "part")]
    pub apart: bool,
    /// Serve from memory at this address until ended, with the box's HTTP library and nothing behind it.
    #[arg(long, hide = true, value_name = "ADDRESS", conflicts_with = "part")]
    pub serve: Option<std::net::SocketAddr>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// What the machine gives at most: a flush after each kilobyte, and the signature of a receipt.
    Floor,
    /// Building and reading a replica of 100,000 records.
    Replica100k,
    /// Building and reading a replica of 1,000,000 records.
    Replica1m,
    /// Memory of an open replica of 300,000 records.
    Memory300k,
    /// Transactions taken durably by 1, 8 and 64 producers.
    Accepts,
    /// A weight and a receipt, with simulated devices.
    Devices,
    /// Lookups over HTTP at 16 connections, and the memory of the box that answers.
    Lookups,
    /// A hook of a channel: script and webhook.
    Hooks,
    /// Queries and tickets through a channel, at 16 connections.
    Channels,
}

impl Part {
    /// All of them, in the order of the report.
    pub(super) const ALL: [Self; 9] = [
        Self::Floor,
        Self::Replica100k,
        Self::Replica1m,
        Self::Memory300k,
        Self::Accepts,
        Self::Devices,
        Self::Lookups,
        Self::Hooks,
        Self::Channels,
    ];

    /// The word on the command line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Replica100k => "replica100k",
            Self::Replica1m => "replica1m",
            Self::Memory300k => "memory300k",
            Self::Accepts => "accepts",
            Self::Devices => "devices",
            Self::Lookups => "lookups",
            Self::Hooks => "hooks",
            Self::Channels => "channels",
        }
    }
}
