//! The task of one intake: look at each table, publish what it found, write down what was seen, and wait.
//!
//! Dropped at an await, a look is made again; what was published already changes nothing the second time.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storebox_proto::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::reader::{Found, IntakeError, Table};
use crate::config::Intake;
use crate::database::{Database, Session};
use crate::env;
use crate::logging;
use crate::pause::Pause;
use crate::replica::import::Weeks;
use crate::replica::office::{Office, OfficeError, Order};

/// A look at one table that takes longer has failed.
const LOOK_MAX: Duration = Duration::from_secs(3600);
/// The first wait after a failure; doubled each time.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// An intake in words and numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rows that were brought or taken away since the box started.
    pub brought: u64,
    /// When the whole was compared last, by the table that is furthest behind.
    pub compared: Option<Timestamp>,
    /// Why the last look failed.
    pub failing: Option<String>,
}

/// What a runner is made of.
pub struct RunnerOptions {
    /// Its definition.
    pub intake: Intake,
    /// Where the database is.
    pub database: Database,
    /// Where it keeps what was seen.
    pub dir: PathBuf,
}

/// The task of one intake.
pub struct Runner {
    intake: Intake,
    database: Database,
    tables: Vec<Table>,
    office: Office,
    session: Option<Session>,
    figures: Arc<Mutex<Figures>>,
    pause: Pause,
}

impl Runner {
    /// A runner that is not running yet.
    pub fn new(options: RunnerOptions, office: Office) -> io::Result<Self> {
        let RunnerOptions { intake, database, dir } = options;
        let tables = intake.tables.iter().cloned();
        let tables =
            tables.map(|table| Table::open(&dir, table)).collect::<io::Result<Vec<_>>>()?;
        let (figures, pause) = (Arc::default(), Pause::new(RETRY_MIN, RETRY_MAX));
        Ok(Self { intake, database, tables, office, session: None, figures, pause })
    }

    /// What the status reads.
    pub fn figures(&self) -> impl Fn() -> Figures + Send + Sync + 'static {
        let figures = Arc::clone(&self.figures);
        move || figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks until the box stops.
    pub async fn run(mut self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.carry_on()).await;
    }

    async fn carry_on(&mut self) {
        loop {
            let wait = match self.look_at_all().await {
                Ok(()) => {
                    self.pause.reset();
                    Duration::from_secs(self.intake.every_s)
                }
                Err(error) => self.failed(&error),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn look_at_all(&mut self) -> Result<(), IntakeError> {
        for index in 0..self.tables.len() {
            let look = tokio::time::timeout(LOOK_MAX, self.look_at(index)).await;
            look.unwrap_or_else(|_| {
                Err(io::Error::other(format!("a table was not read within {LOOK_MAX:?}")).into())
            })?;
        }
        let compared = self.tables.iter().map(|table| table.seen.compared).min().flatten();
        self.note(|figures| (figures.compared, figures.failing) = (compared, None));
        Ok(())
    }

    async fn look_at(&mut self, index: usize) -> Result<(), IntakeError> {
        let due = self.is_due(self.tables[index].seen.compared);
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.database).await?,
        };
        let Session { client, line } = &mut session;
        let table = &mut self.tables[index];
        let overlap_s = self.intake.overlap_s;
        let found = line
            .drive(async {
                match due {
                    true => table.compared(client).await.map(Some),
                    false => table.changed(client, overlap_s).await,
                }
            })
            .await?;
        self.session = Some(session);
        match found {
            Some(found) => self.publish(index, found).await,
            None => Ok(()),
        }
    }

    /// Whether the whole is to be compared: a clock that was put back must not put that off.
    fn is_due(&self, compared: Option<Timestamp>) -> bool {
        let now = env::timestamp();
        compared.is_none_or(|at| {
            let age = u64::try_from(now.unix_ms() - at.unix_ms());
            age.is_err() || age.is_ok_and(|age| age >= self.intake.reconcile_s * 1000)
        })
    }

    async fn publish(&mut self, index: usize, found: Found) -> Result<(), IntakeError> {
        let Found { changes, mut seen, draft } = found;
        let (book, count) = (self.tables[index].book.clone(), changes.count);
        if count > 0 {
            book.note(&changes.keys)?;
            let lines = Box::new(changes.into_lines()?);
            let imported = self.office.import(Order::ChangeStream(lines, Weeks::ALL)).await?;
            for published in &imported.published {
                let (feed, position) = (&published.feed, published.position);
                let intake = &self.intake.id;
                tracing::info!(%intake, %feed, %position, "brought from a database");
            }
        }
        if let Some(draft) = draft {
            book.finish(draft)?;
            seen.compared = Some(env::timestamp());
        }
        if seen != self.tables[index].seen {
            book.keep(&seen)?;
            self.tables[index].seen = seen;
        }
        self.note(|figures| figures.brought += count);
        Ok(())
    }

    fn failed(&mut self, error: &IntakeError) -> Duration {
        if matches!(error, IntakeError::Office(OfficeError::Busy)) {
            return RETRY_MIN;
        }
        let text = logging::chain(error);
        tracing::warn!(intake = %self.intake.id, error = text, "nothing was brought from a database");
        self.note(|figures| figures.failing = Some(text));
        self.session = None;
        self.tables.iter_mut().for_each(Table::forget);
        self.pause.after_failure()
    }

    fn note(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
