//! Who lets a release be installed: several people, each with a key of their own, and not for ever.
//!
//! RAUC's signature says who made a bundle: one certificate, for years.
//! An approval says that so many of those whom a box believes want exactly this bundle installed, until a day.
//! Their keys are in the read-only system, so that they change with a release, which those before them approved;
//! and none of them is on head office's server: whoever takes that over can offer only what was approved, and only
//! for as long.
//!
//! ```text
//! approvers.toml   threshold = 2            update.approval   {"board", "version", "manifest", "expires",
//!                  keys = ["…", "…", "…"]                      "signatures": [{"key", "signature"}, …]}
//! ```
//!
//! What is signed is the text of [`Approval::signed`]; the manifest's hash names exactly one bundle.

use serde::{Deserialize, Serialize};

use crate::manifest::{Board, Version};
use crate::signature::{KeyId, ReleaseKey, TrustedKey};

/// More people do not sign one release.
const SIGNATURES_MAX: usize = 16;
/// A file of so many signatures is far smaller.
pub const APPROVAL_BYTES_MAX: u64 = 8192;
const DAY_S: u64 = 86_400;

/// What is let be installed, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub board: Board,
    pub version: Version,
    /// The hash of the bundle's manifest, as `rauc info` prints it.
    pub manifest: String,
    /// Seconds since 1970 after which it counts for nothing.
    pub expires: u64,
    #[serde(default)]
    pub signatures: Vec<Signed>,
}

/// One person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The short name of the key.
    pub key: String,
    pub signature: String,
}

/// Whose word counts on a box, and of how many of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    threshold: usize,
    keys: Vec<String>,
}

/// The same, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvers {
    threshold: usize,
    keys: Vec<TrustedKey>,
}

/// What is to be installed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub board: &'a str,
    pub version: Version,
    pub manifest: &'a str,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApprovers {
    #[error("it is no list of approvers: {0}")]
    Syntax(String),
    #[error("key {0} is no key")]
    Key(usize),
    #[error("key {0} comes twice")]
    Twice(usize),
    #[error("{threshold} of {keys} keys cannot approve anything safely")]
    Threshold { threshold: usize, keys: usize },
}

/// Why a release is not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    #[error("there is no approval beside it")]
    Missing,
    #[error("its approval cannot be read")]
    Unreadable,
    #[error("its approval is for {what}")]
    Other { what: String },
    #[error("its approval expired {days} days ago; head office has to renew it")]
    Expired { days: u64 },
    #[error("{valid} of those who may have approved it, {threshold} have to")]
    TooFew { valid: usize, threshold: usize },
}

/// Why an approval cannot be signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    #[error("the manifest is not a hash of 64 hexadecimal digits")]
    Manifest,
    #[error("{SIGNATURES_MAX} people have signed already")]
    Full,
}

impl Approval {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotApproved> {
        let approval: Self = serde_json::from_slice(bytes).map_err(|_| NotApproved::Unreadable)?;
        match approval.signatures.len() <= SIGNATURES_MAX {
            true => Ok(approval),
            false => Err(NotApproved::Unreadable),
        }
    }

    /// Adds a person's word, or says it again.
    pub fn sign(&mut self, key: &ReleaseKey) -> Result<(), CannotSign> {
        let is_hash = self.manifest.len() == 64
            && self.manifest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_hash {
            return Err(CannotSign::Manifest);
        }
        let name = key.public().id().to_string();
        self.signatures.retain(|signed| signed.key != name);
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(CannotSign::Full);
        }
        let signature = hex::encode(key.sign_approval(&self.signed()));
        self.signatures.push(Signed { key: name, signature });
        Ok(())
    }

    /// What is signed: a line each, so that no two approvals have the same bytes.
    fn signed(&self) -> Vec<u8> {
        let Self { board, version, manifest, expires, .. } = self;
        format!("{board}\n{version}\n{manifest}\n{expires}\n").into_bytes()
    }

    fn is_signed_by(&self, key: &TrustedKey) -> bool {
        let KeyId(id) = key.id();
        let of_key = |signed: &&Signed| signed.key == hex::encode(id);
        self.signatures.iter().filter(of_key).any(|signed| {
            let mut signature = [0; 64];
            hex::decode_to_slice(&signed.signature, &mut signature).is_ok()
                && key.has_approved(&self.signed(), &signature)
        })
    }
}

