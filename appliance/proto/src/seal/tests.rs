use proptest::prelude::*;

use super::answer::{Answer, Horizon, Question, Standing};
use super::read::Query;
use super::window::{WIDTH, Window};
use super::write::Write;
use super::*;
use crate::time::Timestamp;

const BEGUN: i64 = 1_793_500_000_000;
const DAY_MS: i64 = 86_400_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(BEGUN + ms)
}

fn ring(scope: Scope, generation: u32, seed: u8) -> Ring {
    let site = "store-7".parse().unwrap();
    Ring::begin(&SiteKey::new([seed; 32]), site, scope, generation, at(0))
}

fn shop() -> Keyring {
    Keyring::new(vec![ring(Scope::Tills, 1, 7), ring(Scope::Boxes, 1, 8)]).unwrap()
}

fn query(path: &str, pairs: &[(&str, &str)]) -> Query {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Query::new(path, pairs.iter().map(own).collect()).unwrap()
}

fn answer(body: &[u8]) -> Answer {
    Answer {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        made: at(0),
        max_age_s: 30,
        life: 5,
        standing: Some(Standing { feed: "catalogue".to_owned(), epoch: 1, revision: 10 }),
        body: body.to_vec(),
    }
}

fn write(counter: u64, body: &[u8]) -> Write {
    Write {
        life: 5,
        counter,
        key: [9; 16],
        method: "POST".to_owned(),
        target: "/v1/transactions?wait=held".to_owned(),
        headers: vec![("authorization".to_owned(), "Bearer sbt_x".to_owned())],
        body: body.to_vec(),
    }
}

#[test]
fn the_same_read_has_the_same_url_until_the_epoch_ends() {
    let moment = shop().moment(at(0));
    let keys = moment.sealing(Scope::Tills).unwrap();
    let one = query("/v1/models/Product/records", &[("field", "name"), ("prefix", "Mi")]);
    let two = query("/v1/models/Product/records", &[("prefix", "Mi"), ("field", "name")]);
    let url = read::seal(keys, &one);
    assert_eq!(url, read::seal(keys, &two));
    assert_eq!(url, read::seal(shop().moment(at(0)).sealing(Scope::Tills).unwrap(), &one));
    let tomorrow = shop().moment(at(DAY_MS));
    assert_ne!(url, read::seal(tomorrow.sealing(Scope::Tills).unwrap(), &one));
    assert!(!moment.is_current(at(DAY_MS)));
    let (opened_with, asked) = read::open(&tomorrow, &url).unwrap();
    assert_eq!((asked, opened_with.scope()), (one, Scope::Tills));
}

#[test]
fn scopes_sites_and_generations_share_no_url_and_open_no_other() {
    let one = query("/v1/models", &[]);
    let other_site =
        Ring::begin(&SiteKey::new([7; 32]), "store-8".parse().unwrap(), Scope::Tills, 1, at(0));
    let rings =
        [ring(Scope::Tills, 1, 7), ring(Scope::Boxes, 1, 7), ring(Scope::Tills, 2, 7), other_site];
    let moments = rings.map(|ring| Keyring::new(vec![ring]).unwrap().moment(at(0)));
    let keys = moments.each_ref().map(|moment| {
        let scopes = [Scope::Tills, Scope::Boxes];
        scopes.into_iter().find_map(|scope| moment.sealing(scope)).unwrap()
    });
    let urls = keys.map(|keys| read::seal(keys, &one));
    for (index, url) in urls.iter().enumerate() {
        for (other, moment) in moments.iter().enumerate() {
            match read::open(moment, url) {
                Ok(_) => assert_eq!(index, other),
                Err(error) => assert!(matches!(error, SealError::KeyUnknown { .. })),
            }
        }
    }
    let question = Question::read(&urls[0]);
    let sealed = answer::seal(keys[0], &question, &answer(b"mine"), &[1; 24]);
    assert!(keys[1..].iter().all(|keys| answer::open(keys, &question, &sealed).is_err()));
}

#[test]
fn an_epoch_opens_for_a_day_before_and_a_day_after_and_then_no_more() {
    let keyring = shop();
    let moment = keyring.moment(at(10 * DAY_MS));
    let url = read::seal(moment.sealing(Scope::Tills).unwrap(), &query("/v1/models", &[]));
    for (days, opens) in [(8, false), (9, true), (10, true), (11, true), (12, false)] {
        let moment = keyring.moment(at(days * DAY_MS));
        match read::open(&moment, &url) {
            Ok(_) => assert!(opens, "day {days}"),
            Err(error) => {
                assert!(!opens && matches!(error, SealError::Epoch { .. }), "day {days}: {error}");
            }
        }
    }
}

