use super::*;
use crate::signature::ReleaseKey;
use crate::slot::grubenv::Env;
use crate::slot::{Slot, State};
use crate::steward::touch;

fn places(version: &str) -> (tempfile::TempDir, Places) {
    let dir = tempfile::tempdir().unwrap();
    let places = Places::new(dir.path());
    fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
    let release = format!("IMAGE_VERSION={version}\n");
    fs::write(dir.path().join("usr/lib/os-release"), release).unwrap();
    (dir, places)
}

#[test]
fn only_a_newer_release_that_never_fell_back_is_wanted() {
    let (_dir, places) = places("1.4.0");
    let usual = Wish::default();
    let version = |text: &str| text.parse::<Version>().unwrap();
    let ask = |text: &str, hash: &str, wish| wanted(&places, version(text), hash, wish);
    assert_eq!(ask("1.5.0", "aa", usual), Ok(()));
    assert!(matches!(ask("1.4.0", "aa", usual), Err(Refusal::Running { .. })));
    assert!(matches!(ask("1.3.9", "aa", usual), Err(Refusal::Older { .. })));
    assert_eq!(ask("1.3.9", "aa", Wish { older: true, ..usual }), Ok(()));
    history::note(&places, Event::FellBack, "1.5.0", "aa", "").unwrap();
    assert!(matches!(ask("1.5.0", "aa", usual), Err(Refusal::FellBack { .. })));
    assert_eq!(ask("1.5.0", "bb", usual), Ok(()), "another build of it is another update");
    assert_eq!(ask("1.5.0", "aa", Wish { again: true, ..usual }), Ok(()));
    for _ in 0..FAILURES_MAX {
        assert_eq!(ask("1.6.0", "cc", usual), Ok(()));
        history::note(&places, Event::Failed, "1.6.0", "cc", CUT_OFF).unwrap();
    }
    assert!(matches!(ask("1.6.0", "cc", usual), Err(Refusal::GivenUp { .. })));
    assert_eq!(ask("1.6.0", "cc", Wish { again: true, ..usual }), Ok(()));
}

#[test]
fn nothing_is_installed_before_the_start_is_confirmed() {
    let (dir, places) = places("1.4.0");
    let file = dir.path().join("next.raucb");
    let refused = update(&places, Some(&file), Wish::default()).unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Unconfirmed)), "{refused}");
}

#[test]
fn where_approvers_are_named_a_bundle_needs_their_word_beside_it() {
    let (dir, places) = places("1.4.0");
    let release = dir.path().join("usr/lib/os-release");
    fs::write(&release, "IMAGE_VERSION=1.4.0\nSTOREBOX_BOARD=x86-64\n").unwrap();
    let bundle = dir.path().join("storebox-x86-64-1.5.0.raucb");
    let (version, hash) = ("1.5.0".parse::<Version>().unwrap(), "ab".repeat(32));
    let ask = || approved(&places, &bundle, version, &hash);
    assert_eq!(ask(), Ok(()), "nobody is named");
    let keys = [1, 2].map(|number| ReleaseKey::from_seed([number; 32]));
    let [first, second] = keys.each_ref().map(|key| key.public().to_string());
    fs::create_dir_all(places.approvers().parent().unwrap()).unwrap();
    let list = format!("threshold = 2\nkeys = [{first:?}, {second:?}]\n");
    fs::write(places.approvers(), list).unwrap();
    let refused = |why| Err(Refusal::NotApproved { version, why });
    assert_eq!(ask(), refused(NotApproved::Missing));
    let mut approval = Approval {
        board: "x86-64".parse().unwrap(),
        version,
        manifest: hash.clone(),
        expires: history::now() + 86_400,
        signatures: Vec::new(),
    };
    let beside = dir.path().join("storebox-x86-64-1.5.0.approval");
    for (key, wanted) in
        keys.iter().zip([refused(NotApproved::TooFew { valid: 1, threshold: 2 }), Ok(())])
    {
        approval.sign(key).unwrap();
        fs::write(&beside, serde_json::to_vec(&approval).unwrap()).unwrap();
        assert_eq!(ask(), wanted);
    }
    fs::write(&beside, b"{").unwrap();
    assert_eq!(ask(), refused(NotApproved::Unreadable));
    fs::write(places.approvers(), "threshold = 0\nkeys = []\n").unwrap();
    assert!(matches!(ask(), Err(Refusal::Approvers { .. })), "a damaged list lets nothing in");
}

