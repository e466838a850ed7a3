//! What survives a restart: open slips. Codes and requests are short-lived and end with the process.

use serde::{Deserialize, Serialize};

use super::super::Secret;
use super::super::slip::SlipId;
use super::slips::OpenSlip;
use super::{Porter, Wish};
use crate::limits::SLIPS_MAX;
use crate::time::Timestamp;

/// An open slip at rest; whoever can read it can use it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSlip {
    /// Which.
    pub id: SlipId,
    /// Whom it lets in.
    pub wish: Wish,
    /// Its secret, 32 hexadecimal digits.
    secret: String,
    /// Until when.
    pub until: Timestamp,
}

impl std::fmt::Debug for StoredSlip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredSlip({})", self.id)
    }
}

/// How much is open, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Slips that nobody has used.
    pub slips: usize,
    /// Until when a code is open.
    pub code_until: Option<Timestamp>,
    /// Requests that wait for a person.
    pub requests: usize,
}

impl Porter {
    /// All open slips.
    pub fn stored(&self) -> Vec<StoredSlip> {
        let stored = self.slips.iter().map(|(id, slip)| StoredSlip {
            id: *id,
            wish: slip.wish.clone(),
            secret: hex::encode(slip.secret.reveal()),
            until: slip.until,
        });
        stored.collect()
    }

    /// A porter with these slips open; one that cannot be read is left out.
    pub fn restored(stored: Vec<StoredSlip>) -> Self {
        let mut porter = Self::default();
        for slip in stored.into_iter().take(SLIPS_MAX) {
            let mut secret = [0; 16];
            if hex::decode_to_slice(&slip.secret, &mut secret).is_err() {
                continue;
            }
            let secret = Secret::new(secret);
            let open = OpenSlip { wish: slip.wish, secret, until: slip.until };
            porter.slips.insert(slip.id, open);
        }
        porter
    }

    /// How much is open.
    pub fn counts(&self) -> Counts {
        let waiting = self.requests().iter().filter(|request| !request.answered).count();
        Counts {
            slips: self.slips.len(),
            code_until: self.window.as_ref().map(|window| window.until),
            requests: waiting,
        }
    }
}
