//! The time as pushes take it, so that a test can let a week pass.

use std::sync::Arc;
use std::time::Instant;

use storebox_proto::time::Timestamp;

use crate::env;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For waiting.
    pub instant: Instant,
    /// For people.
    pub at: Timestamp,
}

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The clocks of the box.
pub fn real() -> Clock {
    Arc::new(|| Now { instant: env::instant(), at: env::timestamp() })
}
