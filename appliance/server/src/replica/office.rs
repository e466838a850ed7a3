//! Head office as other parts of the node see it: takes imports, one at a time, and sweeps.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use storebox_proto::ids::ModelName;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use super::author::{Author, AuthorError, Published};
use super::definitions;
use super::import::{Import, ImportError, Importer, Limits, Weeks};
use crate::blocking::beside;
use crate::env;
use crate::logging::chain;

/// How often is looked for objects that nobody needs.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What is to be imported.
pub enum Order {
    /// A directory of whole models.
    Whole(PathBuf),
    /// A file of changes, or a directory with one.
    Changes(PathBuf, Weeks),
    /// One whole model as NDJSON.
    ModelStream(ModelName, Box<dyn BufRead + Send>),
    /// Changes as NDJSON.
    ChangeStream(Box<dyn BufRead + Send>, Weeks),
}

/// What an import is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Check,
    Publish,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// Another import is under way.
    #[error("another import is under way")]
    Busy,
    /// The import is not good.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The author cannot publish it.
    #[error(transparent)]
    Author(#[from] AuthorError),
}

/// The author, shared; a cheap handle.
#[derive(Clone)]
pub struct Office {
    author: Arc<Mutex<Author>>,
    spool_dir: PathBuf,
    limits: Limits,
}

/// What came of an import.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// The new revisions; none if nothing changed.
    pub published: Vec<Published>,
    /// Files that are not those of models and were left alone.
    pub ignored: Vec<String>,
    /// Rows that said again what another row had said.
    pub repeated: u64,
}

impl Office {
    /// An office that keeps the rows of an import under way in this directory.
    pub fn new(author: Author, spool_dir: &Path, limits: Limits) -> Self {
        let author = Arc::new(Mutex::new(author));
        Self { author, spool_dir: spool_dir.to_owned(), limits }
    }

    /// Checks and publishes an import.
    ///
    /// Dropped at the await, the import goes on to its end.
    pub async fn import(&self, order: Order) -> Result<Imported, OfficeError> {
        self.take(order, Aim::Publish).await
    }

    /// Checks an import as if it were to be published, and publishes nothing.
    pub async fn check(&self, order: Order) -> Result<Imported, OfficeError> {
        self.take(order, Aim::Check).await
    }

    async fn take(&self, order: Order, aim: Aim) -> Result<Imported, OfficeError> {
        let author = Arc::clone(&self.author).try_lock_owned().map_err(|_| OfficeError::Busy)?;
        let (spool_dir, limits) = (self.spool_dir.clone(), self.limits);
        beside(move || publish(author, order, aim, &spool_dir, limits)).await
    }

    /// Sweeps now and then until it is told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            let author = Arc::clone(&self.author);
            let sweep = move || {
                let mut author = author.blocking_lock();
                // What is too old for an excerpt leaves it with the day, not with the next import.
                author.cut_excerpts(env::timestamp());
                author.sweep(env::instant())
            };
            match beside(sweep).await {
                Ok(removed) => tracing::debug!(removed, "swept"),
                Err(error) => tracing::warn!(error = %chain(&error), "nothing is swept"),
            }
        }
    }
}

fn publish(
    mut author: OwnedMutexGuard<Author>,
    order: Order,
    aim: Aim,
    spool_dir: &Path,
    limits: Limits,
) -> Result<Imported, OfficeError> {
    let importer = Importer::new(author.registry()?, limits, spool_dir);
    let import: Import = match order {
        Order::Whole(dir) => importer.directory(&dir),
        Order::Changes(path, weeks) => importer.changes_file(&path, weeks),
        Order::ModelStream(model, source) => importer.model(&model, source),
        Order::ChangeStream(source, weeks) => importer.changes(source, weeks),
    }?;
    definitions::check(&author, &import)?;
    let published = match aim {
        Aim::Check => Vec::new(),
        Aim::Publish => author.publish(&import, env::timestamp())?,
    };
    Ok(Imported { published, ignored: import.ignored, repeated: import.repeated })
}
