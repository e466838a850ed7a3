//! Clients that listen: what they say to have taken, and what they were never told.

use std::sync::Mutex;

use super::*;

fn live(id: &str, frequency: u32) -> Value {
    json!({"id": id, "channelId": "web", "entity": "Ticket", "delivery": "sse",
        "frequency": frequency})
}

fn note(shop: &Shop, push: &str, id: &str) {
    shop.pushes.inner.store.note(push, id, Happened::Changed, at()).unwrap();
}

fn waiting(shop: &Shop, push: &str) -> Vec<String> {
    ids(&shop.pushes.inner.store, push)
}

/// Tells a client what is new to it, as its connection does.
fn hear(shop: &Shop, places: &mut BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let told = shop.pushes.tell("web", places).unwrap();
    places.extend(told.iter().map(|told| (told.push.clone(), told.number)));
    told.into_iter().map(|told| (told.id, told.number)).collect()
}

#[test]
fn an_event_that_waits_for_its_time_is_not_taken_with_those_of_others_and_is_told_then() {
    let now = Arc::new(Mutex::new(clock::real()()));
    let read = Arc::clone(&now);
    let shop =
        open_with(&[live("seldom", 60), live("often", 0)], Arc::new(move || *read.lock().unwrap()));
    shop.look();
    let mut places = BTreeMap::new();
    let resets = hear(&shop, &mut places);
    assert_eq!(resets.len(), 2);
    shop.pushes.taken("web", resets[1].1).unwrap();
    for (push, id) in [("seldom", "1"), ("seldom", "2"), ("often", "3")] {
        note(&shop, push, id);
    }
    let told = hear(&shop, &mut places);
    assert_eq!(told.iter().map(|(id, _)| id).collect::<Vec<_>>(), ["3"]);
    shop.pushes.taken("web", told[0].1).unwrap();
    assert_eq!((waiting(&shop, "seldom").len(), waiting(&shop, "often").len()), (2, 0));
    note(&shop, "often", "4");
    let later = Timestamp::from_unix_ms(now.lock().unwrap().at.unix_ms() + 3_600_000);
    now.lock().unwrap().at = later;
    let told = hear(&shop, &mut places);
    assert_eq!(told.iter().map(|(id, _)| id).collect::<Vec<_>>(), ["4", "1", "2"]);
    // Half of a delivery is no delivery: the rest needs no time of its own.
    shop.pushes.taken("web", told[1].1).unwrap();
    assert_eq!((waiting(&shop, "seldom"), waiting(&shop, "often")), (vec!["2".into()], vec![]));
    note(&shop, "often", "5");
    let again = hear(&shop, &mut BTreeMap::new());
    assert_eq!(again.iter().map(|(id, _)| id).collect::<Vec<_>>(), ["2", "5"]);
}

#[test]
fn a_number_of_records_that_are_lost_takes_nothing() {
    let shop = open_with(&[live("p1", 0)], clock::real());
    shop.look();
    shop.pushes.taken("web", 5000).unwrap();
    assert_eq!(shop.events(), [(json!("reset"), json!(""))]);
    shop.pushes.taken("web", 5000).unwrap();
    assert_eq!(waiting(&shop, "p1"), [""]);
    let number = shop.told()[0].number;
    shop.pushes.taken("web", number).unwrap();
    assert!(waiting(&shop, "p1").is_empty());
}

#[test]
fn what_a_client_was_told_is_known_after_a_restart() {
    let shop = open_with(&[live("p1", 0)], clock::real());
    shop.look();
    for id in ["1", "2"] {
        note(&shop, "p1", id);
    }
    let number = shop.told()[1].number;
    note(&shop, "p1", "3");
    let Shop { world, pushes, dir } = shop;
    pushes.inner.store.commit().unwrap();
    drop(pushes);
    let again = parts(&world, &dir, clock::real());
    let pushes = Pushes::open(&dir.path().join("pushes"), again).unwrap();
    let shop = Shop { world, pushes, dir };
    shop.pushes.taken("web", number).unwrap();
    assert_eq!(waiting(&shop, "p1"), ["2", "3"]);
    assert!(shop.told()[1].number > shop.told()[0].number);
}

