//! Settled transactions as rows of PostgreSQL.
//!
//! One table, `storebox.transactions`, with a partition per kind (`storebox."Order"`, `storebox."CashUp"`, …),
//! so that a report reads its kind as a table and an audit reads all.
//! A row is found by its key: what is delivered twice is the same row.
//! The tables are made by numbered migrations, each once, in the transaction that notes it.

use std::collections::BTreeSet;

use storebox_proto::ids::Hash32;
use tokio_postgres::{Client, Transaction};

use super::target::{TargetError, TargetSetUpError};
use crate::config::Deliver;
use crate::database::{Database, Session, SessionError};
use crate::uplink::LedgerEntry;

/// Applied once each, in this order; a released one never changes.
const MIGRATIONS: [&str; 2] = [
    "create table storebox.transactions (
        key uuid not null, kind text not null, position bigint not null, node text not null,
        terminal text not null, epoch bigint not null, sequence bigint not null, lane text not null,
        session text, depends_on uuid[] not null, occurred_at timestamptz not null,
        clock text not null, settled_at timestamptz not null, digest text not null,
        payload jsonb not null, delivered_at timestamptz not null default now(),
        primary key (key, kind)
    ) partition by list (kind)",
    "create index transactions_by_occurrence on storebox.transactions (occurred_at);
     create index transactions_by_terminal on storebox.transactions (node, terminal, epoch, sequence)",
];

const UPSERT: &str = "insert into storebox.transactions
    (key, kind, position, node, terminal, epoch, sequence, lane, session, depends_on, occurred_at,
     clock, settled_at, digest, payload)
    select key::uuid, kind, position, node, terminal, epoch, sequence, lane, session,
        depends_on::uuid[], occurred_at::timestamptz, clock, settled_at::timestamptz, digest, payload::jsonb
    from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
        as row (key, kind, position, node, terminal, epoch, sequence, lane, session, depends_on,
            occurred_at, clock, settled_at, digest, payload)
    on conflict (key, kind) do update set position = excluded.position, node = excluded.node,
        settled_at = excluded.settled_at, digest = excluded.digest, payload = excluded.payload
    where storebox.transactions.digest is distinct from excluded.digest";

/// Identifiers of PostgreSQL are cut beyond this.
const NAME_BYTES_MAX: usize = 63;
/// Two main servers that make tables at once would refuse each other.
const MIGRATION_LOCK: i64 = 0x5354_4f52_4542_4f58;

/// A database.
pub struct Postgres {
    database: Database,
    open: Option<Open>,
}

struct Open {
    session: Session,
    /// Kinds that have their table.
    kinds: BTreeSet<String>,
}

impl Postgres {
    /// A database at `postgresql://user@host/name`; its password comes from a file.
    pub(super) fn new(
        deliver: &Deliver,
        password: Option<String>,
    ) -> Result<Self, TargetSetUpError> {
        let database = Database::at(&deliver.url, password, &deliver.ca_file);
        Ok(Self { database: database.map_err(TargetSetUpError::Address)?, open: None })
    }

    pub(super) fn reset(&mut self) {
        self.open = None;
    }

    pub(super) async fn deliver(&mut self, batch: &[LedgerEntry]) -> Result<(), TargetError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::connect(&self.database).await?,
        };
        let Open { session: Session { client, line }, kinds } = &mut open;
        let delivered = line.drive(write(client, kinds, batch)).await;
        let delivered = delivered.map_err(|error: SessionError| judge(&error));
        if !matches!(delivered, Err(TargetError::Unavailable(_))) {
            self.open = Some(open);
        }
        delivered
    }
}

impl Open {
    async fn connect(database: &Database) -> Result<Self, TargetError> {
        let lost = |error: SessionError| TargetError::Unavailable(error.to_string());
        let mut session = Session::open(database).await.map_err(lost)?;
        let Session { client, line } = &mut session;
        line.drive(migrate(client)).await.map_err(lost)?;
        Ok(Self { session, kinds: BTreeSet::new() })
    }
}

async fn migrate(client: &mut Client) -> Result<(), SessionError> {
    let work = client.transaction().await?;
    work.execute("select pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    work.batch_execute(
        "create schema if not exists storebox;
         create table if not exists storebox.migrations
            (number int primary key, applied timestamptz not null default now())",
    )
    .await?;
    let row =
        work.query_one("select coalesce(max(number), 0) from storebox.migrations", &[]).await?;
    let applied: i32 = row.get(0);
    for (number, migration) in (1_i32..).zip(MIGRATIONS).filter(|(number, _)| *number > applied) {
        work.batch_execute(migration).await?;
        work.execute("insert into storebox.migrations (number) values ($1)", &[&number]).await?;
        tracing::info!(number, "database migrated");
    }
    Ok(work.commit().await?)
}

