//! What only head office has: its ledger, and where it goes.

use serde::{Deserialize, Serialize};

/// The ledger of a main server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerStatus {
    /// Transactions in it.
    pub settled: u64,
    /// Transactions that were refused or are in conflict.
    pub refused: u64,
    /// Its disk failed: nothing is settled until the server starts again.
    #[serde(default)]
    pub failed: bool,
    /// Its index failed: nothing is settled until it is open again, which is tried twice a minute.
    #[serde(default)]
    pub index_failed: bool,
}

/// A way of settled transactions to a system of the company.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// Its name.
    pub id: String,
    /// `postgres`, `nats`, `http` or `files`.
    pub to: String,
    /// The last position of the ledger that is there.
    pub position: u64,
    /// Transactions to go.
    pub behind: u64,
    /// Transactions delivered since the box started.
    pub delivered: u64,
    /// Transactions that are not taken there and wait for a person.
    pub aside: u64,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}
