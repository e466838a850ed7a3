//! `login` and `seal`.

use std::path::PathBuf;

use clap::Subcommand;
use storebox_proto::ids::SiteId;
use storebox_proto::seal::Scope;

/// Who shares what is sealed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum SealScope {
    /// Boxes among each other.
    Boxes,
    /// Tills of a shop.
    Tills,
}

impl From<SealScope> for Scope {
    fn from(scope: SealScope) -> Self {
        match scope {
            SealScope::Boxes => Self::Boxes,
            SealScope::Tills => Self::Tills,
        }
    }
}

/// What is done about persons.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Login {
    /// Hash a password or PIN, a line of the standard input, for a user's record.
    Hash,
    /// Print the record by which the other boxes of the site believe this one's tokens.
    Key,
    /// List who logged in where of late, newest first.
    List,
}

/// What is done with sealing keys.
#[derive(Debug, Subcommand)]
pub enum Seal {
    /// Begin a generation; the former ones open for two more days.
    New {
        /// The site that shares it.
        #[arg(long)]
        site: SiteId,
        /// Who shares it.
        #[arg(long)]
        scope: SealScope,
    },
    /// List the rings, without their keys.
    List,
    /// Print the newest ring with its keys, for another box or till: keep it secret.
    Show {
        /// The site that shares it.
        #[arg(long)]
        site: SiteId,
        /// Who shares it.
        #[arg(long)]
        scope: SealScope,
    },
    /// Take a ring that another box printed.
    Add {
        /// The file that holds it; `-` is the standard input.
        file: PathBuf,
    },
    /// Seal a certificate for browsers for the boxes of a site, as a record for `storebox import --changes`.
    Certificate {
        /// The site whose boxes serve it.
        #[arg(long)]
        site: SiteId,
        /// The name that it is for, as `[tls] domain` of the boxes.
        #[arg(long)]
        domain: String,
        /// The certificates as PEM, the server's own first.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// Their secret key as PEM.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The file to import.
        out: PathBuf,
    },
    /// Take all generations of a ring away, at once.
    Remove {
        /// The site that shares it.
        #[arg(long)]
        site: SiteId,
        /// Who shares it.
        #[arg(long)]
        scope: SealScope,
    },
}
