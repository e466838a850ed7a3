//! `settings`.

use clap::Subcommand;
use storebox_proto::ids::{NodeId, SiteId};

/// What is done about settings that head office sets on its boxes.
#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Show what head office sets on this box: proven, on trial, refused, and the last steps (role store).
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take back what is in force here; the settings before are in force again (role store).
    Back {
        /// Who takes them back.
        #[arg(long)]
        by: Option<String>,
    },
    /// List what is set on which boxes, and how far it is rolled out (role main).
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set values on boxes; they are checked before anything is published (role main).
    Set {
        /// What to call it; the same name again replaces it.
        id: String,
        /// Such as masterdata.line_kb_per_s=500.
        #[arg(required = true, value_name = "KEY=VALUE")]
        values: Vec<String>,
        /// How far it is rolled out at first.
        #[arg(long, default_value = storebox_proto::rings::EVERYONE)]
        ring: String,
        /// Only for this site; may be given again.
        #[arg(long)]
        site: Vec<SiteId>,
        /// Only for this box; may be given again.
        #[arg(long = "box", value_name = "BOX")]
        boxes: Vec<NodeId>,
        /// Seconds that a box has to be well with it.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=3600))]
        prove_s: u32,
    },
    /// Roll it out to the next ring, or up to one that is named (role main).
    Promote {
        /// What.
        id: String,
        /// Up to which ring.
        #[arg(long)]
        to: Option<String>,
    },
    /// Withdraw it: boxes go back to what is set without it (role main).
    Withdraw {
        /// What.
        id: String,
    },
}