#[test]
fn what_was_forgotten_does_not_return() {
    let mut keyring = shop();
    assert!(keyring.forget_before(at(30 * DAY_MS)));
    assert!(!keyring.forget_before(at(30 * DAY_MS)));
    let early = keyring.moment(at(20 * DAY_MS));
    assert!(early.sealing(Scope::Tills).is_none());
    let same = shop().moment(at(30 * DAY_MS));
    let url = read::seal(same.sealing(Scope::Tills).unwrap(), &query("/v1/models", &[]));
    assert!(read::open(&keyring.moment(at(30 * DAY_MS)), &url).is_ok());
    let state = serde_json::to_string(keyring.rings()[0].state()).unwrap();
    let resumed = Ring::resume(serde_json::from_str(&state).unwrap());
    assert_eq!(&resumed, &keyring.rings()[0]);
    assert!(!format!("{resumed:?}").contains(&state[state.len() - 20..state.len() - 4]));
}

#[test]
fn a_new_generation_seals_at_once_and_the_old_one_opens_until_its_end() {
    let mut keyring = shop();
    let site = "store-7".parse().unwrap();
    let old = keyring.moment(at(0));
    let url = read::seal(old.sealing(Scope::Tills).unwrap(), &query("/v1/models", &[]));
    assert!(keyring.add(ring(Scope::Tills, 2, 9)));
    keyring.retire_older(&site, Scope::Tills, at(1000));
    let moment = keyring.moment(at(0));
    let newest = keyring.newest(&site, Scope::Tills).unwrap().tag();
    assert_eq!(moment.sealing(Scope::Tills).unwrap().kid().tag, newest);
    assert!(read::open(&moment, &url).is_ok());
    let later = keyring.moment(at(1000));
    assert!(matches!(read::open(&later, &url), Err(SealError::KeyUnknown { .. })));
    assert!(!moment.is_current(at(1000)));
    keyring.forget_before(at(1000));
    assert_eq!(keyring.rings().len(), 2);
    assert!(keyring.remove(&site, Scope::Tills) && !keyring.remove(&site, Scope::Tills));
}

#[test]
fn an_answer_belongs_to_its_question_alone() {
    let moment = shop().moment(at(0));
    let keys = moment.sealing(Scope::Tills).unwrap();
    let urls = ["/v1/models", "/v1/models/Product/records/1"]
        .map(|path| read::seal(keys, &query(path, &[])));
    let sealed = answer::seal(keys, &Question::read(&urls[0]), &answer(b"[]"), &[1; 24]);
    assert_eq!(answer::open(keys, &Question::read(&urls[0]), &sealed).unwrap(), answer(b"[]"));
    assert_eq!(answer::open(keys, &Question::read(&urls[1]), &sealed), Err(SealError::Broken));
    let posted = Question::write(&urls[0], b"");
    assert_eq!(answer::open(keys, &posted, &sealed), Err(SealError::Broken));
}

#[test]
fn a_cache_cannot_prolong_or_turn_back_an_answer() {
    let fresh = answer(b"");
    assert_eq!(fresh.check_age(at(30_000)), Ok(()));
    assert_eq!(fresh.check_age(at(150_000)), Ok(()));
    assert_eq!(fresh.check_age(at(150_001)), Err(SealError::Stale { late_ms: 1 }));
    assert_eq!(fresh.check_age(at(-300_000)), Ok(()));
    assert!(matches!(fresh.check_age(at(-300_001)), Err(SealError::Early { .. })));
    let mut horizon = Horizon::default();
    assert_eq!(horizon.check(&fresh), Ok(()));
    assert_eq!(horizon.check(&fresh), Ok(()));
    let mut older = fresh.clone();
    older.standing.as_mut().unwrap().revision = 9;
    assert!(matches!(horizon.check(&older), Err(SealError::RolledBack { .. })));
    older.standing.as_mut().unwrap().feed = "partners".to_owned();
    assert_eq!(horizon.check(&older), Ok(()));
}

#[test]
fn a_write_is_taken_once_and_not_too_late() {
    let mut window = Window::default();
    assert_eq!(window.take(0), Err(SealError::Replayed { counter: 0 }));
    assert_eq!(window.take(1), Ok(()));
    assert_eq!(window.take(1), Err(SealError::Replayed { counter: 1 }));
    assert_eq!(window.take(3), Ok(()));
    assert_eq!(window.take(2), Ok(()));
    assert_eq!(window.take(2), Err(SealError::Replayed { counter: 2 }));
    assert_eq!(window.take(WIDTH + 3), Ok(()));
    assert_eq!(window.take(4), Ok(()));
    assert_eq!(window.take(3), Err(SealError::Reordered { counter: 3, top: WIDTH + 3 }));
    assert_eq!(window.take(u64::MAX), Ok(()));
    assert_eq!(window.take(u64::MAX), Err(SealError::Replayed { counter: u64::MAX }));
}

