//! The command line.

#[cfg(test)]
mod documents;
mod drill;
mod keep;
mod release;
mod seal;
mod settings;
mod trust;
mod visit;

use std::path::PathBuf;

pub use drill::Drill;
pub use keep::Keep;
pub use release::Release;
pub use seal::{Login, Seal, SealScope};
pub use settings::Settings;
pub use trust::{Enrol, Join, JoinWay, Opening, Site, Whom};
pub use visit::Visit;

use clap::{Parser, Subcommand};
use storebox_proto::beacon::Sweep;
use storebox_proto::ids::{DeviceId, ModelName, NodeId, SinkId, TerminalId, TxKey};

use crate::{bench, cli, demo, selftest};

/// Storebox, the store server of a shop.
#[derive(Debug, Parser)]
#[command(name = "storebox", version, about, max_term_width = 100)]
pub struct Args {
    /// The configuration file.
    #[arg(long, global = true, default_value = "/etc/storebox/storebox.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// The data directory of the box to talk to, instead of what the configuration says.
    #[arg(long, global = true, env = "STOREBOX_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the box until it is told to stop.
    Run,
    /// Show the state of the running box on one screen.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Examine this box and its surroundings, and say what to do about what is wrong.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write one file for whoever helps: state, log and configuration, without secrets or customers.
    SupportBundle {
        /// The file; a new one in this directory if it is left out.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show how much is logged, or change it for a while.
    LogLevel {
        /// Such as `debug` for everything, `storebox::http=debug` for a module, `reset` for what is configured.
        settings: Vec<cli::Setting>,
        /// Minutes until the configuration is in force again.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
    },
    /// Cut the line to head office on purpose for some minutes, and report what worked without it (role store).
    #[command(subcommand)]
    Drill(Drill),
    /// What head office sets in the configuration of its boxes.
    #[command(subcommand)]
    Settings(Settings),
    /// Head office looks at a box, while somebody at the store lets it.
    #[command(subcommand)]
    Visit(Visit),
    /// Offer releases to boxes, ring by ring (role main).
    #[command(subcommand)]
    Release(Release),
    /// What a box keeps, as a whole.
    #[command(flatten)]
    Keep(Keep),
    /// Print what a shell needs to complete these commands.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory.
    Man {
        /// The directory, such as /usr/local/share/man/man1.
        dir: PathBuf,
    },
    /// Print the operator's reference: commands, configuration, problem codes, metrics.
    Reference,
    /// Print the public key of this box; the key is made if there is none yet.
    Key,
    /// Take masterdata in (role main): a directory of NDJSON, NDJSON.zst or CSV files, one per model.
    Import {
        /// The directory, as the running box sees it.
        dir: PathBuf,
        /// The files hold changes; without this they hold all records of their models.
        #[arg(long)]
        changes: bool,
        /// Only check it, definitions and their rules included; nothing is published.
        #[arg(long)]
        check: bool,
    },
    /// Publish all feeds to storage (role main): objects first, heads last.
    Publish {
        /// Such as s3://bucket/feeds, davs://host/feeds, ftp://host/feeds or a directory.
        #[arg(long, value_name = "URL")]
        to: String,
        #[command(flatten)]
        access: StorageAccess,
    },
    /// Refresh masterdata now (role store).
    Refresh {
        /// Read published feeds at this place, besides the sources of the configuration.
        #[arg(long, value_name = "URL", conflicts_with_all = ["full", "model"])]
        from: Option<String>,
        #[command(flatten)]
        access: StorageAccess,
        /// Fetch and verify everything instead of the changes.
        #[arg(long)]
        full: bool,
        /// Only the feed that this model belongs to.
        #[arg(long)]
        model: Option<ModelName>,
    },
    /// Take the place of the box that had this one's name: its terminals, and what it had not settled (role store).
    Adopt {
        /// The neighbour that was its mirror, such as http://10.0.0.12:8080.
        #[arg(long, value_name = "URL")]
        from: String,
    },
    /// List who refreshed which models when, newest first; at head office, of all boxes and terminals.
    History {
        /// Only of this box.
        #[arg(long)]
        node: Option<NodeId>,
        /// Only of this terminal.
        #[arg(long)]
        terminal: Option<TerminalId>,
        /// Only where this model was loaded.
        #[arg(long)]
        model: Option<ModelName>,
    },
    /// Transactions that wait for head office.
    #[command(subcommand)]
    Outbox(Outbox),
    /// Settled and refused transactions (role main).
    #[command(subcommand)]
    Ledger(Ledger),
    /// Tills and other clients.
    #[command(subcommand)]
    Terminal(Clients),
    /// Other boxes that may replicate from this one and settle here.
    #[command(subcommand)]
    Node(Clients),
    /// The site: certify boxes, adopt one, strike off what was stolen.
    #[command(subcommand)]
    Site(Site),
    /// Let tills in, by slip, code or request; or become a member from here.
    #[command(subcommand)]
    Enrol(Enrol),
    /// Persons who may act on this box from the console in a browser.
    #[command(subcommand)]
    Operator(Clients),
    /// Printers, scales, displays and scanners.
    #[command(subcommand)]
    Device(Device),
    /// Persons who log in at tills.
    #[command(subcommand)]
    Login(Login),
    /// Keys that seal what travels through caches, proxies and storage.
    #[command(subcommand)]
    Seal(Seal),
    /// Hooks, pushes and calls of channels.
    #[command(subcommand)]
    Channel(Channel),
    /// Look for boxes on the LAN.
    Discover {
        /// Ask every address of this network instead, such as 10.0.0.0/24; at most 1024 addresses.
        #[arg(long, value_name = "NETWORK")]
        sweep: Option<Sweep>,
        /// The port that is asked there.
        #[arg(long, default_value_t = 8080, requires = "sweep")]
        port: u16,
        /// Ask here as well: an address or a name, or the text of a label.
        #[arg(long, value_name = "PLACE")]
        at: Vec<String>,
        /// Ask the DNS of this domain as well.
        #[arg(long, value_name = "DOMAIN")]
        domain: Vec<String>,
        /// Seconds to look.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a shop that sells through an outage, on real data.
    Demo(demo::Options),
    /// Try the sale path on a box of its own: accept, flush, read, print; a release has to pass it to stay.
    Selftest(selftest::Options),
    /// Measure this machine: replica, lookups, durable transactions, memory.
    Bench(bench::Options),
}

/// What opens storage.
#[derive(Debug, clap::Args)]
pub struct StorageAccess {
    /// The user, or the id of the access key.
    #[arg(long, default_value = "")]
    pub user: String,
    /// A file with the password or the secret of the access key; the running box reads it.
    #[arg(long, value_name = "FILE", default_value = "")]
    pub secret_file: String,
    /// For a bucket: where its service is.
    #[arg(long, value_name = "URL", default_value = "")]
    pub endpoint: String,
    /// For a bucket: the service's region.
    #[arg(long, default_value = "")]
    pub region: String,
    /// For TLS: a file with the authorities that vouch for the server; the running box reads it.
    #[arg(long, value_name = "FILE", default_value = "")]
    pub ca_file: String,
    /// The site whose ring seals everything there.
    #[arg(long, value_name = "SITE", default_value = "")]
    pub ring: String,
}

/// What is done with waiting transactions.
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// List them, oldest first.
    List {
        /// Only those that wait for a person.
        #[arg(long)]
        quarantined: bool,
        /// Only those that a person gave up.
        #[arg(long, conflicts_with = "quarantined")]
        given_up: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one with its history.
    Show {
        /// Its key.
        key: TxKey,
    },
    /// Offer a refused one again as it is.
    Retry {
        /// Its key.
        key: TxKey,
    },
    /// Replace the content of a refused one and offer it again; both contents are kept.
    Repair {
        /// Its key.
        key: TxKey,
        /// A file with the new payload, a JSON object.
        file: PathBuf,
        /// Who repairs it.
        #[arg(long)]
        by: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Give a refused one up: it will never be settled, stays to be read, and stops nothing any more.
    Drop {
        /// Its key.
        key: TxKey,
        /// Who decides it.
        #[arg(long)]
        by: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Show envelopes that contradict what was accepted.
    Conflicts,
    /// Let a contradicting envelope go that a person has dealt with.
    Dismiss {
        /// Its number.
        number: u64,
        /// Who dealt with it.
        #[arg(long)]
        by: String,
        /// How.
        #[arg(long)]
        reason: String,
    },
    /// Show what persons did with transactions lately.
    Audit,
}

/// What is looked at in the ledger of a main server.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// List settled transactions in the order of their keys.
    List {
        /// Behind this key.
        #[arg(long)]
        after: Option<TxKey>,
    },
    /// List what boxes sent and the ledger refused, conflicts included, with their content.
    Refusals {
        /// Behind this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// List settled transactions that the target of a delivery would not take or the ledger could not give, and why.
    Aside {
        /// The delivery, as `[[deliver]]` names it.
        sink: SinkId,
        /// Behind this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
}

/// What is done with devices.
#[derive(Debug, Subcommand)]
pub enum Device {
    /// List them, with what is wrong and what is plugged in besides.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Try one: a printer prints a test page, a scale weighs, a display shows two rows.
    Test {
        /// Its name.
        id: DeviceId,
    },
    /// Show the bytes on its line as they go, until interrupted.
    Trace {
        /// Its name.
        id: DeviceId,
    },
}

/// What is done with channels.
#[derive(Debug, Subcommand)]
pub enum Channel {
    /// Try a hook on a sample; nothing is stored, but a webhook is called.
    Try {
        /// A file with the sample, any JSON.
        sample: PathBuf,
        /// A hook of the running box, by its id.
        #[arg(long, required_unless_present = "script")]
        hook: Option<String>,
        /// A file with a script, which needs no running box.
        #[arg(long, conflicts_with = "hook")]
        script: Option<PathBuf>,
    },
    /// List hooks after the commit that have not succeeded yet.
    Hooks,
    /// Run one of them again now.
    Retry {
        /// Its id, as it is listed.
        id: String,
    },
    /// Give one of them up.
    Drop {
        /// Its id, as it is listed.
        id: String,
    },
    /// Show how pushes do: what waits, the last delivery, what the target refused.
    Pushes {
        /// Tell the target of this definition again what it refused.
        #[arg(long, value_name = "DEFINITION", conflicts_with = "drop")]
        retry: Option<String>,
        /// Give up what the target of this definition refused.
        #[arg(long, value_name = "DEFINITION")]
        drop: Option<String>,
    },
    /// Show calls, the newest first, with request, answer and the hooks on the way.
    Log {
        /// Only of this correlation id.
        #[arg(long)]
        correlation: Option<String>,
        /// Only of this service.
        #[arg(long)]
        service: Option<String>,
        /// Only those that were refused.
        #[arg(long)]
        refused: bool,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
}

/// What is done with clients.
#[derive(Debug, Clone, Subcommand)]
pub enum Clients {
    /// Let one in; its token is printed once and kept nowhere.
    Add {
        /// Its name: 1 to 32 of a-z, 0-9 and '-'.
        name: String,
    },
    /// List them.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take the token of one away.
    Revoke {
        /// Its name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_configuration_may_follow_the_command() {
        let args = Args::try_parse_from(["storebox", "run", "--config", "a.toml"]).unwrap();
        assert_eq!(args.config, PathBuf::from("a.toml"));
        assert!(Args::try_parse_from(["storebox", "outbox", "show", "no-key"]).is_err());
    }
}
