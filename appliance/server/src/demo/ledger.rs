//! Reads the whole ledger of head office, page by page, as an operator.

use serde::Deserialize;
use storebox_proto::ticket::Envelope;

use super::process::{Error, Process};

/// Entries asked for at once.
const PAGE: usize = 500;

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    position: u64,
    envelope: Envelope,
}

/// Every settled transaction, in the order of settling.
pub async fn read(main: &Process) -> Result<Vec<Envelope>, Error> {
    let mut all: Vec<Entry> = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/ledger?limit={PAGE}{after}");
        let answer = main.control("GET", &path, None).await?;
        let text = answer.to_string();
        let page: Page =
            serde_json::from_value(answer).map_err(|_| main.odd_answer(&path, text))?;
        all.extend(page.entries);
        let Some(next) = page.next else { break };
        after = format!("&after={next}");
    }
    all.sort_by_key(|entry| entry.position);
    Ok(all.into_iter().map(|entry| entry.envelope).collect())
}
