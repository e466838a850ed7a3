//! Clients as operators see them.

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;

/// An entry as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// How often a client of this name was added.
    pub epoch: u32,
    /// When it was added.
    #[schema(value_type = String)]
    pub added: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub revoked: Option<Timestamp>,
    /// When its token was used last since the box started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub last_seen: Option<Timestamp>,
    /// The box next door that has let it in, and for which this one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_of: Option<String>,
}
