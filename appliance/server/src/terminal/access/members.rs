//! Members that come with a certificate: their entries hold their epochs and whether they are let in here.

use storebox_proto::ids::Hash32;
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Fingerprint;

use super::book::Book;
use super::{Access, AccessError, ENTRIES_MAX, Entry, Kind, Stranger};
use crate::env;

impl Access {
    /// Adds a member that enrols by certificate, in place of one of its name only if that was allowed.
    pub fn enrol(
        &self,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        replace: bool,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        self.change(|book| {
            let known = book.get(kind, name).map(|holder| &holder.entry);
            let is_in_the_way = |entry: &&Entry| entry.is_active() && entry.key != Some(key);
            if !replace && known.is_some_and(|entry| is_in_the_way(&entry)) {
                return Err(AccessError::Exists(name.to_owned()));
            }
            let owner = book.all().find(|holder| holder.entry.key == Some(key));
            if owner
                .is_some_and(|owner| (owner.entry.kind, owner.entry.name.as_str()) != (kind, name))
            {
                return Err(AccessError::KeyTaken);
            }
            let is_same = |entry: &&Entry| entry.is_active() && entry.key == Some(key);
            let epoch = match known.filter(is_same) {
                Some(entry) => entry.epoch,
                None => self.next_epoch(book, kind, name),
            };
            Self::member(book, kind, name, key, epoch, now)
        })
    }

    /// Adds a member that another box of the site has enrolled, when it comes here for the first time; one that a box
    /// next door has told of is its guest already, with the epoch that it has there.
    pub fn meet(
        &self,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        if self.inner.book.load().get(kind, name).is_some() {
            return Ok(());
        }
        if kind == Kind::Terminal {
            let next_door = &self.inner.next_door;
            let guest = next_door.entry(name, now).filter(Entry::is_active);
            let is_guest = guest.is_some_and(|guest| guest.key.is_none_or(|known| known == key));
            if is_guest || next_door.struck(name, key).is_some() {
                return Ok(());
            }
        }
        self.change(|book| {
            let epoch = self.next_epoch(book, kind, name);
            Self::member(book, kind, name, key, epoch, now)
        })
    }

    /// With the entry of a member.
    fn member(
        book: &Book,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        epoch: u32,
        now: Timestamp,
    ) -> Result<Book, AccessError> {
        if book.get(kind, name).is_none() && book.len() >= ENTRIES_MAX {
            return Err(AccessError::Full);
        }
        // Nobody ever sees the token whose hash this is.
        let hash = Hash32::of(&env::random::<32>());
        let (name, key) = (name.to_owned(), Some(key));
        let entry = Entry { kind, name, hash, epoch, added: now, revoked: None, key };
        Ok(book.with([entry], [])?)
    }

    /// Whether a member with a good certificate may come in here; remembers when it did.
    ///
    /// A key that was revoked at any box of the store is out until it is enrolled in a later epoch.
    /// One that comes with the name of a terminal which was let in here by a token alone is another terminal's, as far as
    /// anybody can tell: both would number their sales in one epoch.
    /// One that is not known here may: another box of the site has let it in.
    pub fn certified(
        &self,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        now: Timestamp,
    ) -> Result<(), Stranger> {
        let (book, next_door) = (self.inner.book.load(), &self.inner.next_door);
        let is_terminal = kind == Kind::Terminal;
        let guest = is_terminal.then(|| next_door.entry(name, now)).flatten();
        let guest = guest.filter(Entry::is_active);
        let own = book.get(kind, name);
        let active = own.filter(|holder| holder.entry.is_active());
        let of_key = |entry: &Entry| (entry.key == Some(key)).then_some(entry.epoch);
        let struck = is_terminal.then(|| next_door.struck(name, key)).flatten();
        let struck = struck.max(book.struck(kind, name, key));
        let enrolled = active.and_then(|holder| of_key(&holder.entry));
        let enrolled = enrolled.max(guest.as_ref().and_then(of_key));
        if struck.is_some() && struck >= enrolled {
            return Err(Stranger::Revoked);
        }
        match (active, own) {
            (Some(active), _) if active.entry.key.is_some_and(|known| known != key) => {
                Err(Stranger::Revoked)
            }
            (Some(active), _) if is_terminal && active.entry.key.is_none() => {
                Err(Stranger::Namesake)
            }
            (Some(active), _) => {
                active.came(now);
                Ok(())
            }
            (None, Some(old))
                if !guest.is_some_and(|guest| old.entry.gives_way_to(guest.epoch)) =>
            {
                Err(Stranger::Revoked)
            }
            (None, _) => Err(Stranger::Unknown),
        }
    }
}
