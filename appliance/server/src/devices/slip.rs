//! The slip of the first start: a technician who plugs a printer in sees the box's name, address and state on paper.
//!
//! It is an ordinary job under a key of its own, so it prints once; a file keeps it from being printed again when its
//! key was forgotten.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use storebox_peripherals::spool::{Class, Request, State};
use storebox_proto::ids::NodeId;
use tokio_util::sync::CancellationToken;

use super::bay::Link;
use super::rendering::Source;
use super::spool::Order;
use super::yard::{Devices, Station};
use crate::masterdata::{Masterdata, position_of};
use crate::{env, files};

/// The model without which a till has nothing to sell.
const ARTICLES: &str = "Product";
/// The key of the job.
pub const KEY: &str = "storebox.first-slip";
/// Between two looks for a printer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What stands on the slip and where it is noted that it was printed.
#[derive(Debug, Clone)]
pub struct Slip {
    /// The box's name.
    pub node: NodeId,
    /// What it does.
    pub role: &'static str,
    /// Where its masterdata comes from; empty: from nowhere.
    pub main: String,
    /// What it has of that.
    pub masterdata: Masterdata,
    /// The file that is written once the slip is on paper.
    pub done: PathBuf,
    /// The file in which the box's addresses stand once it serves.
    pub addresses: PathBuf,
}

impl Slip {
    /// Waits for the first printer that can print, then for its word; nothing is lost when this is dropped.
    pub async fn run(self, devices: Devices, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        while !self.done.exists() {
            if stop.run_until_cancelled(look.tick()).await.is_none() {
                return;
            }
            if let Err(error) = self.try_once(&devices).await {
                tracing::debug!(%error, "the first slip waits");
            }
        }
        stop.cancelled().await;
    }

    async fn try_once(&self, devices: &Devices) -> Result<(), storebox_proto::problem::Problem> {
        let key = KEY.parse().expect("a literal that keeps the rule for keys");
        if let Some(job) = devices.spool().find(key).await? {
            if job.record.state != State::Queued && job.record.state.is_final() {
                self.note_done();
            }
            return Ok(());
        }
        let roll = devices.roll();
        let ready = roll.posts.values().find(|post| match &post.station {
            Station::Printer { state, .. } => {
                post.link() == Link::Open && state.borrow().trouble.is_none()
            }
            Station::Scale { .. } | Station::Display { .. } | Station::Scanner { .. } => false,
        });
        let (Some(post), Some(text)) = (ready, self.text()) else { return Ok(()) };
        let content = Bytes::from(text);
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(&content).as_bytes()[..16]);
        let request = Request {
            key: KEY.parse().expect("a literal that keeps the rule for keys"),
            printer: post.definition.id.to_string(),
            class: Class::Report,
            digest,
            expires_at: None,
        };
        let by = self.node.to_string();
        let order = Order {
            request,
            source: Source::Receiptline,
            content,
            secret: false,
            by,
            kicks: Vec::new(),
        };
        devices.spool().submit(order).await.map(drop)
    }

    /// Nothing before the box serves.
    fn text(&self) -> Option<String> {
        let addresses = std::fs::read_to_string(&self.addresses).ok()?;
        let mut text = format!("^^^Storebox\n---\nname|{}\nrole|{}\n", self.node, self.role);
        for address in addresses.lines().take(16) {
            let _ = writeln!(text, "address|{}", address.trim());
        }
        let _ = writeln!(text, "version|{}\ntime|{}", env!("CARGO_PKG_VERSION"), env::timestamp());
        let main = if self.main.is_empty() { "none" } else { &self.main };
        // The text of an address may be anything; in ReceiptLine some signs mean more.
        let main: String = main.chars().filter(|c| !"|{}\\~_\"`^".contains(*c)).collect();
        let _ =
            writeln!(text, "head office|{main}\nstate|serves tills\narticles|{}", self.articles());
        text.push_str("---\nThis printer works.\n=\n");
        Some(text)
    }

    /// What it can serve.
    fn articles(&self) -> String {
        match self.masterdata.view(ARTICLES) {
            Ok(view) => format!("revision {}", position_of(&view.generation).revision),
            Err(_) => "none yet".to_owned(),
        }
    }

    fn note_done(&self) {
        if let Err(error) = files::replace(&self.done, b"printed\n", files::PUBLIC) {
            tracing::warn!(%error, "it cannot be noted that the first slip is printed");
        }
    }
}