#[test]
fn a_read_says_nothing_but_what_a_read_may_say() {
    assert!(Query::new("v1/models", Vec::new()).is_err());
    assert!(Query::new("/v1/models?x=1", Vec::new()).is_err());
    assert!(Query::new("/v1/mo dels", Vec::new()).is_err());
    let many = vec![("a".to_owned(), "b".to_owned()); 65];
    assert!(Query::new("/v1/models", many).is_err());
    let long = vec![("a".to_owned(), "b".repeat(4096))];
    assert!(matches!(Query::new("/", long), Err(SealError::TooLarge { .. })));
    assert!(read::is_shared(Scope::Tills, "/v1/models/Product/records/1"));
    assert!(!read::is_shared(Scope::Tills, "/v1/modelsx"));
    assert!(!read::is_shared(Scope::Tills, "/sync/v1/feeds"));
    assert!(!read::is_shared(Scope::Boxes, "/v1/models"));
}

#[test]
fn storage_cannot_change_or_swap_what_it_keeps() {
    let keyring = shop();
    let site = "store-7".parse().unwrap();
    let now = Timestamp::from_unix_ms(0);
    let key = &keyring.storage(&site, Scope::Boxes, now)[0];
    let sealed = key.seal("a", b"segment");
    assert_eq!(sealed, key.seal("a", b"segment"), "publishing twice uploads once");
    assert_eq!(key.open("a", &sealed).unwrap(), b"segment");
    assert_eq!(key.open("b", &sealed), Err(SealError::Broken));
    assert_ne!(key.name("a"), key.name("b"));
    let tills = &keyring.storage(&site, Scope::Tills, now)[0];
    assert!(matches!(tills.open("a", &sealed), Err(SealError::KeyUnknown { .. })));
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(key.open("a", &bad).is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn any_changed_bit_of_a_url_is_refused(bit in 0usize..2000, value in "[ -~]{0,40}") {
        let moment = shop().moment(at(0));
        let keys = moment.sealing(Scope::Tills).unwrap();
        let url = read::seal(keys, &query("/v1/models/Product/records", &[("value", &value)]));
        let mut bytes = url.clone().into_bytes();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(read::open(&moment, &changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn any_changed_bit_of_an_answer_is_refused(bit in any::<usize>(), body in any::<Vec<u8>>()) {
        let moment = shop().moment(at(0));
        let keys = moment.sealing(Scope::Tills).unwrap();
        let question = Question::read("/x/00/00");
        let mut sealed = answer::seal(keys, &question, &answer(&body), &[3; 24]);
        prop_assert_eq!(answer::open(keys, &question, &sealed).unwrap().body, body);
        let bit = bit % (sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(answer::open(keys, &question, &sealed), Err(SealError::Broken));
    }

    #[test]
    fn any_changed_bit_of_a_write_is_refused(bit in any::<usize>(), body in any::<Vec<u8>>()) {
        let moment = shop().moment(at(0));
        let keys = moment.sealing(Scope::Tills).unwrap();
        let (url, mut sealed) = write::seal(keys, &write(1, &body), &[3; 24]);
        prop_assert_eq!(write::open(&moment, &url, &sealed).unwrap().1, write(1, &body));
        let bit = bit % (sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(write::open(&moment, &url, &sealed).is_err());
    }

    #[test]
    fn roundtrip_of_reads(path in "/[a-zA-Z0-9/%._-]{0,80}",
                          pairs in proptest::collection::vec((".{0,20}", ".{0,20}"), 0..20)) {
        let moment = shop().moment(at(0));
        let query = Query::new(&path, pairs).unwrap();
        let url = read::seal(moment.sealing(Scope::Boxes).unwrap(), &query);
        prop_assert_eq!(read::open(&moment, &url).unwrap().1, query);
    }

    #[test]
    fn any_bytes_open_nothing_and_never_panic(url in ".{0,200}", bytes in any::<Vec<u8>>()) {
        let moment = shop().moment(at(0));
        let keys = moment.sealing(Scope::Tills).unwrap();
        prop_assert!(read::open(&moment, &url).is_err());
        prop_assert!(write::open(&moment, &url, &bytes).is_err());
        prop_assert!(answer::open(keys, &Question::read(&url), &bytes).is_err());
        let named = format!("/x/{}/{url}", keys.kid());
        prop_assert!(read::open(&moment, &named).is_err());
        prop_assert!(write::open(&moment, &named, &bytes).is_err());
    }

    #[test]
    fn any_frame_that_is_read_is_the_one_that_was_written(bytes in any::<Vec<u8>>()) {
        use super::frame::{Fields, Frame};
        if let Ok(mut fields) = Fields::of(&bytes, 64)
            && let Ok(field) = fields.field()
            && fields.end().is_ok()
        {
            prop_assert_eq!(Frame::default().field(field).padded(64), bytes);
        }
    }

    #[test]
    fn a_window_takes_each_counter_at_most_once(counters in proptest::collection::vec(0u64..300, 0..600)) {
        let mut window = Window::default();
        let mut taken = std::collections::BTreeSet::new();
        for counter in counters {
            if window.take(counter).is_ok() {
                prop_assert!(taken.insert(counter));
            }
        }
    }
}
