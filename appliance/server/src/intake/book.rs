//! What an intake has brought: the newest time it saw, and each row's key and digest.
//!
//! The digests lie in a file that is sorted by key and replaced by each comparison of the whole.
//! Rows that were brought in between are noted beside it, so that their disappearance is noticed too.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;

use crate::files::{self, PRIVATE};

/// The small state of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    /// The newest time, as the database writes it.
    pub(super) newest: Option<String>,
    /// When the whole was compared last.
    pub(super) compared: Option<Timestamp>,
}

/// The files of one table.
#[derive(Debug, Clone)]
pub(super) struct Book {
    seen: PathBuf,
    digests: PathBuf,
    noted: PathBuf,
}

impl Book {
    /// The book of this model below the folder of an intake.
    pub(super) fn open(dir: &Path, model: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self {
            seen: dir.join(format!("{model}.json")),
            digests: dir.join(format!("{model}.digests")),
            noted: dir.join(format!("{model}.noted")),
        })
    }

    /// The state; one that cannot be read means that the whole is compared.
    pub(super) fn seen(&self) -> Seen {
        let bytes = fs::read(&self.seen).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub(super) fn keep(&self, seen: &Seen) -> io::Result<()> {
        files::replace(&self.seen, &serde_json::to_vec(seen).expect("plain texts"), PRIVATE)
    }

    /// Notes keys that are about to be brought; durable when this returns.
    pub(super) fn note(&self, keys: &BTreeSet<String>) -> io::Result<()> {
        let known = self.noted()?;
        let mut fresh = keys.difference(&known).peekable();
        if fresh.peek().is_none() {
            return Ok(());
        }
        let mut file = BufWriter::new(File::options().create(true).append(true).open(&self.noted)?);
        for key in fresh {
            serde_json::to_writer(&mut file, key)?;
            file.write_all(b"\n")?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Keys that were brought since the last comparison; a torn line at the end was never brought.
    pub(super) fn noted(&self) -> io::Result<BTreeSet<String>> {
        let file = match File::open(&self.noted) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(error),
        };
        let mut keys = BTreeSet::new();
        for line in file.lines() {
            keys.extend(serde_json::from_str::<String>(&line?).ok());
        }
        Ok(keys)
    }

    /// The keys and digests of the last comparison, in order.
    pub(super) fn digests(&self) -> io::Result<Digests> {
        match File::open(&self.digests) {
            Ok(file) => Ok(Digests(Some(BufReader::new(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Digests(None)),
            Err(error) => Err(error),
        }
    }

    /// A file for the digests of a comparison that is under way.
    pub(super) fn begin(&self) -> io::Result<Draft> {
        let path = self.digests.with_extension("draft");
        Ok(Draft { file: BufWriter::new(File::create(&path)?), path })
    }

    /// The comparison was published: what it found is what is known.
    pub(super) fn finish(&self, draft: Draft) -> io::Result<()> {
        let Draft { file, path } = draft;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&path, &self.digests)?;
        File::open(self.digests.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        match fs::remove_file(&self.noted) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Keys and digests, ascending by key.
pub(super) struct Digests(Option<BufReader<File>>);

impl Iterator for Digests {
    type Item = io::Result<(String, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        match self.0.as_mut()?.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).map_err(io::Error::from)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Digests that are being written.
pub(super) struct Draft {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Draft {
    pub(super) fn push(&mut self, key: &str, digest: &str) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, &(key, digest))?;
        self.file.write_all(b"\n")
    }
}

/// Merges what is known with what is there, both ascending by key.
pub(super) struct Merge {
    known: std::iter::Peekable<Digests>,
    noted: BTreeSet<String>,
}

impl Merge {
    pub(super) fn new(known: Digests, noted: BTreeSet<String>) -> Self {
        Self { known: known.peekable(), noted }
    }

    /// A row is there: adds the keys before it that are gone, and says whether the row differs from what is known.
    pub(super) fn row(
        &mut self,
        key: &str,
        digest: &str,
        gone: &mut Vec<String>,
    ) -> io::Result<bool> {
        self.pass(Some(key), gone)?;
        let was_noted = self.noted.remove(key);
        let same = match self.known.next_if(|known| known.as_ref().is_ok_and(|(k, _)| k == key)) {
            Some(Ok((_, known))) => known == digest,
            Some(Err(error)) => return Err(error),
            None => false,
        };
        Ok(!same || was_noted)
    }

    /// There are no more rows: adds all that is gone.
    pub(super) fn end(&mut self, gone: &mut Vec<String>) -> io::Result<()> {
        self.pass(None, gone)
    }

    fn pass(&mut self, until: Option<&str>, gone: &mut Vec<String>) -> io::Result<()> {
        let is_before = |key: &str| until.is_none_or(|until| key < until);
        while let Some(known) =
            self.known.next_if(|known| known.as_ref().map_or(true, |(key, _)| is_before(key)))
        {
            let (key, _) = known?;
            self.noted.remove(&key);
            gone.push(key);
        }
        while self.noted.first().is_some_and(|key| is_before(key)) {
            gone.extend(self.noted.pop_first());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn compare(book: &Book, there: &BTreeMap<String, String>) -> (Vec<String>, Vec<String>) {
        let mut merge = Merge::new(book.digests().unwrap(), book.noted().unwrap());
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        let mut draft = book.begin().unwrap();
        for (key, digest) in there {
            if merge.row(key, digest, &mut gone).unwrap() {
                changed.push(key.clone());
            }
            draft.push(key, digest).unwrap();
        }
        merge.end(&mut gone).unwrap();
        book.finish(draft).unwrap();
        (changed, gone)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_comparison_finds_exactly_what_differs(
            before: BTreeMap<String, u8>, after: BTreeMap<String, u8>, noted: BTreeSet<String>,
        ) {
            let text = |map: &BTreeMap<String, u8>| -> BTreeMap<String, String> {
                map.iter().map(|(key, digest)| (key.clone(), digest.to_string())).collect()
            };
            let (before, after) = (text(&before), text(&after));
            let dir = tempfile::tempdir().unwrap();
            let book = Book::open(dir.path(), "Product").unwrap();
            compare(&book, &before);
            book.note(&noted).unwrap();
            let (changed, mut gone) = compare(&book, &after);
            gone.sort_unstable();
            let differs = |key: &String| before.get(key) != after.get(key) || noted.contains(key);
            let wanted: Vec<_> = after.keys().filter(|key| differs(key)).cloned().collect();
            prop_assert_eq!(changed, wanted);
            let known = before.keys().chain(&noted).cloned().collect::<BTreeSet<_>>();
            let wanted: Vec<_> = known.into_iter().filter(|key| !after.contains_key(key)).collect();
            prop_assert_eq!(gone, wanted);
            prop_assert_eq!(compare(&book, &after), (vec![], vec![]));
        }
    }
}
