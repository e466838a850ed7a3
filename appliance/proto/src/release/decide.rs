//! Whether a box wants a release, and what it does about it now.

use std::fmt;

use super::{Release, State, Version};
use crate::rings::{Rings, Seat, Turn};

/// A release that could not be written so often is not tried by itself any more.
const WRITES_FAILED_MAX: usize = 3;
/// What stays free on the disk whatever is fetched.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// What became of a release on this box, as its steward wrote it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past<'a> {
    /// The release.
    pub version: &'a str,
    /// `installing`, `failed`, `installed`, `confirmed`, `fell-back`, `refused` or `unapproved`; `broken` where what
    /// came is not what was announced.
    pub event: &'a str,
}

/// All that the decision follows from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The kind of machine.
    pub board: &'a str,
    /// What runs.
    pub running: Version,
    /// Who the box is.
    pub seat: Seat<'a>,
    /// The rings of the chain.
    pub rings: &'a Rings,
    /// The releases on offer.
    pub releases: &'a [Release],
    /// What became of releases here.
    pub past: &'a [Past<'a>],
    /// The release all of whose bytes are here and were compared with its record.
    pub whole: Option<&'a str>,
    /// Whether the shop is closed; nothing where the clock is wrong.
    pub is_closed: Option<bool>,
    /// Transactions that head office has not settled; nothing where there is no head office.
    pub unsettled: Option<u64>,
    /// So many of them hold nothing up.
    pub unsettled_max: u64,
    /// Bytes that are free on the disk.
    pub free_bytes: u64,
    /// Bytes of the release that need no room any more: what is here, and what it comes without.
    pub have_bytes: u64,
}

/// What a box does about releases now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Nothing is to be done.
    Idle(Idle),
    /// Its bytes are fetched.
    Fetch(&'a Release),
    /// It is wanted, and something is in the way.
    Hold(&'a Release, Hold),
    /// It is handed to whoever installs it.
    Install(&'a Release),
}

/// Why nothing is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idle {
    /// Nothing newer is on offer for this kind of machine.
    Newest,
    /// Something newer is, for others first.
    Later {
        /// Which.
        version: Version,
        /// Whose turn it is not.
        turn: Turn,
    },
    /// Something newer was stopped.
    Halted {
        /// Which.
        version: Version,
    },
    /// Something newer was tried here and is not tried again by itself.
    GaveUp {
        /// Which.
        version: Version,
        /// What became of it.
        word: Word,
    },
}

/// What became of a release that is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It started and the one before came back.
    FellBack,
    /// It was not believed, or not for this box.
    Refused,
    /// It could not be written.
    Failed,
    /// Its bytes are not those that were announced.
    Broken,
}

/// What is in the way of a release that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The disk has no room for it.
    Room {
        /// Bytes that it needs.
        needs: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Head office does not have all transactions.
    Unsettled {
        /// How many.
        count: u64,
    },
    /// The shop is open.
    Trading,
    /// Nobody knows whether the shop is open.
    Clock,
    /// It is installed and starts next.
    Restart,
    /// Its steward cannot be told whether something is in the way, and therefore does not get it.
    Steward,
}

/// Why a release is not tried again by itself.
pub fn gave_up(past: &[Past<'_>], version: Version) -> Option<Word> {
    let version = version.to_string();
    let count = |event: &str| {
        past.iter().filter(|line| line.version == version && line.event == event).count()
    };
    if past.iter().any(|line| line.version == version && line.event == "confirmed") {
        return None;
    }
    // An approval that is missing or over may be renewed: that is no reason.
    match (count("fell-back"), count("refused"), count("broken"), count("failed")) {
        (1.., ..) => Some(Word::FellBack),
        (0, 1.., ..) => Some(Word::Refused),
        (0, 0, 1.., _) => Some(Word::Broken),
        (0, 0, 0, WRITES_FAILED_MAX..) => Some(Word::Failed),
        (0, 0, 0, _) => None,
    }
}

/// What to do now: the newest release whose turn it is, step by step.
pub fn decide<'a>(now: &Situation<'a>) -> Decision<'a> {
    let mut newer: Vec<&'a Release> = now
        .releases
        .iter()
        .filter(|release| release.board == now.board && release.version > now.running)
        .collect();
    newer.sort_by_key(|release| std::cmp::Reverse(release.version));
    let mut why = Idle::Newest;
    for release in newer {
        match refuse(now, release) {
            None => return step(now, release),
            // What is said is about the newest one.
            Some(idle) if why == Idle::Newest => why = idle,
            Some(_) => {}
        }
    }
    Decision::Idle(why)
}

