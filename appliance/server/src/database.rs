//! A session with a PostgreSQL of the company: what sinks and intakes have in common.
//!
//! The connection is a future that has to be driven beside the work; no task of its own does that, so a session that
//! is dropped leaves nothing behind.
//! The line is not encrypted: a socket of this machine, or a network that is the company's own.

use std::pin::Pin;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

use crate::logging;

/// Time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);

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
}

/// Where a database is, without a secret in the address, and the secret.
pub fn config(url: &str, password: Option<String>) -> Result<Config, String> {
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
    pub async fn open(config: &Config) -> Result<Self, SessionError> {
        let (client, connection) = config.connect(NoTls).await?;
        Ok(Self { client, line: Line(Box::pin(connection)) })
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
            Self::Closed => None,
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
    fn a_name_stays_within_its_quotes() {
        assert_eq!(quoted("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
    }
}