#[test]
fn following_the_logs_and_delivering_do_not_undo_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().0;
    store.note("p", "1", Happened::Changed, at()).unwrap();
    let records = store.waiting("p", 0, 1).unwrap();
    let last = Last { at: at(), number: 1, count: 1 };
    store.delivered("p", &records, last.clone()).unwrap();
    store.amend("p", |course| course.documents = 7).unwrap();
    let course = store.course("p").unwrap();
    assert_eq!((course.last, course.documents), (Some(last), 7));
}

#[test]
fn a_number_of_an_earlier_life_takes_nothing_that_was_told_and_not_heard() {
    let shop = open_with(&[live("p1", 0)], clock::real());
    shop.look();
    note(&shop, "p1", "1");
    for number in [2, 2, 5000, 5000, 5000] {
        shop.pushes.taken("web", number).unwrap();
        // The line is cut before the client hears anything of this.
        let told = shop.told();
        assert_eq!(told.iter().map(|told| told.id.as_str()).collect::<Vec<_>>(), ["", "1"]);
        assert!(told[0].number > number, "{told:?}");
    }
    let last = shop.told()[1].number;
    shop.pushes.taken("web", last).unwrap();
    assert!(waiting(&shop, "p1").is_empty());
    // What nobody can have been told moves no number.
    shop.pushes.taken("web", u64::MAX).unwrap();
    note(&shop, "p1", "2");
    assert_eq!(shop.told()[0].number, last + 1);
}

#[test]
fn numbers_of_a_definition_that_is_gone_are_not_given_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().0;
    for (push, id) in [("gone", "1"), ("gone", "2"), ("gone", "3")] {
        store.note(push, id, Happened::Changed, at()).unwrap();
    }
    store.forget("gone").unwrap();
    store.commit().unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap().0;
    assert_eq!(store.number(), 3);
}

/// One client over three lines, each cut in another way: while events of a filter, of a definition that waits for its
/// time and of one that is told at once go on.
#[tokio::test]
async fn a_client_that_comes_back_with_its_last_number_misses_nothing_and_hears_nothing_twice() {
    let now = Arc::new(Mutex::new(clock::real()()));
    let read = Arc::clone(&now);
    let mut some = live("some", 0);
    some["where"] = json!([{"fieldName": "documentNo", "operator": "startsWith", "value": "WEB"}]);
    let definitions = [some, live("all", 0), live("seldom", 60)];
    let shop = open_with(&definitions, Arc::new(move || *read.lock().unwrap()));
    shop.look();
    let mut places = BTreeMap::new();
    let resets = hear(&shop, &mut places);
    shop.pushes.taken("web", resets[2].1).unwrap();
    let (mut heard, mut last) = (Vec::new(), resets[2].1);
    for line in 0..4 {
        let tickets = [format!("WEB/{line}"), format!("POS/{line}")];
        for number in &tickets {
            shop.sell(number).await;
        }
        shop.look();
        if line == 2 {
            let later = Timestamp::from_unix_ms(now.lock().unwrap().at.unix_ms() + 3_600_000);
            now.lock().unwrap().at = later;
        }
        // The client is sent all of it, and hears two events less before its line is cut.
        let sent = shop.pushes.tell("web", &BTreeMap::new()).unwrap();
        assert!(sent.iter().all(|told| told.number > last), "{sent:?}");
        assert!(sent.is_sorted_by_key(|told| told.number));
        let cut = if line == 3 { sent.len() } else { sent.len() - 2 };
        for told in &sent[..cut] {
            heard.push((told.push.clone(), told.id.clone()));
            last = told.number;
        }
        shop.pushes.taken("web", last).unwrap();
    }
    let count = |push: &str| heard.iter().filter(|(of, _)| of == push).count();
    assert_eq!((count("some"), count("all")), (4, 8));
    // Those of the last line wait for the next time.
    assert_eq!(count("seldom") + waiting(&shop, "seldom").len(), 8);
    heard.sort();
    assert!(heard.windows(2).all(|pair| pair[0] != pair[1]), "{heard:?}");
    shop.pushes.taken("web", last).unwrap();
    assert!(waiting(&shop, "some").is_empty() && waiting(&shop, "all").is_empty());
}
