//! A session with a PostgreSQL of the company: what sinks and intakes have in common.
//!
//! The connection is a future that has to be driven beside the work; no task of its own does that, so a session that
//! is dropped leaves nothing behind.
//! A server on this machine is reached as it is; one on another is reached over TLS and believed by authorities, unless
//! its address says `sslmode=disable`.

mod tls;

use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use crate::logging;
use crate::trust::authorities;
use tls::Tls;

/// Time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Time until the database has let us in, TLS and password included.
const OPEN_MAX: Duration = Duration::from_secs(20);

type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// Why the work in a session came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The database said so.
    #[error("{}", told(.0))]
    Database(#[from] tokio_postgres::Error),
    /// It went away.
    #[error("the database closed the connection")]
    Closed,
    /// It did not let us in, and did not refuse.
    #[error("the database did not answer within {} s", OPEN_MAX.as_secs())]
    Late,
}

/// Where a database is and what opens it.
#[derive(Clone)]
pub struct Database {
    config: Config,
    tls: Option<Tls>,
}

impl Database {
    /// The database at this address, which holds no secret; `ca_file` as for every server of the company.
    pub fn at(url: &str, password: Option<String>, ca_file: &Path) -> Result<Self, String> {
        let mut config = config(url, password)?;
        let is_wanted = match config.get_ssl_mode() == SslMode::Prefer {
            true => !is_here(&config),
            false => config.get_ssl_mode() != SslMode::Disable,
        };
        config.ssl_mode(if is_wanted { SslMode::Require } else { SslMode::Disable });
        let tls = is_wanted.then(|| authorities::config(ca_file).map(Tls)).transpose();
        let tls = tls.map_err(|error| logging::chain(&error))?;
        Ok(Self { config, tls })
    }
}

/// Whether every server that it names is this very machine.
fn is_here(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    })
}

fn config(url: &str, password: Option<String>) -> Result<Config, String> {
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        format!("not an address of PostgreSQL: {}", logging::chain(&error))
    })?;
    if config.get_password().is_some() {
        return Err("a password does not belong into an address: use secret_file".to_owned());
    }
    if let Some(password) = password {
        config.password(password);
    }
    config.application_name("storebox").connect_timeout(CONNECT_MAX);
    Ok(config)
}

/// A session.
pub struct Session {
    /// To ask with, inside of [`drive`].
    pub client: Client,
    /// To be driven.
    pub line: Line,
}

/// The connection of a session.
pub struct Line(Connection);

impl Session {
    /// Connects.
    pub async fn open(database: &Database) -> Result<Self, SessionError> {
        let opened = tokio::time::timeout(OPEN_MAX, Self::connect(database)).await;
        opened.unwrap_or(Err(SessionError::Late))
    }

    async fn connect(Database { config, tls }: &Database) -> Result<Self, SessionError> {
        Ok(match tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Self { client, line: Line(Box::pin(connection)) }
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                Self { client, line: Line(Box::pin(connection)) }
            }
        })
    }
}

impl Line {
    /// Does some work in the session; after an error of the connection the session is over.
    pub async fn drive<T, E: From<SessionError>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            done = work => done,
            ended = &mut self.0 => Err(E::from(match ended {
                Ok(()) => SessionError::Closed,
                Err(error) => SessionError::Database(error),
            })),
        }
    }
}

impl SessionError {
    /// The code of SQL, if the database gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.code().map(tokio_postgres::error::SqlState::code),
            Self::Closed | Self::Late => None,
        }
    }
}

/// What the database says is clearer than what the client makes of it.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => logging::chain(error),
    }
}

/// A name between quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_refused() {
        assert!(config("postgresql://erp@db/storebox", None).is_ok());
        let refused = config("postgresql://erp:secret@db/storebox", None).unwrap_err();
        assert!(refused.contains("secret_file") && !refused.contains("erp:"));
        assert!(config("not an address", None).is_err());
    }

    #[test]
    fn a_database_elsewhere_is_reached_over_tls_unless_its_address_says_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("ca.pem");
        let refused = |url: &str| Database::at(url, None, &missing).err();
        for here in ["host=/run/pg user=erp", "postgresql://erp@localhost/a", "host=::1 user=erp"] {
            assert_eq!(refused(here), None, "{here}");
        }
        let open = "postgresql://erp@db.example/a?sslmode=disable";
        assert_eq!(refused(open), None);
        for over_tls in ["postgresql://erp@db.example/a", "host=127.0.0.1 user=a sslmode=require"] {
            let reason = refused(over_tls).expect("there is no such file");
            assert!(reason.contains("ca.pem"), "{reason}");
        }
    }

    #[test]
    fn a_name_stays_within_its_quotes() {
        assert_eq!(quoted("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
    }
}
