//! The book of settings on disk, and what a start makes of it.

use std::io;
use std::path::Path;

use storebox_proto::settings::Book;

use crate::config::{Config, ConfigError, Origin, Role};
use crate::{env, files};

/// Its name within the data directory.
pub const FILE: &str = "settings.json";
/// A longer book is none.
const BYTES_MAX: u64 = 1024 * 1024;

/// The book of a data directory; one that cannot be read sets nothing.
pub(super) fn open(data_dir: &Path) -> Book {
    let path = data_dir.join(FILE);
    let is_short = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= BYTES_MAX);
    let bytes = is_short.then(|| std::fs::read(&path).ok()).flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

pub(super) fn write(data_dir: &Path, book: &Book) -> io::Result<()> {
    let bytes = serde_json::to_vec(book).expect("names, values and times are JSON");
    files::replace(&data_dir.join(FILE), &bytes, files::PRIVATE)
}

/// The configuration of a box that starts, and the book with what head office sets in it.
///
/// A start with settings on trial is counted; settings that do not go with the box's own file are given up.
pub fn begin(origin: &Origin) -> Result<(Config, Book), ConfigError> {
    let own = origin.load()?;
    if own.role == Role::Main {
        return Ok((own, Book::default()));
    }
    let (known, at) = (open(&own.data_dir), env::timestamp());
    let mut book = known.clone();
    book.start(at);
    let mut config = fitting(origin, &own, &mut book);
    if book != known
        && let Err(error) = write(&own.data_dir, &book)
        // A disk that takes nothing must not keep the shop closed, and a trial that nobody counts would never end.
        && book.roll_back(&format!("the start with them cannot be counted: {error}"), at)
    {
        config = fitting(origin, &own, &mut book);
    }
    Ok((config, book))
}

/// The box's own configuration with what is in force, once what does not go with it is given up.
fn fitting(origin: &Origin, own: &Config, book: &mut Book) -> Config {
    loop {
        match origin.load_with(&book.in_force().values) {
            Ok(config) => return config,
            Err(error) if book.fall_back(&error.to_string(), env::timestamp()) => {}
            Err(_) => return own.clone(),
        }
    }
}

/// The box did not come up; true if settings on trial are to blame, which are taken back.
pub fn fall_back(data_dir: &Path, why: &str) -> bool {
    let mut book = open(data_dir);
    book.roll_back(why, env::timestamp()) && write(data_dir, &book).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use serde_json::json;
    use storebox_proto::settings::Wanted;

    use super::*;

    fn origin(dir: &Path, more: &str) -> Origin {
        let file = dir.join("storebox.toml");
        std::fs::write(&file, format!("data_dir = {:?}\n{more}", dir)).unwrap();
        Origin { file, data_dir: None::<PathBuf> }
    }

    fn wanted(batch: u32) -> Wanted {
        let values = BTreeMap::from([("terminal.batch_size".to_owned(), json!(batch))]);
        Wanted { revision: 1, values, prove_s: 60 }
    }

    #[test]
    fn a_box_starts_with_what_is_in_force_and_without_what_does_not_go_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let origin = origin(dir.path(), "");
        let batch = || begin(&origin).unwrap().0.terminal.batch_size;
        assert_eq!(batch(), 500);
        let mut book = Book::default();
        book.begin(wanted(100), env::timestamp());
        write(dir.path(), &book).unwrap();
        assert_eq!(batch(), 100);
        assert_eq!(open(dir.path()).trial.unwrap().starts, 1);
        book.begin(wanted(0), env::timestamp());
        write(dir.path(), &book).unwrap();
        assert_eq!(batch(), 500);
        let refused = open(dir.path()).refused.unwrap();
        assert!(refused.why.contains("terminal.batch_size: 0 is not within"), "{}", refused.why);
        // What was proven may stop making sense too, when the box's own file changes.
        book.begin(wanted(0), env::timestamp());
        book.prove(env::timestamp());
        write(dir.path(), &book).unwrap();
        assert_eq!(batch(), 500);
        assert_eq!(open(dir.path()).proven, Wanted::default());
    }

    #[test]
    fn a_start_that_cannot_be_counted_is_one_without_the_trial() {
        let dir = tempfile::tempdir().unwrap();
        let origin = origin(dir.path(), "");
        let mut book = Book::default();
        book.begin(wanted(100), env::timestamp());
        write(dir.path(), &book).unwrap();
        // What is in the way of the new file.
        let beside = dir.path().join(FILE).with_extension("new");
        std::fs::create_dir(&beside).unwrap();
        let (config, book) = begin(&origin).unwrap();
        assert_eq!((config.terminal.batch_size, &book.trial), (500, &None));
        assert!(book.refused.unwrap().why.contains("cannot be counted"));
        assert_eq!(open(dir.path()).trial.unwrap().starts, 0);
        std::fs::remove_dir(&beside).unwrap();
        let (config, book) = begin(&origin).unwrap();
        assert_eq!((config.terminal.batch_size, book.trial.unwrap().starts), (100, 1));
    }

    #[test]
    fn a_start_that_fails_takes_a_trial_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!fall_back(dir.path(), "no disk"));
        let mut book = Book::default();
        book.begin(wanted(100), env::timestamp());
        write(dir.path(), &book).unwrap();
        assert!(fall_back(dir.path(), "no disk"));
        assert!(!fall_back(dir.path(), "no disk"));
        assert_eq!(open(dir.path()).refused.unwrap().why, "no disk");
        std::fs::write(dir.path().join(FILE), b"{\"proven\":").unwrap();
        assert_eq!(open(dir.path()), Book::default());
    }
}
