//! Commands about the site and who belongs to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use storebox_proto::ids::{DeviceId, SiteId};
use storebox_proto::trust::{Fingerprint, Kind, MemberName};

/// What head office and a box's technician do about the site.
#[derive(Debug, Subcommand)]
pub enum Site {
    /// Make a site; the first one founds head office in the directory (offline).
    New {
        /// The directory of head office.
        #[arg(long)]
        office: PathBuf,
        /// The site: 1 to 32 of a-z, 0-9 and '-'.
        site: SiteId,
    },
    /// Print what head office needs to certify this box; nothing in it is secret.
    Request {
        /// The box's name, as `node` in its configuration.
        name: MemberName,
        /// A name of mDNS under which browsers find it, such as storebox-a1b2c3.local.
        #[arg(long)]
        host: Vec<String>,
    },
    /// Certify a box and print its papers; nothing in them is secret (offline).
    Issue {
        /// The directory of head office.
        #[arg(long)]
        office: PathBuf,
        /// The site that it belongs to.
        site: SiteId,
        /// What `site request` printed on the box.
        request: PathBuf,
    },
    /// Take papers over on the box, which must not run.
    Adopt {
        /// What `site issue` printed at head office.
        papers: PathBuf,
    },
    /// Forget the site and both keys of this box, which must not run; only at the box itself.
    Reset {
        /// The box's name, typed again by whoever stands before it.
        #[arg(long)]
        confirm: MemberName,
    },
    /// Strike a box off with all that it has let in, or any single key (offline).
    Revoke {
        /// The directory of head office.
        #[arg(long)]
        office: PathBuf,
        /// Whom.
        #[command(flatten)]
        whom: Whom,
    },
    /// List what was issued and what was struck off.
    List {
        /// The directory of head office.
        #[arg(long)]
        office: PathBuf,
    },
    /// Write what was struck off into a directory for `storebox import` at the main server (offline).
    Publish {
        /// The directory of head office.
        #[arg(long)]
        office: PathBuf,
        /// The directory to import.
        out: PathBuf,
    },
    /// Give the running box a list of what was struck off by hand.
    Strike {
        /// `strikes.json` of head office.
        list: PathBuf,
    },
}

/// Whom to strike off.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// A box, by its name.
    #[arg(long = "box", value_name = "NAME")]
    pub member: Option<MemberName>,
    /// A key, by its fingerprint.
    #[arg(long)]
    pub key: Option<Fingerprint>,
}

/// What is done at the door of a box.
#[derive(Debug, Subcommand)]
pub enum Enrol {
    /// Open a slip for one newcomer and show it, once.
    Slip {
        /// Whom it lets in.
        #[command(flatten)]
        opening: Opening,
        /// Print it on this printer as a QR code instead of showing it.
        #[arg(long)]
        print: Option<DeviceId>,
    },
    /// Open the window for one newcomer who types a code, and show it, once.
    Code {
        /// Whom it lets in.
        #[command(flatten)]
        opening: Opening,
    },
    /// Open a slip for each of many newcomers and write them into a file for a technician.
    Provision {
        /// Their names.
        #[arg(long, value_delimiter = ',', required = true)]
        names: Vec<MemberName>,
        /// Hours until the slips end by themselves.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=168))]
        hours: u64,
        /// Who opens them.
        #[arg(long)]
        by: String,
        /// The file; whoever has it can enrol as these.
        #[arg(long)]
        out: PathBuf,
    },
    /// Close all slips and the code.
    Close {
        /// Who closes them.
        #[arg(long)]
        by: String,
    },
    /// List newcomers that wait, with the numbers to compare.
    List,
    /// Let one in whose number is the one that it shows.
    Approve {
        /// Its number in the list.
        id: u32,
        /// Who lets it in.
        #[arg(long)]
        by: String,
        /// It may take the place of a member of that name.
        #[arg(long)]
        replace: bool,
    },
    /// Send one away.
    Deny {
        /// Its number in the list.
        id: u32,
        /// Who sends it away.
        #[arg(long)]
        by: String,
    },
    /// Show what happened at the door lately.
    Audit,
    /// Become a member from this machine: what a till does.
    Join(Join),
    /// Renew the certificate and the sealing keys of a member on this machine.
    Renew {
        /// Where the key and the membership are kept.
        #[arg(long)]
        dir: PathBuf,
        /// Where a box of the site is, such as 10.77.0.10:8443.
        #[arg(long)]
        address: SocketAddr,
    },
}

/// Whom to let in.
#[derive(Debug, Args)]
pub struct Opening {
    /// Only under this name.
    #[arg(long)]
    pub name: Option<MemberName>,
    /// `terminal` or `peer`.
    #[arg(long, default_value = "terminal")]
    pub kind: Kind,
    /// It may take the place of a member of that name.
    #[arg(long)]
    pub replace: bool,
    /// Minutes until it ends by itself.
    #[arg(long, default_value_t = 10)]
    pub minutes: u64,
    /// Who opens it.
    #[arg(long)]
    pub by: String,
}

/// How to become a member.
#[derive(Debug, Args)]
pub struct Join {
    /// Where the key and the membership are kept.
    #[arg(long)]
    pub dir: PathBuf,
    /// The name to be known by.
    #[arg(long)]
    pub name: MemberName,
    /// `terminal` or `peer`.
    #[arg(long, default_value = "terminal")]
    pub kind: Kind,
    /// Where the box is, such as 10.77.0.10:8443; a slip may say it too.
    #[arg(long)]
    pub address: Vec<SocketAddr>,
    /// By which way.
    #[command(flatten)]
    pub way: JoinWay,
}

/// By which way to become a member.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct JoinWay {
    /// With the text of a slip; `-` reads it from standard input.
    #[arg(long)]
    pub slip: Option<String>,
    /// With a code; `-` reads it from standard input.
    #[arg(long)]
    pub code: Option<String>,
    /// With this technician's file.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// By asking a person at the box; the number that is shown must be the same there.
    #[arg(long)]
    pub ask: bool,
}