fn refuse(now: &Situation<'_>, release: &Release) -> Option<Idle> {
    let version = release.version;
    match release.state {
        State::Offered => {}
        State::Halted | State::Unknown => return Some(Idle::Halted { version }),
    }
    if let Some(word) = gave_up(now.past, version) {
        return Some(Idle::GaveUp { version, word });
    }
    match now.rings.turn(now.seat, &release.ring) {
        Turn::Now => None,
        turn @ (Turn::Later { .. } | Turn::Undefined) => Some(Idle::Later { version, turn }),
    }
}

fn step<'a>(now: &Situation<'a>, release: &'a Release) -> Decision<'a> {
    if now.whole != Some(release.id.as_str()) {
        // Its blocks, the bundle that is made of them, and the steward's copy of that.
        let all = release.bytes.saturating_mul(3);
        let full = room(now, all.saturating_sub(now.have_bytes));
        return full.map_or(Decision::Fetch(release), |why| Decision::Hold(release, why));
    }
    let version = release.version.to_string();
    let last = now.past.iter().rfind(|line| line.version == version).map(|line| line.event);
    if last == Some("installed") {
        return Decision::Hold(release, Hold::Restart);
    }
    // While it is being written the copy is there already.
    let full = if last == Some("installing") { None } else { room(now, release.bytes) };
    match hold(now).or(full) {
        Some(why) => Decision::Hold(release, why),
        None => Decision::Install(release),
    }
}

fn room(now: &Situation<'_>, bytes: u64) -> Option<Hold> {
    let (needs, free) = (bytes.saturating_add(FREE_BYTES_MIN), now.free_bytes);
    (free < needs).then_some(Hold::Room { needs, free })
}

/// What is in the way of any update, wherever it comes from.
///
/// An open shop is asked for first: how many transactions wait changes with every sale, and nobody has to hear of that.
pub fn hold(now: &Situation<'_>) -> Option<Hold> {
    match now.is_closed {
        Some(true) => {}
        Some(false) => return Some(Hold::Trading),
        None => return Some(Hold::Clock),
    }
    let count = now.unsettled.filter(|count| *count > now.unsettled_max);
    count.map(|count| Hold::Unsettled { count })
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("nothing newer is on offer"),
            Self::Later { version, turn } => write!(f, "{version} is on offer; {turn}"),
            Self::Halted { version } => write!(f, "{version} was halted"),
            Self::GaveUp { version, word } => write!(f, "{version} {word}"),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FellBack => "was tried and came back; a person has to ask for it",
            Self::Refused => "was refused by this box; a person has to ask for it",
            Self::Failed => "could not be written three times; a person has to ask for it",
            Self::Broken => "is not what was announced; it has to be offered anew",
        })
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { needs, free } => {
                write!(f, "the disk has {} MB free, {} MB are needed", free >> 20, needs >> 20)
            }
            Self::Unsettled { count } => {
                write!(f, "{count} transactions have to reach head office first")
            }
            Self::Trading => f.write_str("it waits until the shop is closed"),
            Self::Clock => {
                f.write_str("it waits until the clock is right, to know when the shop is closed")
            }
            Self::Restart => f.write_str("it is installed and starts next"),
            Self::Steward => {
                f.write_str("its steward cannot be told whether something is in the way")
            }
        }
    }
}
