//! A barcode scanner's bay: each code as it was read, with what GS1 or the shop's own rules make of it.

use std::time::Instant;

use serde::Serialize;
use storebox_peripherals::scanner::gs1::{self, Element};
use storebox_peripherals::scanner::instore::{self, InStore, Rule};
use storebox_peripherals::scanner::{Event, Framing, Scan, Scanner};
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::Problem;
use storebox_proto::time::Timestamp;
use tokio::sync::broadcast;

use super::Craft;
use crate::env;

/// A code that was read.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scanned {
    /// What stands in it; bytes that are no text are replaced.
    pub code: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The elements of a GS1 code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub gs1: Vec<Element>,
    /// What a code printed in the shop carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub in_store: Option<InStore>,
}

/// A scanner is asked nothing.
#[derive(Debug, Clone, Copy)]
pub enum Command {}

/// What the thread of a scanner does.
pub(in crate::devices) struct ScannerCraft {
    id: DeviceId,
    rules: Vec<Rule>,
    codes: broadcast::Sender<Scanned>,
}

impl ScannerCraft {
    pub(in crate::devices) fn new(
        id: DeviceId,
        rules: Vec<Rule>,
        codes: broadcast::Sender<Scanned>,
    ) -> Self {
        Self { id, rules, codes }
    }

    /// The line of a scanner.
    pub(in crate::devices) fn line(framing: &Framing) -> Scanner {
        Scanner::new(framing.clone())
    }

    fn read(&self, scan: &Scan) -> Scanned {
        let gs1 = if scan.is_gs1() { gs1::parse(&scan.data) } else { Ok(Vec::new()) };
        let gs1 = gs1.unwrap_or_else(|error| {
            tracing::info!(device = %self.id, %error, "code says that it is GS1, and is not");
            Vec::new()
        });
        let in_store = instore::read(&self.rules, &scan.data);
        let code = String::from_utf8_lossy(&scan.data).into_owned();
        Scanned { code, at: env::timestamp(), gs1, in_store }
    }
}

impl Craft for ScannerCraft {
    type Line = Scanner;
    type Command = Command;

    fn take(&mut self, _line: &mut Scanner, command: Command, _now: Instant) {
        match command {}
    }

    fn turn_away(&mut self, command: Command, _why: Problem) {
        match command {}
    }

    fn hear(&mut self, event: Event, _now: Instant) {
        match event {
            // Fails when nobody listens: a code is for the till that stands there now.
            Event::Scan(scan) => drop(self.codes.send(self.read(&scan))),
            Event::Broken { bytes } => {
                tracing::info!(device = %self.id, bytes, "scanner sent bytes that make no code");
            }
            Event::Missed { codes } => {
                tracing::warn!(device = %self.id, codes, "scanner sent codes faster than they are taken");
            }
            Event::Disconnected => {}
        }
    }
}
