//! `visit`.

use clap::Subcommand;
use storebox_proto::ids::NodeId;

/// What is done about visits of head office.
#[derive(Debug, Subcommand)]
pub enum Visit {
    /// Let head office look at this box for a while; it ends by itself, and at a restart (role store).
    Open {
        /// How long.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
        minutes: u32,
        /// Who lets it; the user of this machine if it is left out.
        #[arg(long)]
        by: Option<String>,
    },
    /// Let it look no longer (role store).
    Close {
        /// Who ends it.
        #[arg(long)]
        by: Option<String>,
    },
    /// Show who let it, and what it looked at, the newest first (role store).
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look at a box whose visit is open (role main).
    Look {
        /// The box.
        node: NodeId,
        /// What at: /doctor, /v1/status, /v1/log/lines and the like.
        #[arg(default_value = "/doctor")]
        path: String,
        /// Who looks.
        #[arg(long)]
        by: Option<String>,
    },
    /// Wish to be let in by a box whose configuration allows that (role main).
    Knock {
        /// The box.
        node: NodeId,
        /// How long.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
        minutes: u32,
        /// Who wishes it.
        #[arg(long)]
        by: Option<String>,
    },
}