#[test]
fn what_the_service_holds_up_waits_and_a_service_that_died_holds_nothing_up() {
    let (dir, places) = places("1.4.0");
    assert_eq!(held(&places), None);
    let note = dir.path().join("var/lib/storebox-updates/hold");
    fs::create_dir_all(note.parent().unwrap()).unwrap();
    fs::write(&note, "3 transactions have\nto reach head office first\n").unwrap();
    let why = held(&places).unwrap();
    assert_eq!(why, "3 transactions have to reach head office first");
    assert!(!update(&places, None, Wish::default()).unwrap(), "nothing was looked at");
    let by_hand = update(&places, Some(Path::new("/x.raucb")), Wish::default());
    assert!(matches!(by_hand, Err(Error::Refused(Refusal::Unconfirmed))), "a person decides");
    let file = fs::File::options().write(true).open(&note).unwrap();
    for hours in [2, 20_000] {
        let then = fs::metadata(&note).unwrap().modified().unwrap();
        file.set_modified(then - Duration::from_secs(hours * 3600)).unwrap();
        assert_eq!(held(&places), None);
    }
    // A service that runs, on a machine whose clock has made a step.
    file.lock().unwrap();
    assert!(held(&places).is_some());
    drop(file);
    assert_eq!(held(&places), None);
}

#[test]
fn what_is_held_up_while_it_is_written_starts_at_a_later_run_without_being_written_again() {
    let (dir, places) = places("1.4.0");
    let restarts = |named: Option<&Path>, wish| may_restart(&places, named, wish);
    history::note(&places, Event::Installed, "1.5.0", "aa", "").unwrap();
    touch(&places.confirmed()).unwrap();
    let note = dir.path().join("var/lib/storebox-updates/hold");
    fs::create_dir_all(note.parent().unwrap()).unwrap();
    fs::write(&note, "it waits until the shop is closed\n").unwrap();
    let usual = Wish::default();
    assert!(!restarts(None, usual), "the shop has opened meanwhile");
    assert!(restarts(Some(Path::new("/x.raucb")), usual), "a person decides");
    assert!(!bring(&places, None, usual).unwrap());
    fs::remove_file(&note).unwrap();
    assert!(bring(&places, None, usual).unwrap() && restarts(None, usual), "no bundle is there");
    assert!(!restarts(None, Wish { no_restart: true, ..usual }));
    history::note(&places, Event::FellBack, "1.5.0", "aa", "").unwrap();
    assert!(!bring(&places, None, usual).unwrap());
}

#[test]
fn what_is_not_wanted_is_no_failure_and_what_is_not_approved_is_not_final() {
    let (_dir, places) = places("1.4.0");
    let bundle = Path::new("/var/lib/storebox-updates/storebox-x86-64-1.5.0.raucb");
    assert_eq!(version_in(bundle), "1.5.0");
    assert_eq!(version_in(Path::new("/media/update.raucb")), "unknown");
    let version = "1.5.0".parse::<Version>().unwrap();
    let unwanted: [fn(Version) -> Refusal; 4] = [
        |version| Refusal::Running { version },
        |version| Refusal::Older { version, installed: version },
        |version| Refusal::FellBack { version },
        |_| Refusal::Room { needs: 2, free: 1 },
    ];
    for refusal in unwanted {
        let _ = refuse(&places, "1.5.0", "aa", refusal(version));
    }
    assert_eq!(history::load(&places).unwrap(), []);
    for _ in 0..3 {
        let (path, why) = (bundle.display().to_string(), "signature".to_owned());
        let _ = refuse(&places, "1.5.0", "", Refusal::NotBelieved { path, why });
        let why = NotApproved::Expired { days: 3 };
        let _ = refuse(&places, "1.6.0", "bb", Refusal::NotApproved { version, why });
    }
    let lines = history::load(&places).unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.event, &*line.version)).collect();
    assert_eq!(told, [(Event::Refused, "1.5.0"), (Event::Unapproved, "1.6.0")], "once each");
}

