//! Whether a box is well with new settings: well for a while, and not only at one look.

use std::time::{Duration, Instant};

/// In this many times the time of a proof it is proven, or it is not well.
const PATIENCE: u32 = 5;

/// What the looks so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Open,
    /// It was well for long enough.
    Well,
    /// It was not, for as long.
    Ill(String),
}

/// Looks at a box on trial.
#[derive(Debug, Clone)]
pub struct Health {
    prove: Duration,
    since: Instant,
    /// How it was at the last look, and since when.
    seen: Option<(Result<(), String>, Instant)>,
}

impl Health {
    /// Begins to look, now.
    pub fn new(prove: Duration, now: Instant) -> Self {
        Self { prove, since: now, seen: None }
    }

    /// Takes in a look: the box is well, or says why it is not.
    pub fn handle_look(&mut self, look: Result<(), String>, now: Instant) -> Verdict {
        let since = match &self.seen {
            Some((before, since)) if before.is_ok() == look.is_ok() => *since,
            Some(_) | None => now,
        };
        let lasted = now.saturating_duration_since(since);
        let in_all = now.saturating_duration_since(self.since);
        self.seen = Some((look.clone(), since));
        match look {
            Ok(()) if lasted >= self.prove => Verdict::Well,
            Err(why) if lasted >= self.prove => Verdict::Ill(why),
            Ok(()) | Err(_) if in_all < self.prove * PATIENCE => Verdict::Open,
            Ok(()) => Verdict::Ill("the box is well and not well by turns".to_owned()),
            Err(why) => Verdict::Ill(why),
        }
    }
}