async fn write(
    client: &mut Client,
    kinds: &mut BTreeSet<String>,
    batch: &[LedgerEntry],
) -> Result<(), SessionError> {
    let work = client.transaction().await?;
    let mut fresh = BTreeSet::new();
    for entry in batch {
        let kind = entry.envelope.kind.as_str();
        if !kinds.contains(kind) && fresh.insert(kind.to_owned()) {
            make_table(&work, kind).await?;
        }
    }
    let rows = Rows::of(batch);
    work.execute(
        UPSERT,
        &[
            &rows.key,
            &rows.kind,
            &rows.position,
            &rows.node,
            &rows.terminal,
            &rows.epoch,
            &rows.sequence,
            &rows.lane,
            &rows.session,
            &rows.depends_on,
            &rows.occurred_at,
            &rows.clock,
            &rows.settled_at,
            &rows.digest,
            &rows.payload,
        ],
    )
    .await?;
    work.commit().await?;
    kinds.append(&mut fresh);
    Ok(())
}

/// A kind is letters, digits and underscores, so it is safe between quotes of either sort.
async fn make_table(work: &Transaction<'_>, kind: &str) -> Result<(), tokio_postgres::Error> {
    let name = table_name(kind);
    let found = "select 1 from pg_inherits where inhparent = 'storebox.transactions'::regclass
        and inhrelid = to_regclass($1)";
    if work.query_opt(found, &[&format!("storebox.\"{name}\"")]).await?.is_some() {
        return Ok(());
    }
    work.execute("select pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    let make = format!(
        "create table if not exists storebox.\"{name}\" partition of storebox.transactions for values in ('{kind}')"
    );
    work.batch_execute(&make).await
}

/// The name of a kind's table: the kind, as long as it is not too long or one of our own names.
fn table_name(kind: &str) -> String {
    let is_own =
        ["transactions", "migrations"].contains(&kind) || kind.starts_with("transactions_");
    if kind.len() <= NAME_BYTES_MAX && !is_own {
        return kind.to_owned();
    }
    let hash = Hash32::of(kind.as_bytes()).to_string();
    format!("{}_{}", &kind[..kind.len().min(50)], &hash[..10])
}

/// A batch by columns, so that one statement of one shape takes any number of rows.
#[derive(Default)]
struct Rows {
    key: Vec<String>,
    kind: Vec<String>,
    position: Vec<i64>,
    node: Vec<String>,
    terminal: Vec<String>,
    epoch: Vec<i64>,
    sequence: Vec<i64>,
    lane: Vec<String>,
    session: Vec<Option<String>>,
    depends_on: Vec<String>,
    occurred_at: Vec<String>,
    clock: Vec<String>,
    settled_at: Vec<String>,
    digest: Vec<String>,
    payload: Vec<String>,
}

impl Rows {
    fn of(batch: &[LedgerEntry]) -> Self {
        let mut rows = Self::default();
        for entry in batch {
            let envelope = &entry.envelope;
            let needed: Vec<_> = envelope.depends_on.iter().map(ToString::to_string).collect();
            let clock = serde_json::to_value(envelope.clock).expect("a word");
            rows.key.push(entry.key.to_string());
            rows.kind.push(envelope.kind.to_string());
            rows.position.push(signed(entry.position));
            rows.node.push(entry.node.to_string());
            rows.terminal.push(envelope.terminal.to_string());
            rows.epoch.push(i64::from(envelope.epoch));
            rows.sequence.push(signed(envelope.sequence));
            rows.lane.push(envelope.lane.to_string());
            rows.session.push(envelope.session.clone());
            rows.depends_on.push(format!("{{{}}}", needed.join(",")));
            rows.occurred_at.push(envelope.occurred_at.to_string());
            rows.clock.push(clock.as_str().unwrap_or_default().to_owned());
            rows.settled_at.push(entry.at.to_string());
            rows.digest.push(envelope.digest().to_string());
            let payload = serde_json::to_string(&envelope.payload);
            rows.payload.push(payload.expect("a payload has string keys"));
        }
        rows
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Errors of the data are for ever; everything else passes, or is mended at the database.
fn judge(error: &SessionError) -> TargetError {
    let text = error.to_string();
    match error.code() {
        Some(code) if code.starts_with("22") || code.starts_with("23") || code == "54000" => {
            TargetError::Refused(text)
        }
        Some(_) | None => TargetError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_name_of_its_own_whatever_the_kind() {
        assert_eq!(table_name("Order"), "Order");
        let long = "x".repeat(64);
        assert!(table_name(&long).len() <= NAME_BYTES_MAX);
        assert_ne!(table_name("transactions"), "transactions");
        assert_ne!(table_name("transactions_by_terminal"), "transactions_by_terminal");
    }
}