#[test]
fn an_update_that_was_cut_off_has_failed_unless_somebody_is_at_it() {
    let (_dir, places) = places("1.4.0");
    let told = || {
        let lines = history::load(&places).unwrap();
        lines.into_iter().map(|line| (line.event, line.why)).collect::<Vec<_>>()
    };
    close(&places).unwrap();
    assert_eq!(told(), [], "nothing was begun");
    history::note(&places, Event::Installing, "1.5.0", "aa", "").unwrap();
    history::note(&places, Event::Unapproved, "1.6.0", "bb", "too few").unwrap();
    let lock = custody::lock(&places).unwrap();
    assert!(lock.is_some() && !bring(&places, None, Wish::default()).unwrap());
    assert_eq!(told().len(), 2, "it is being written");
    drop(lock);
    assert!(!bring(&places, None, Wish::default()).unwrap());
    let cut = (Event::Failed, CUT_OFF.to_owned());
    assert_eq!(told()[2..], [cut], "three of these and it is not tried again by itself");
    close(&places).unwrap();
    assert_eq!(told().len(), 3, "once");
}

#[test]
fn nothing_is_closed_or_begun_while_rauc_goes_on_without_whoever_asked_it() {
    let (_dir, places) = places("1.4.0");
    let nobody = || unreachable!("RAUC is not asked where nothing was begun");
    close_unless(&places, nobody).unwrap();
    history::note(&places, Event::Installing, "1.5.0", "aa", "").unwrap();
    let refused = close_unless(&places, || true).unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Busy)), "{refused}");
    let lines = history::load(&places).unwrap();
    assert!(history::begun(&lines).is_some() && lines.len() == 1, "it may still succeed");
    let lock = custody::lock(&places).unwrap();
    close_unless(&places, || unreachable!("whoever holds the lock writes")).unwrap();
    drop(lock);
    close_unless(&places, || false).unwrap();
    assert_eq!(history::load(&places).unwrap().pop().unwrap().event, Event::Failed);
    close_unless(&places, || unreachable!("it is closed")).unwrap();
}

#[test]
fn of_what_is_found_the_first_that_can_be_installed_is_and_a_broken_disk_ends_the_search() {
    let (_dir, places) = places("1.4.0");
    let version = "1.4.0".parse::<Version>().unwrap();
    let found = ["runs", "damaged", "older", "good", "next"].map(PathBuf::from);
    let tried = std::cell::RefCell::new(Vec::new());
    let outcome = |path: &Path| -> Result<(), Error> {
        tried.borrow_mut().push(path.display().to_string());
        match path.to_str().unwrap() {
            "runs" => Err(Refusal::Running { version }.into()),
            "damaged" => Err(Refusal::Senseless { path: "damaged".to_owned() }.into()),
            "older" => Err(Refusal::Older { version, installed: version }.into()),
            "broken" => Err(Error::Engine("cannot write to the slot".to_owned())),
            _ => Ok(()),
        }
    };
    assert!(first_of(&places, &found, outcome).unwrap());
    assert_eq!(tried.take(), ["runs", "damaged", "older", "good"], "and none after it");
    assert!(!first_of(&places, &found[..3], outcome).unwrap(), "nothing of it is a failure");
    tried.take();
    let found = ["damaged", "broken", "good"].map(PathBuf::from);
    let failed = first_of(&places, &found, outcome).unwrap_err();
    assert!(matches!(failed, Error::Engine(_)), "{failed}");
    assert_eq!(tried.take(), ["damaged", "broken"]);
    // Asked for by name, a refusal is an answer and no reason to look elsewhere.
    let named = Path::new("/x.raucb");
    let refused = bring(&places, Some(named), Wish::default()).unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::Unconfirmed)), "{refused}");
}

