//! `storebox login`: hashes for users' records, the box's token key, and who logged in, through the running box.

use std::path::Path;

use serde_json::json;
use zeroize::Zeroizing;

use super::client::Control;
use super::{CommandError, say};
use crate::args::Login;
use crate::http::persons::Hash;
use crate::login::Entry;

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Login) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    match what {
        Login::Hash => {
            // Read from the standard input: a password on a command line is seen by everybody on the machine.
            let mut password = Zeroizing::new(String::new());
            let fail = |source| CommandError::File { path: "standard input".into(), source };
            std::io::stdin().read_line(&mut password).map_err(fail)?;
            let plain = json!({"password": password.trim_end_matches(['\r', '\n'])});
            say(&control.post::<Hash>("/v1/logins/hash", &plain).await?.hash);
        }
        Login::Key => {
            let record: serde_json::Value = control.get("/v1/logins/key").await?;
            say(&json!({"model": "TokenKey", "record": record}).to_string());
        }
        Login::List => {
            let entries: Vec<Entry> = control.get("/v1/logins").await?;
            let line = |entry: &Entry| {
                let what = format!("{:?}", entry.what).to_lowercase();
                format!(
                    "{:<24}  {what:<8}  {:<32}  {}",
                    entry.at.to_string(),
                    entry.till,
                    entry.user
                )
            };
            say(&entries.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
    }
    Ok(())
}
