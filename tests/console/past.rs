//! What happened before a script begins, or while nobody looked: written where the boxes remember it.

use std::fs;

use anyhow::Context;
use serde_json::{Value, json};
use storebox::env;
use storebox::terminal::past;
use storebox_proto::time::Timestamp;

use crate::stage::Stage;

/// Where head office remembers what its boxes said.
const ROLL: &str = "boxes.json";
const HOUR_MS: i64 = 3_600_000;

impl Stage {
    /// A box that head office has let in, and that was heard of three hours ago for the last time.
    pub(crate) async fn remember_a_silent_box(&mut self, name: &str) -> anyhow::Result<()> {
        self.main().ask(&["node", "add", name])?;
        self.main().stop();
        let path = self.main().data().join(ROLL);
        let heard = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut heard: Value = heard.unwrap_or_else(|| json!({}));
        let at = Timestamp::from_unix_ms(env::timestamp().unix_ms() - 3 * HOUR_MS);
        heard[name] = json!({"at": at, "heartbeat": {
            "version": "0.1.0", "now": at, "uptimeS": 7200, "feeds": [], "waiting": 2, "oldestS": 60,
            "level": "good", "sentence": "Selling normally",
        }});
        fs::write(&path, serde_json::to_vec(&heard)?)?;
        self.restart_main().await?;
        let address = json!(self.main_address());
        self.tell("main", address);
        Ok(())
    }

    /// What the shop's tills loaded is so many minutes older than it was.
    pub(crate) async fn age(&mut self, minutes: i64) -> anyhow::Result<Value> {
        self.store().stop();
        let path = self.store().data().join(past::FILE);
        let mut tills: Value = serde_json::from_slice(&fs::read(&path)?)?;
        for till in tills.as_object_mut().context("tills by their names")?.values_mut() {
            for loaded in ["fullOk", "incrementalOk"] {
                let Some(at) = till.get_mut(loaded).filter(|at| !at.is_null()) else { continue };
                let then: Timestamp = serde_json::from_value(at.take())?;
                *at = json!(Timestamp::from_unix_ms(then.unix_ms() - minutes * 60_000));
            }
        }
        fs::write(&path, serde_json::to_vec(&tills)?)?;
        self.start().await
    }
}
