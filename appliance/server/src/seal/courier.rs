//! Brings the rings of this box from head office, over the line on which both have shown their certificates.
//!
//! A new generation reaches every box within [`LOOK_EVERY`], long before the former one stops opening.
//! Keys never come over a line without TLS: there, head office refuses to say them, and they are carried by hand.

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use storebox_proto::ids::SiteId;
use storebox_proto::limits::RING_GENERATIONS_MAX;
use storebox_proto::seal::RingState;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Seals, SealsError};
use crate::blocking::beside;
use crate::client;
use crate::env;

/// Where they are asked for.
const PATH: &str = "/sync/v1/rings";
/// Between two looks; a look is a kilobyte.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Until the first look has succeeded, a box that reads sealed can do nothing else.
const FIRST_EVERY: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A ring takes less than this.
const RING_BYTES_MAX: usize = 1024;

/// Why no rings came.
#[derive(Debug, thiserror::Error)]
enum CourierError {
    /// Head office does not answer.
    #[error("ask head office for sealing keys")]
    Line(#[from] reqwest::Error),
    /// It does not give them.
    #[error("head office answered {0}")]
    Status(u16),
    /// It gives something else.
    #[error("head office gave no rings")]
    Content,
    /// They cannot be kept.
    #[error(transparent)]
    Keep(#[from] SealsError),
}

/// Fetches rings.
pub struct Courier {
    client: Client,
    url: String,
    seals: Seals,
    sites: Vec<SiteId>,
}

impl Courier {
    /// Fetches the rings of these sites through the socket that leads to head office.
    pub fn new(
        socket: &Path,
        base: &str,
        seals: Seals,
        sites: Vec<SiteId>,
    ) -> Result<Self, reqwest::Error> {
        let client = client::builder().timeout(ANSWER_MAX).unix_socket(socket).build()?;
        let url = format!("{}{PATH}", base.trim_end_matches('/'));
        Ok(Self { client, url, seals, sites })
    }

    /// Looks again and again; dropped at an await, the next look brings what this one would have.
    pub async fn run(self, stop: CancellationToken) {
        let mut every = FIRST_EVERY;
        loop {
            match stop.run_until_cancelled(self.look()).await {
                None => return,
                Some(Ok(0)) => every = LOOK_EVERY,
                Some(Ok(count)) => {
                    tracing::info!(count, "sealing keys came from head office");
                    every = LOOK_EVERY;
                }
                Some(Err(error @ CourierError::Keep(_))) => {
                    tracing::warn!(%error, "sealing keys of head office cannot be kept");
                    every = LOOK_EVERY;
                }
                Some(Err(error)) => tracing::debug!(%error, "no sealing keys"),
            }
            // Boxes that came up together after a power cut do not ask together.
            let jitter = Duration::from_millis(u64::from(u16::from_le_bytes(env::random())) / 32);
            if stop.run_until_cancelled(tokio::time::sleep(every + jitter)).await.is_none() {
                return;
            }
        }
    }

    async fn look(&self) -> Result<usize, CourierError> {
        let mut response = self.client.get(&self.url).send().await?;
        if !response.status().is_success() {
            return Err(CourierError::Status(response.status().as_u16()));
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(part) = response.chunk().await? {
            if body.len() + part.len() > RING_GENERATIONS_MAX * RING_BYTES_MAX {
                return Err(CourierError::Content);
            }
            body.extend_from_slice(&part);
        }
        let states: Vec<RingState> =
            serde_json::from_slice(&body).map_err(|_| CourierError::Content)?;
        let (seals, sites) = (self.seals.clone(), self.sites.clone());
        let now = env::believable();
        Ok(beside(move || seals.learn(states, &sites, now)).await?)
    }
}