impl Approvers {
    /// Reads the list of a box.
    pub fn parse(text: &str) -> Result<Self, InvalidApprovers> {
        let File { threshold, keys: texts } =
            toml::from_str(text).map_err(|error| InvalidApprovers::Syntax(error.to_string()))?;
        let mut keys: Vec<TrustedKey> = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let key: TrustedKey = text.parse().map_err(|_| InvalidApprovers::Key(at + 1))?;
            if keys.contains(&key) {
                return Err(InvalidApprovers::Twice(at + 1));
            }
            keys.push(key);
        }
        if !(1..=keys.len()).contains(&threshold) || keys.len() > SIGNATURES_MAX {
            return Err(InvalidApprovers::Threshold { threshold, keys: keys.len() });
        }
        Ok(Self { threshold, keys })
    }

    /// Whether enough of them want exactly this, still.
    pub fn check(
        &self,
        approval: &Approval,
        wanted: &Wanted<'_>,
        now: u64,
    ) -> Result<(), NotApproved> {
        let Approval { board, version, manifest, expires, .. } = approval;
        let what = (board.as_str(), *version, manifest.as_str());
        if what != (wanted.board, wanted.version, wanted.manifest) {
            return Err(NotApproved::Other {
                what: format!("another {board} bundle of {version}"),
            });
        }
        let valid = self.keys.iter().filter(|key| approval.is_signed_by(key)).count();
        if valid < self.threshold {
            return Err(NotApproved::TooFew { valid, threshold: self.threshold });
        }
        match now.checked_sub(*expires) {
            Some(late) => Err(NotApproved::Expired { days: late / DAY_S }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(number: u8) -> ReleaseKey {
        ReleaseKey::from_seed([number; 32])
    }

    fn approvers(threshold: usize, numbers: &[u8]) -> Approvers {
        let keys = numbers.iter().map(|number| format!("{:?}", key(*number).public().to_string()));
        let keys = keys.collect::<Vec<_>>().join(", ");
        Approvers::parse(&format!("threshold = {threshold}\nkeys = [{keys}]\n")).unwrap()
    }

    fn approved(numbers: &[u8]) -> Approval {
        let mut approval = Approval {
            board: "x86-64".parse().unwrap(),
            version: "1.5.0".parse().unwrap(),
            manifest: "ab".repeat(32),
            expires: NOW + DAY_S,
            signatures: Vec::new(),
        };
        numbers.iter().for_each(|number| approval.sign(&key(*number)).unwrap());
        Approval::parse(&serde_json::to_vec(&approval).unwrap()).unwrap()
    }

    fn check(approvers: &Approvers, approval: &Approval, now: u64) -> Result<(), NotApproved> {
        let manifest = "ab".repeat(32);
        let version = "1.5.0".parse().unwrap();
        approvers.check(approval, &Wanted { board: "x86-64", version, manifest: &manifest }, now)
    }

    #[test]
    fn so_many_of_those_who_may_have_to_approve_and_one_person_counts_once() {
        let two_of_three = approvers(2, &[1, 2, 3]);
        assert_eq!(check(&two_of_three, &approved(&[1, 3]), NOW), Ok(()));
        let few = |valid| Err(NotApproved::TooFew { valid, threshold: 2 });
        assert_eq!(check(&two_of_three, &approved(&[1]), NOW), few(1));
        assert_eq!(check(&two_of_three, &approved(&[1, 1]), NOW), few(1));
        assert_eq!(check(&two_of_three, &approved(&[1, 9]), NOW), few(1), "a stranger's word");
        let mut twice = approved(&[1]);
        twice.signatures.push(twice.signatures[0].clone());
        assert_eq!(check(&two_of_three, &twice, NOW), few(1));
        let mut claimed = approved(&[1, 9]);
        claimed.signatures[1].key = key(2).public().id().to_string();
        assert_eq!(check(&two_of_three, &claimed, NOW), few(1), "under another's name");
    }

    #[test]
    fn an_approval_is_for_one_bundle_and_not_for_ever() {
        let one = approvers(1, &[1]);
        let late = check(&one, &approved(&[1]), NOW + 4 * DAY_S);
        assert_eq!(late, Err(NotApproved::Expired { days: 3 }));
        type Edit = fn(&mut Approval);
        let edits: [Edit; 3] = [
            |approval| approval.version = "1.6.0".parse().unwrap(),
            |approval| approval.board = "rpi4".parse().unwrap(),
            |approval| approval.manifest = "cd".repeat(32),
        ];
        for edit in edits {
            let mut other = approved(&[1]);
            edit(&mut other);
            assert!(matches!(check(&one, &other, NOW), Err(NotApproved::Other { .. })));
        }
        let mut longer = approved(&[1]);
        longer.expires += DAY_S;
        let stretched = check(&one, &longer, NOW);
        assert_eq!(stretched, Err(NotApproved::TooFew { valid: 0, threshold: 1 }));
    }

    #[test]
    fn keys_change_with_a_release_that_those_before_them_approved() {
        let (before, after) = (approvers(2, &[1, 2]), approvers(2, &[2, 3]));
        let first = approved(&[1, 2]);
        assert_eq!(check(&before, &first, NOW), Ok(()), "it carries the new list");
        assert!(check(&after, &first, NOW).is_err(), "who was struck off counts no more");
        assert_eq!(check(&after, &approved(&[2, 3]), NOW), Ok(()));
    }

    #[test]
    fn lists_that_would_let_anybody_in_are_refused() {
        let text = |threshold: usize, keys: &[&str]| {
            let keys: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
            Approvers::parse(&format!("threshold = {threshold}\nkeys = [{}]\n", keys.join(",")))
        };
        let one = key(1).public().to_string();
        let threshold = |threshold, keys| Err(InvalidApprovers::Threshold { threshold, keys });
        assert_eq!(text(0, &[&one]), threshold(0, 1));
        assert_eq!(text(2, &[&one]), threshold(2, 1));
        assert_eq!(text(1, &[&one, &one]), Err(InvalidApprovers::Twice(2)));
        assert_eq!(text(1, &["zz"]), Err(InvalidApprovers::Key(1)));
        assert!(matches!(Approvers::parse("keys = []"), Err(InvalidApprovers::Syntax(_))));
        assert_eq!(Approval::parse(b"{"), Err(NotApproved::Unreadable));
        let mut short = approved(&[]);
        short.manifest = "ab".to_owned();
        assert_eq!(short.sign(&key(1)), Err(CannotSign::Manifest));
    }
}
