//! Why the demo stopped early.

use std::io;
use std::path::{Path, PathBuf};

use storebox_proto::ids::InvalidName;

use super::{dataset, process, till};

/// Why the demo stopped early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no data to sell.
    #[error("use the data set")]
    Data(#[from] dataset::Error),
    /// A box does not do what it should.
    #[error("run a box")]
    Process(#[from] process::Error),
    /// A till could not go on.
    #[error("sell at a till")]
    Selling(#[from] till::Error),
    /// A till's task broke.
    #[error("run a till")]
    Till(#[source] tokio::task::JoinError),
    /// The line between the boxes could not be made.
    #[error("open the line between the boxes")]
    Line(#[source] io::Error),
    /// This program does not know its own file.
    #[error("find this program's own file")]
    Executable(#[source] io::Error),
    /// Ctrl-C cannot be noticed.
    #[error("listen for signals")]
    Signal(#[source] io::Error),
    /// A file or directory could not be made.
    #[error("write {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A box gave a key that is none.
    #[error("use {0:?} as a public key")]
    Key(String),
    /// More tills than names.
    #[error("name a till")]
    Name(#[source] InvalidName),
    /// Something does not arrive.
    #[error("get all {what} across in time; the end of the shop's log:\n{log}")]
    Stuck {
        /// What.
        what: &'static str,
        /// The last lines.
        log: String,
    },
}

impl Error {
    /// A file or directory could not be made.
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}
