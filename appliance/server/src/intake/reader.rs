//! Reading one table: what changed lately, or what differs in the whole.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::TryStreamExt;
use tokio_postgres::{Client, Transaction};

use super::book::{Book, Draft, Merge, Seen};
use super::gather::Gathered;
use super::statement::{Column, Statements, Unfit, source};
use crate::config::IntakeTable;
use crate::database::SessionError;
use crate::replica::office::OfficeError;

/// Rows that are fetched by their keys at once.
const FETCHED_MAX: usize = 1000;

/// Why nothing was brought.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The database does not answer, or does not let us read.
    #[error(transparent)]
    Database(#[from] SessionError),
    /// The table is not what the configuration says.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// What was read or seen cannot be written down.
    #[error("keep what was read: {0}")]
    Disk(#[from] io::Error),
    /// A record is not one, or cannot be published.
    #[error(transparent)]
    Office(#[from] OfficeError),
}

impl From<tokio_postgres::Error> for IntakeError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(SessionError::Database(error))
    }
}

/// One table of an intake.
pub(super) struct Table {
    pub(super) table: IntakeTable,
    pub(super) book: Book,
    pub(super) seen: Seen,
    dir: PathBuf,
    statements: Option<Statements>,
}

/// What a look at a table has found.
pub(super) struct Found {
    pub(super) changes: Gathered,
    /// What is known once the changes are published.
    pub(super) seen: Seen,
    /// The digests of the whole, if it was compared.
    pub(super) draft: Option<Draft>,
}

impl Table {
    pub(super) fn open(dir: &Path, table: IntakeTable) -> io::Result<Self> {
        let book = Book::open(dir, table.model.as_str())?;
        let seen = book.seen();
        Ok(Self { table, book, seen, dir: dir.to_owned(), statements: None })
    }

    /// Asks anew what the table looks like; for when it may have been changed.
    pub(super) fn forget(&mut self) {
        self.statements = None;
    }

    async fn statements(&mut self, client: &Client) -> Result<Statements, IntakeError> {
        if let Some(known) = &self.statements {
            return Ok(known.clone());
        }
        let probe = format!("select * from {}", source(&self.table));
        let described = client.prepare(&probe).await?;
        let columns = described
            .columns()
            .iter()
            .map(|column| Column { name: column.name().to_owned(), kind: column.type_().clone() });
        let columns: Vec<_> = columns.collect();
        Ok(self.statements.insert(Statements::of(&self.table, &columns)?).clone())
    }

    /// Rows that were updated since the newest one seen, and a little before.
    pub(super) async fn changed(
        &mut self,
        client: &mut Client,
        overlap_s: u64,
    ) -> Result<Option<Found>, IntakeError> {
        let statements = self.statements(client).await?;
        let (Some(changed), Some(newest)) = (statements.changed, statements.newest) else {
            return Ok(None);
        };
        let work = read_only(client).await?;
        let mut seen = self.seen.clone();
        let row = work.query_one(&newest, &[&seen.newest]).await?;
        let (latest, is_ahead): (Option<String>, bool) = (row.get(0), row.get(1));
        if is_ahead {
            // What was updated since that was noted is found only by looking at all of it.
            drop(work);
            return self.compared(client).await.map(Some);
        }
        let mut changes = Gathered::new(&self.dir, self.table.model.clone())?;
        let overlap = f64::from(u32::try_from(overlap_s).unwrap_or(u32::MAX));
        let statement = work.prepare(&changed).await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&seen.newest, &overlap];
        let mut rows = pin!(work.query_raw(&statement, parameters).await?);
        while let Some(row) = rows.try_next().await? {
            changes.bring(row.get(0), row.get(1))?;
        }
        seen.newest = latest.or(seen.newest);
        Ok(Some(Found { changes, seen, draft: None }))
    }

    /// What differs from what is known, in one snapshot of the whole.
    pub(super) async fn compared(&mut self, client: &mut Client) -> Result<Found, IntakeError> {
        let statements = self.statements(client).await?;
        let work = read_only(client).await?;
        let mut seen = self.seen.clone();
        if let Some(newest) = &statements.newest {
            seen.newest = work.query_one(newest, &[&seen.newest]).await?.get(0);
        }
        let mut merge = Merge::new(self.book.digests()?, self.book.noted()?);
        let (mut draft, mut changes) =
            (self.book.begin()?, Gathered::new(&self.dir, self.table.model.clone())?);
        let (mut differing, mut gone) = (Vec::new(), Vec::new());
        {
            let none: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
            let mut rows = pin!(work.query_raw(&statements.digests, none).await?);
            while let Some(row) = rows.try_next().await? {
                let (key, digest): (String, String) = (row.get(0), row.get(1));
                draft.push(&key, &digest)?;
                if merge.row(&key, &digest, &mut gone)? {
                    differing.push(key);
                }
            }
        }
        merge.end(&mut gone)?;
        for keys in differing.chunks(FETCHED_MAX) {
            for row in work.query(&statements.rows, &[&keys]).await? {
                changes.bring(row.get(0), row.get(1))?;
            }
        }
        for key in gone {
            changes.remove(&key)?;
        }
        Ok(Found { changes, seen, draft: Some(draft) })
    }
}

/// One snapshot for all that is read.
async fn read_only(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let begin = client.build_transaction().read_only(true);
    begin.isolation_level(tokio_postgres::IsolationLevel::RepeatableRead).start().await
}
