//! The open slips of a box that starts.

use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::trust::tests::Estate;

fn slip() -> StoredSlip {
    let mut porter = Porter::restored(Vec::new());
    let (now, by) = (env::believable(), "manager".to_owned());
    let wish = Wish { kind: Kind::Terminal, name: None, replace: false, by };
    let until = after(now, Duration::from_secs(600));
    porter.open_slip(wish, SlipId([7; 4]), Secret::new([8; 16]), until, now).unwrap();
    porter.stored().remove(0)
}

/// A vault under a key file, and the file of an earlier release beside it.
fn with_file() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (key, before) = (dir.path().join("vault.key"), dir.path().join(SLIPS_BEFORE));
    std::fs::write(&key, hex::encode([1; 32])).unwrap();
    Vault::open(dir.path(), &key).unwrap().put("made", Zeroizing::new("x".to_owned())).unwrap();
    std::fs::write(&before, serde_json::to_vec(&[slip()]).unwrap()).unwrap();
    (dir, key, before)
}

#[test]
fn slips_of_an_earlier_release_wait_in_their_file_until_the_vault_takes_them() {
    let (dir, key, before) = with_file();
    std::fs::write(&key, hex::encode([2; 32])).unwrap();
    let locked = Vault::open(dir.path(), &key).unwrap();
    assert!(locked.is_locked());
    let meanwhile = open_slips(&locked, dir.path()).unwrap();
    assert!(meanwhile.is_empty(), "one that was used would let somebody in again after a restart");
    assert!(before.exists(), "they are not lost");
    std::fs::write(&key, hex::encode([1; 32])).unwrap();
    for _ in 0..2 {
        let vault = Vault::open(dir.path(), &key).unwrap();
        assert_eq!(open_slips(&vault, dir.path()).unwrap().len(), 1);
        assert!(!before.exists(), "and now the vault has them");
    }
}

#[test]
fn slips_that_are_closed_while_the_vault_is_locked_stay_closed_when_it_opens() {
    let (dir, key, _) = with_file();
    let vault = || Vault::open(dir.path(), &key).unwrap();
    assert_eq!(open_slips(&vault(), dir.path()).unwrap().len(), 1, "the vault has it now");
    std::fs::write(&key, hex::encode([2; 32])).unwrap();
    let estate = Estate::new();
    let porch = Porch::open(estate.new_box("0007", "store-1"), dir.path(), vault()).unwrap();
    let wish = Wish { kind: Kind::Terminal, name: None, replace: false, by: "anna".to_owned() };
    porch.open_slip(wish, Duration::from_secs(600), Vec::new()).unwrap();
    assert_eq!(porch.close("anna").unwrap(), 1, "what it knows of");
    assert!(!porch.takes_newcomers());
    assert!(open_slips(&vault(), dir.path()).unwrap().is_empty(), "a restart meanwhile");
    std::fs::write(&key, hex::encode([1; 32])).unwrap();
    for _ in 0..2 {
        assert!(open_slips(&vault(), dir.path()).unwrap().is_empty(), "closed is closed");
    }
    keep_slips(&vault(), &[slip()]).unwrap();
    assert_eq!(open_slips(&vault(), dir.path()).unwrap().len(), 1, "and those of later count");
}

/// What is logged while this runs.
fn logged(run: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_list_of_slips_that_cannot_be_read_is_told_without_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), Path::new("")).unwrap();
    let quiet = logged(|| assert!(open_slips(&vault, dir.path()).unwrap().is_empty()));
    assert_eq!(quiet, "", "no slip was ever open");
    vault.put(SLIPS, Zeroizing::new("[{\"planted-secret\":1}]".to_owned())).unwrap();
    let told = logged(|| assert!(open_slips(&vault, dir.path()).unwrap().is_empty()));
    assert!(told.contains("the list of open slips cannot be read"), "{told}");
    assert!(!told.contains("planted"), "{told}");
}

#[test]
fn slips_that_have_not_changed_are_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let (dir, key, _) = with_file();
    let vault = Vault::open(dir.path(), &key).unwrap();
    let written = || {
        let files = std::fs::read_dir(dir.path()).unwrap();
        let inodes = files.map(|file| file.unwrap().metadata().unwrap().ino());
        inodes.collect::<std::collections::BTreeSet<_>>()
    };
    let open = [slip()];
    keep_slips(&vault, &open).unwrap();
    let before = written();
    keep_slips(&vault, &open).unwrap();
    assert_eq!(written(), before, "every refused stranger would wear the disk out");
    keep_slips(&vault, &[]).unwrap();
    assert_ne!(written(), before);
}