/// A box whose slot A runs 1.4.0 and is confirmed, and that began to write 1.5.0 into B.
fn begun() -> (tempfile::TempDir, Places, State) {
    let (dir, places) = places("1.4.0");
    for folder in ["proc", "efi/grub"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("proc/cmdline"), "quiet rauc.slot=A ro").unwrap();
    let mut state = State::flashed();
    state.confirm(Slot::A);
    history::note(&places, Event::Installing, "1.5.0", "aa", "").unwrap();
    (dir, places, state)
}

fn keep(places: &Places, state: &State) {
    let mut env = Env::default();
    env.set_state(state);
    places.env().store(&env).unwrap();
}

#[test]
fn a_release_that_was_written_before_the_power_was_lost_waits_for_its_start() {
    let last = |places: &Places| history::load(places).unwrap().pop().unwrap().event;
    let (_dir, places, mut state) = begun();
    state.begin_install(Slot::B, Slot::A).unwrap();
    keep(&places, &state);
    close(&places).unwrap();
    assert_eq!(last(&places), Event::Failed, "half of it is there");

    let (_dir, places, mut state) = begun();
    state.begin_install(Slot::B, Slot::A).unwrap();
    state.finish_install(Slot::B).unwrap();
    keep(&places, &state);
    close(&places).unwrap();
    assert_eq!(last(&places), Event::Installed);
    assert!(history::pending(&history::load(&places).unwrap()).is_some());

    let (dir, places, state) = begun();
    keep(&places, &state);
    fs::write(dir.path().join("usr/lib/os-release"), "IMAGE_VERSION=1.5.0\n").unwrap();
    close(&places).unwrap();
    assert_eq!(last(&places), Event::Installed, "it runs");
}

#[test]
fn a_bundle_that_is_another_version_than_its_name_says_is_refused_by_that_name() {
    let (dir, places) = places("1.4.0");
    let theirs = places.updates().join("storebox-x86-64-1.5.0.raucb");
    let seen = |version: &str| {
        understand(&format!("{{\"version\":{version:?},\"hash\":\"aa\",\"more\":1}}"))
    };
    assert!(seen("1.5").is_none() && understand("{").is_none());
    let ask = |path: &Path, version: &str| {
        judge(&places, path, path, &seen(version).unwrap(), Wish::default())
    };
    assert!(ask(&theirs, "1.5.0").is_ok());
    // What runs, and what is newer: neither is what head office has offered.
    for version in ["1.4.0", "1.6.0"] {
        let refused = ask(&theirs, version).unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::OtherVersion { .. })), "{refused}");
    }
    let by_hand = places.updates().join("update-1.5.0.raucb");
    let stick = dir.path().join("storebox-x86-64-1.5.0.raucb");
    assert!(ask(&by_hand, "1.6.0").is_ok() && ask(&stick, "1.6.0").is_ok());
    let lines = history::load(&places).unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.event, &*line.version)).collect();
    assert_eq!(told, [(Event::Refused, "1.5.0")], "the last word of it");
    assert!(lines[0].why.contains("is 1.6.0 by what it says of itself"), "{lines:?}");
    let path = theirs.display().to_string();
    let _ = refuse(&places, &version_in(&theirs), "", Refusal::Senseless { path });
    assert_eq!(history::load(&places).unwrap().last().unwrap().version, "1.5.0");
}

#[test]
fn notes_and_approvals_that_are_links_or_pipes_are_not_read() {
    let (dir, places) = places("1.4.0");
    fs::create_dir_all(places.updates()).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "root's alone").unwrap();
    std::os::unix::fs::symlink(&secret, places.updates().join(HOLD)).unwrap();
    assert_eq!(held(&places), None);
    let bundle = places.updates().join("x.raucb");
    let pipe = bundle.with_extension("approval");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(read_approval(&bundle), Err(NotApproved::Missing));
    fs::rename(&pipe, &bundle).unwrap();
    assert!(updates_in(&places.updates()).is_empty(), "nor is such an update");
    fs::rename(&secret, &bundle).unwrap();
    assert_eq!(updates_in(&places.updates()), [bundle]);
}
