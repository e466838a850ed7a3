//! `release`.

use std::path::PathBuf;

use clap::Subcommand;
use storebox_proto::release::Version;

/// What is done about releases, at head office.
#[derive(Debug, Subcommand)]
pub enum Release {
    /// Offer a bundle (`update.raucb`) to a ring.
    Add {
        /// The bundle, signed by whoever makes releases.
        file: PathBuf,
        /// Its version, such as 1.4.0.
        #[arg(long)]
        version: Version,
        /// The kind of machine it is for.
        #[arg(long, default_value = "x86-64")]
        board: String,
        /// The ring that gets it first; `everyone` is all boxes.
        #[arg(long)]
        ring: String,
        /// After so many boxes on which it failed it halts by itself; 0: never.
        #[arg(long, default_value_t = 2)]
        failures_max: u32,
        /// Who lets it be installed, as `storebox-image approve` wrote it; the same bundle again renews it.
        #[arg(long, value_name = "FILE")]
        approval: Option<PathBuf>,
    },
    /// Let the next ring have it, or the one that is named.
    Promote {
        /// The release, such as x86-64-1.4.0.
        id: String,
        /// Which ring.
        #[arg(long)]
        ring: Option<String>,
    },
    /// Stop it everywhere; what has installed it keeps it.
    Halt {
        /// The release.
        id: String,
        /// Why.
        #[arg(long)]
        why: String,
    },
    /// Let it go on where it was halted; it does not halt by itself any more, unless a number is given.
    Resume {
        /// The release.
        id: String,
        /// After so many boxes on which it failed, those before counted, it halts by itself again.
        #[arg(long)]
        failures_max: Option<u32>,
    },
    /// Take it away with all its bytes.
    Withdraw {
        /// The release.
        id: String,
    },
    /// Show the releases and how the boxes do with them.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}
