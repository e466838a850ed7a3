//! What is struck off stays off, without the internet, and in one act.

use super::*;
use crate::trust::house::{HouseError, adopt, request, reset};
use crate::trust::judge::Objection;
use crate::trust::office::OfficeError;
use crate::trust::strikes::StrikeError;
use storebox_proto::trust::strike::{ListRefused, Signed, Struck};

#[test]
fn a_stolen_box_is_struck_off_in_one_act_with_all_that_it_could_let_in() {
    let estate = Estate::new();
    let stolen = estate.new_box("0007", "box-1");
    let stays = estate.new_box("0007", "box-2");
    let (_, let_in) = till(&stolen, "till-3");
    let (_, honest) = till(&stays, "till-4");
    let thief = member("0007", Kind::Box, "box-1");
    let list = estate.office().strike_box(&thief, later(0)).unwrap();
    assert!(stays.strikes.take(&list).unwrap());
    for chain in [&let_in, &stolen.chain] {
        assert_eq!(stays.judge.judge(chain, later(0)), Err(Objection::Struck));
    }
    assert!(stays.judge.judge(&honest, later(0)).is_ok());
    drop(stays);
    let again = estate.house("box-2");
    assert_eq!(again.judge.judge(&let_in, later(0)), Err(Objection::Struck), "over a restart");
}

#[test]
fn a_connection_that_is_open_ends_with_its_key() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let (key, chain) = till(&house, "till-3");
    let known = house.judge.judge(&chain, later(0)).unwrap();
    assert!(!house.judge.has_struck(&known));
    let struck = Struck {
        key: paper::public(&key).fingerprint(),
        of: known.member.to_string(),
        at: later(0),
    };
    house.strikes.take(&estate.office().strike(struck).unwrap()).unwrap();
    assert!(house.judge.has_struck(&known));
}

#[test]
fn an_older_or_a_forged_list_is_refused() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    estate.new_box("0007", "box-2");
    estate.new_box("0007", "box-3");
    let mut office = estate.office();
    let first = office.strike_box(&member("0007", Kind::Box, "box-2"), later(0)).unwrap();
    let second = office.strike_box(&member("0007", Kind::Box, "box-3"), later(0)).unwrap();
    house.strikes.take(&second).unwrap();
    assert!(!house.strikes.take(&second).unwrap(), "the same again changes nothing");
    let replayed = house.strikes.take(&first);
    assert!(matches!(replayed, Err(StrikeError::Older { offered: 2, known: 4 })), "{replayed:?}");
    let forged = Signed { list: second.list.replace("box-3", "box-1"), ..second };
    let refused = house.strikes.take(&forged);
    assert!(matches!(refused, Err(StrikeError::Refused(ListRefused::Signature))));
    assert_eq!(house.strikes.number(), 4);
    let dir = estate.path("box-1");
    let kept = dir.join("trust/strikes.json");
    assert!(kept.exists());
    std::fs::write(&kept, serde_json::to_vec(&forged).unwrap()).unwrap();
    let told = crate::logging::chain(&House::open(&dir, false).err().expect("it is damaged"));
    assert!(told.contains("trust/strikes.json"), "{told}");
}

#[test]
fn names_of_boxes_are_given_once_in_the_chain() {
    let estate = Estate::new();
    estate.new_box("0007", "box-1");
    let mut office = estate.office();
    let ask = |dir: &str| request(&estate.path(dir), "box-1", Vec::new()).unwrap();
    let elsewhere = office.issue(&site("0008"), &ask("thief"), later(0));
    assert!(matches!(elsewhere, Err(OfficeError::NameTaken { .. })));
    let again = office.issue(&site("0007"), &ask("thief"), later(0));
    assert!(matches!(again, Err(OfficeError::Exists(_))), "other keys need a striking off");
    assert!(office.issue(&site("0007"), &ask("box-1"), later(0)).is_ok(), "the same box may renew");
    let unknown = office.issue(&site("0009"), &ask("box-1"), later(0));
    assert!(matches!(unknown, Err(OfficeError::SiteUnknown(_))));
    let listed: Vec<_> = office.issued().iter().map(|one| one.member.name.to_string()).collect();
    assert_eq!(listed, ["box-1"]);
}

#[test]
fn a_box_is_taken_over_by_another_head_office_only_after_a_reset_at_the_box() {
    let (estate, others) = (Estate::new(), Estate::new());
    estate.new_box("0007", "box-1");
    let dir = estate.path("box-1");
    let ask = request(&dir, "box-1", Vec::new()).unwrap();
    let theirs = others.office().issue(&site("0007"), &ask, later(0)).unwrap();
    assert!(matches!(adopt(&dir, &theirs, later(0)), Err(HouseError::Adopted)));
    reset(&dir).unwrap();
    assert!(House::open(&dir, false).unwrap().is_none());
    let old_keys = adopt(&dir, &theirs, later(0));
    assert!(old_keys.is_err(), "the old keys are gone with the old site");
    let ask = request(&dir, "box-2", Vec::new()).unwrap();
    let theirs = others.office().issue(&site("0007"), &ask, later(0)).unwrap();
    adopt(&dir, &theirs, later(0)).unwrap();
}

#[test]
fn kept_papers_that_are_damaged_are_told_with_their_file() {
    let estate = Estate::new();
    estate.new_box("0007", "box-1");
    let dir = estate.path("box-1");
    let kept = dir.join("trust/papers.json");
    let whole = std::fs::read_to_string(&kept).unwrap();
    let at = whole.find("MII").expect("a certificate begins so");
    std::fs::write(&kept, format!("{}?{}", &whole[..at], &whole[at + 1..])).unwrap();
    let error = House::open(&dir, false).err().expect("it is damaged");
    let told = crate::logging::chain(&error);
    assert!(told.contains("trust/papers.json") && told.contains("cannot be read"), "{told}");
}

#[test]
fn papers_of_another_box_or_damaged_ones_are_refused() {
    let estate = Estate::new();
    estate.new_box("0007", "box-1");
    let other = estate.path("box-2");
    let ask = request(&other, "box-2", Vec::new()).unwrap();
    let mut papers = estate.office().issue(&site("0007"), &ask, later(0)).unwrap();
    assert!(matches!(adopt(&estate.path("box-1"), &papers, later(0)), Err(HouseError::OtherKeys)));
    papers.certificate.truncate(20);
    assert!(adopt(&other, &papers, later(0)).is_err());
    assert!(request(&other, "Box 2", Vec::new()).is_err());
    let evil = request(&other, "box-2", vec!["bank.example".to_owned()]).unwrap();
    let refused = estate.office().issue(&site("0007"), &evil, later(0));
    assert!(matches!(refused, Err(OfficeError::Host(_))));
}
