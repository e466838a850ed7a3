//! `terminal`, `node` and `operator`, each with `add|list|revoke`.
//!
//! They go through the running box; if none runs, they take the data directory and change the file themselves.

use std::path::Path;

use super::client::{CallError, Control};
use super::{CommandError, say};
use crate::args::Clients;
use crate::env;
use crate::http::admin::{Admitted, Newcomer};
use crate::node::Premises;
use crate::terminal::access::{Access, Kind, Listed};

/// Where clients are changed.
enum Way {
    Running(Control, &'static str),
    Here(Access, Kind, Premises),
}

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, kind: Kind, what: Clients) -> Result<(), CommandError> {
    let way = find(data_dir, kind)?;
    match what {
        Clients::Add { name } => say(&add(way, name).await?),
        Clients::Revoke { name } => revoke(way, &name).await?,
        Clients::List { json } => {
            let listed = list(way).await?;
            match json {
                true => say(&serde_json::to_string_pretty(&listed).expect("names are JSON")),
                false => say(&table(&listed)),
            }
        }
    }
    Ok(())
}

fn find(data_dir: &Path, kind: Kind) -> Result<Way, CommandError> {
    match Control::open(data_dir) {
        Ok(control) => {
            let path = match kind {
                Kind::Terminal => "/v1/terminals",
                Kind::Node => "/v1/nodes",
                Kind::Operator => "/v1/operators",
            };
            Ok(Way::Running(control, path))
        }
        Err(CallError::NotRunning { .. }) => {
            let premises = Premises::enter(data_dir)?;
            Ok(Way::Here(Access::open(data_dir)?, kind, premises))
        }
        Err(error) => Err(error.into()),
    }
}

async fn add(way: Way, name: String) -> Result<String, CommandError> {
    match way {
        Way::Running(control, path) => {
            let admitted: Admitted = control.post(path, &Newcomer { name }).await?;
            Ok(admitted.token)
        }
        Way::Here(access, kind, _premises) => {
            Ok(access.add(kind, &name, env::random(), env::timestamp())?)
        }
    }
}

async fn revoke(way: Way, name: &str) -> Result<(), CommandError> {
    match way {
        Way::Running(control, path) => Ok(control.delete(&format!("{path}/{name}")).await?),
        Way::Here(access, kind, _premises) => Ok(access.revoke(kind, name, env::timestamp())?),
    }
}

async fn list(way: Way) -> Result<Vec<Listed>, CommandError> {
    match way {
        Way::Running(control, path) => Ok(control.get(path).await?),
        Way::Here(access, kind, _premises) => Ok(access.list(kind, env::timestamp())),
    }
}

fn table(listed: &[Listed]) -> String {
    let mut text = format!("{:<32}  {:>5}  {:<24}  {:<24}", "name", "epoch", "added", "last seen");
    for entry in listed {
        let seen = match (&entry.revoked, &entry.last_seen) {
            (Some(revoked), _) => format!("revoked {revoked}"),
            (None, Some(seen)) => seen.to_string(),
            (None, None) => "not since the box started".to_owned(),
        };
        let added = entry.added.to_string();
        let guest = entry.guest_of.as_ref().map_or(String::new(), |of| format!(", guest of {of}"));
        let (name, epoch) = (&entry.name, entry.epoch);
        text.push_str(&format!("\n{name:<32}  {epoch:>5}  {added:<24}  {seen}{guest}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_is_added_and_revoked_without_a_running_box() {
        let dir = tempfile::tempdir().unwrap();
        let way = || find(dir.path(), Kind::Node).unwrap();
        let token = add(way(), "store-1".to_owned()).await.unwrap();
        assert!(token.starts_with("sbn_"));
        revoke(way(), "store-1").await.unwrap();
        let listed = list(way()).await.unwrap();
        assert!(listed[0].revoked.is_some());
        assert!(table(&listed).contains("revoked"));
    }
}
