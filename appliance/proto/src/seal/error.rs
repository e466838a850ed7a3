//! Why something sealed is not opened.

use crate::problem::Code;

/// Why something sealed is not opened, or not taken although it opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a sealed URL, or too short to be one.
    #[error("this is not a sealed request: /x/<key id>/<blob>")]
    Shape,
    /// No ring has this tag: another site, another scope, or a generation that was taken back.
    #[error("no key {kid} is known here: another site, or a generation that was taken back")]
    KeyUnknown {
        /// Which key was named.
        kid: String,
    },
    /// The key belongs to an epoch that is over, or that has not begun by far.
    #[error("key {kid} is of epoch {epoch}, which is outside {from} to {to}")]
    Epoch {
        /// Which key was named.
        kid: String,
        /// Its epoch.
        epoch: u32,
        /// The oldest that is taken.
        from: u32,
        /// The newest that is taken.
        to: u32,
    },
    /// The seal does not hold: changed on its way, or sealed for something else.
    #[error("the seal is broken: changed on the way, or made for something else")]
    Broken,
    /// The seal holds, but what is inside does not follow the specification.
    #[error("what was sealed is not understood: {0}")]
    Content(&'static str),
    /// More than may be sealed at once.
    #[error("{bytes} bytes are sealed at once, at most {bytes_max}")]
    TooLarge {
        /// How much it is.
        bytes: usize,
        /// How much it may be.
        bytes_max: usize,
    },
    /// The write was taken before.
    #[error("write {counter} was taken before")]
    Replayed {
        /// Its counter.
        counter: u64,
    },
    /// So many later writes were taken that this one comes too late.
    #[error("write {counter} comes after {top}, too late to be told from a repetition")]
    Reordered {
        /// Its counter.
        counter: u64,
        /// The newest that was taken.
        top: u64,
    },
    /// The write was sealed for an earlier life of the box.
    #[error("the box was restarted since this was sealed; seal it again")]
    OtherLife,
    /// The answer is older than it says it may be.
    #[error("the answer is {late_ms} ms too old")]
    Stale {
        /// By how much.
        late_ms: u64,
    },
    /// The answer claims to be made later than now.
    #[error("the answer was made {early_ms} ms from now: a clock is wrong")]
    Early {
        /// By how much.
        early_ms: u64,
    },
    /// The answer is from before what was seen already.
    #[error("feed {feed}: the answer is from before what was seen already")]
    RolledBack {
        /// The feed.
        feed: String,
    },
    /// A sealed request was answered in the open.
    #[error("a sealed request was answered in the open")]
    Downgraded,
}

impl SealError {
    /// What a box answers.
    pub fn code(&self) -> Code {
        match self {
            Self::KeyUnknown { .. } => Code::SealKeyUnknown,
            Self::Epoch { .. } => Code::SealExpired,
            Self::Shape | Self::Broken | Self::Content(_) => Code::SealBroken,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Replayed { .. } => Code::SealReplayed,
            Self::Reordered { .. } => Code::SealReordered,
            Self::OtherLife => Code::SealRestarted,
            Self::Stale { .. } | Self::Early { .. } | Self::RolledBack { .. } => Code::SealStale,
            Self::Downgraded => Code::SealRequired,
        }
    }
}
