//! What the task does with a disk that is full, and what it says.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use storebox_proto::release::State;
use storebox_proto::rings::{EVERYONE, Rings};
use storebox_proto::sync::ladder::{Kind, Rung};
use tempfile::TempDir;

use super::tell::reason;
use super::*;
use crate::replica::readers::Readers;
use crate::replica::source::Source;
use crate::replica::storage::{Settings, Storage};
use crate::tiers::Tiers;
use crate::trust::line::Lines;

fn line(event: &str, version: &str, why: &str) -> UpdateLine {
    let [event, version, why] = [event, version, why].map(str::to_owned);
    UpdateLine { at: 0, event, version, why }
}

/// A box, and storage with a release of a hundred blocks or so of which only the index matters.
struct Bench {
    dir: TempDir,
    updater: Updater,
    release: Release,
}

impl Bench {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (storage, updates) = (at("storage"), at("updates"));
        fs::create_dir(&updates).unwrap();
        let bundle = at("bundle");
        fs::write(&bundle, vec![7; 1_000_000]).unwrap();
        // Head office's, whose index storage has.
        let office = Blocks::open(&at("office")).unwrap();
        let cut = office.cut(&bundle).unwrap();
        let name = cut.index.to_string();
        let object = storage.join("v1/objects").join(&name[..2]).join(&name);
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, office.store().read(cut.index).unwrap()).unwrap();
        let version: Version = "1.5.0".parse().unwrap();
        let release = Release {
            id: Release::id_of("x86-64", version),
            version,
            board: "x86-64".to_owned(),
            bytes: cut.bytes,
            digest: cut.digest,
            index: cut.index,
            index_bytes: cut.index_bytes,
            ring: EVERYONE.to_owned(),
            state: State::Offered,
            failures_max: 0,
            why: String::new(),
            approval: String::new(),
        };
        let options = Options {
            node: "store-1".parse().unwrap(),
            site: "s1".parse().unwrap(),
            release_file: at("os-release"),
            folder: updates,
            slots_file: at("slots.json"),
            window: Window::default(),
            unsettled_max: 0,
        };
        let blocks = Blocks::open(&at("blocks")).unwrap();
        let (masterdata, unsettled) = (Masterdata::new(Readers::new()), nobody());
        let updater =
            Updater::new(options, blocks, from(dir.path(), &storage), masterdata, unsettled);
        Self { dir, updater, release }
    }

    /// What is decided with so much free, and what went wrong.
    async fn decided(&mut self, free_bytes: u64) -> (String, Result<(), StepError>) {
        let (node, site) = (self.updater.options.node.clone(), self.updater.options.site.clone());
        let (rings, releases) = (Rings::default(), [self.release.clone()]);
        let now = Situation {
            board: "x86-64",
            running: "1.4.0".parse().unwrap(),
            seat: Seat { node: &node, site: &site },
            rings: &rings,
            releases: &releases,
            past: &[],
            whole: None,
            is_closed: Some(true),
            unsettled: None,
            unsettled_max: 0,
            free_bytes,
            have_bytes: 0,
        };
        let (decision, looked) = self.updater.decide(&now).await;
        let word = match decision {
            Decision::Fetch(_) => "fetch".to_owned(),
            Decision::Hold(_, why) => why.to_string(),
            Decision::Idle(why) => why.to_string(),
            Decision::Install(_) => "install".to_owned(),
        };
        (word, looked)
    }
}

fn nobody() -> Unsettled {
    Box::new(|| Box::pin(std::future::ready(None)))
}

fn from(dir: &Path, storage: &Path) -> Sources {
    let settings = Settings { url: storage.to_str().unwrap().to_owned(), ..Settings::default() };
    let storage = Storage::open(settings, &Lines::new(dir, None)).unwrap();
    let sources = Sources::new(Tiers::new(0), Vec::new());
    let rung = Rung::new("stick".parse().unwrap(), Kind::Storage);
    assert!(sources.put(rung, "stick", Source::Storage(storage)));
    sources
}

#[tokio::test]
async fn an_index_that_a_full_disk_does_not_take_is_no_success_and_what_nobody_needs_goes_first() {
    let mut bench = Bench::open();
    let left = Bytes::from_static(b"of a release that was withdrawn before it was fetched");
    let name = bench.updater.blocks.store().put(&left).unwrap();
    let beside = bench.dir.path().join("blocks/blocks/new");
    fs::remove_dir(&beside).unwrap();
    let (word, looked) = bench.decided(0).await;
    assert!(word.starts_with("the disk has 0 MB free"), "it is held all the same: {word}");
    assert!(matches!(looked, Err(StepError::Blocks(BlocksError::Store(_)))), "{looked:?}");
    assert!(!bench.updater.blocks.contains(&name), "what no release names has the room");
    fs::create_dir(&beside).unwrap();
    let (_, looked) = bench.decided(0).await;
    assert!(looked.is_ok() && bench.updater.blocks.index(bench.release.index).is_some());
}

#[tokio::test]
async fn what_a_lost_power_left_of_a_bundle_is_in_nobodys_way() {
    let mut bench = Bench::open();
    bench.updater.index(&bench.release).await.unwrap();
    fs::write(bench.updater.folder.part(&bench.release.id), vec![7; 400_000]).unwrap();
    // Blocks, bundle and the steward's copy, and what stays free beside them.
    let (word, looked) = bench.decided((3_000_000 - 400_000) + (64 << 20)).await;
    assert!(word == "fetch" && looked.is_ok(), "{word}");
    let kept = bench.dir.path().join("blocks/kept.json");
    assert!(!kept.exists(), "nothing else had to go for it");
    bench.decided((3_000_000 - 400_001) + (64 << 20)).await.1.unwrap();
    assert!(kept.exists());
}

#[test]
fn an_approval_that_is_missing_is_said_before_what_else_is_in_the_way() {
    let release = Bench::open().release;
    let why = "1.5.0 may not be installed: nobody has approved it";
    let lines = [line("unapproved", "1.5.0", why), line("unapproved", "1.6.0", "another")];
    let (open, restart) = (Hold::Trading.to_string(), Hold::Restart.to_string());
    for (lines, hold, wanted) in [
        (&lines[..0], None, ("", String::new())),
        (&lines[..0], Some(Hold::Trading), ("trading", open.clone())),
        (&lines[..], None, ("unapproved", why.to_owned())),
        (&lines[..], Some(Hold::Trading), ("unapproved", format!("{why}; {open}"))),
        (&lines[..], Some(Hold::Restart), ("restart", restart)),
        (&lines[1..], Some(Hold::Trading), ("trading", open)),
    ] {
        assert_eq!(reason(lines, &release, hold.as_ref()), wanted, "{hold:?}");
    }
}

#[test]
fn what_is_written_or_runs_cannot_be_taken_back_and_what_happened_before_says_nothing() {
    let line = |event, version| line(event, version, "");
    let running: Version = "1.4.0".parse().unwrap();
    let before = [line("confirmed", "1.4.0"), line("installed", "1.4.0")];
    for (lines, version, begun) in [
        (&before[..], None, false),
        (&before[..], Some("1.5.0"), false),
        (&before[..], Some("1.4.0"), true),
        (&[line("installed", "1.5.0")][..], Some("1.5.0"), true),
        (&[line("installing", "1.5.0")][..], None, true),
        (&[line("failed", "1.5.0"), line("installing", "1.5.0")][..], Some("1.5.0"), false),
    ] {
        assert_eq!(is_begun(lines, running, version), begun, "{lines:?} {version:?}");
    }
}
