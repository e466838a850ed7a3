//! What boxes next door say to each other.
//!
//! A hello carries what the other side asked for last, and is taken once: one that was overheard and is said again
//! changes nothing, however old either box is and whatever their clocks say.

use serde::{Deserialize, Serialize};
use storebox_proto::ids::Hash32;
#[cfg(test)]
use storebox_proto::time::Timestamp;

use super::Card;
#[cfg(test)]
use super::ListError;
use crate::pass::SiteSecret;
#[cfg(test)]
use crate::terminal::access::Access;
use crate::terminal::access::Entry;

/// What a box says to one next door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who it is.
    pub card: Card,
    /// Names this hello; the answer is sealed over it.
    pub challenge: String,
    /// What the other side has asked for last.
    #[serde(default)]
    pub asked: String,
    /// Names the list of its terminals as it is now.
    pub digest: Hash32,
    /// The list, if the other side wanted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminals: Option<Vec<Entry>>,
}

#[cfg(test)]
impl Hello {
    /// All that a box of this name has to say, before it knows what it is asked for.
    pub(crate) fn of(node: &str, terminals: Vec<Entry>) -> Self {
        let addresses = vec![format!("http://{node}.example:8080")];
        let card = Card { node: node.parse().unwrap(), addresses, pages: Vec::new() };
        let digest = Hash32::of(&serde_json::to_vec(&terminals).unwrap());
        let (challenge, asked) = ("now".to_owned(), String::new());
        Self { card, challenge, asked, digest, terminals: Some(terminals) }
    }

    /// Says it as a box does: once to hear what is asked for, then with that.
    pub(crate) fn say(self, to: &Access, now: Timestamp) -> Result<Heard, ListError> {
        let asked = to.hear(Self { terminals: None, ..self.clone() }, now)?.asks;
        to.hear(Self { asked, ..self }, now)
    }
}

/// What became of a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Whether it is to be said again, with the list.
    pub wants_terminals: bool,
    /// What the next one carries.
    pub asks: String,
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The card of who answers, as text: what is sealed is what was sent, whatever a later version adds to it.
    pub card: String,
    /// That this is the answer of a box of the store to this very hello.
    pub seal: String,
    /// Whether the list is to be sent as well.
    pub wants_terminals: bool,
    /// What the next hello carries; who changes it on the way keeps it from being heard, as who cuts the cable does.
    #[serde(default)]
    pub asks: String,
}

impl Reply {
    /// The answer to a hello, by a box that has this secret.
    pub fn new(secret: &SiteSecret, challenge: &str, card: &Card, heard: Heard) -> Self {
        let card = serde_json::to_string(card).expect("names and texts are JSON");
        let Heard { wants_terminals, asks } = heard;
        Self { seal: secret.vouch(challenge, &card), card, wants_terminals, asks }
    }

    /// Who answered, if it was a box with this secret and this very hello.
    pub fn read(&self, secret: &SiteSecret, challenge: &str) -> Option<Card> {
        if !secret.has_vouched(&self.seal, challenge, &self.card) {
            return None;
        }
        let card: Card = serde_json::from_str(&self.card).ok()?;
        card.check().is_ok().then_some(card)
    }
}
