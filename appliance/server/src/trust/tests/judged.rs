//! Each way in which a certificate can be bad has its own objection.

use super::*;
use crate::trust::judge::{GRACE, Objection};
use crate::trust::mint::Authority;
use storebox_proto::problem::Code;

#[test]
fn a_till_of_the_site_is_known_by_its_name() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let (key, chain) = till(&house, "till-3");
    let known = house.judge.judge(&chain, later(0)).unwrap();
    assert_eq!(known.member, member("0007", Kind::Terminal, "till-3"));
    assert_eq!(known.key(), paper::public(&key).fingerprint());
    assert_eq!((known.keys.len(), known.on_grace), (3, false));
}

#[test]
fn a_replaced_box_knows_the_tills_of_its_predecessor() {
    let estate = Estate::new();
    let (_, chain) = till(&estate.new_box("0007", "box-1"), "till-3");
    let next = estate.new_box("0007", "box-2");
    assert!(next.judge.judge(&chain, later(0)).is_ok(), "no till has to be touched");
}

#[test]
fn an_expired_certificate_is_honoured_for_a_while_and_then_refused() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let (_, chain) = till(&house, "till-3");
    assert!(!house.judge.judge(&chain, later(364)).unwrap().on_grace);
    assert!(house.judge.judge(&chain, later(366)).unwrap().on_grace);
    let days = i64::try_from(GRACE.as_secs()).unwrap() / 86_400;
    let refused = house.judge.judge(&chain, later(366 + days)).unwrap_err();
    assert_eq!((refused.code(), refused), (Code::CertificateExpired, Objection::Expired));
}

#[test]
fn a_member_of_another_site_is_foreign_but_its_box_is_known_at_head_office() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let other = estate.new_box("0008", "box-8");
    let (_, chain) = till(&other, "till-3");
    let refused = house.judge.judge(&chain, later(0)).unwrap_err();
    assert_eq!(refused, Objection::Foreign(site("0008")));
    assert!(house.judge.judge(&other.chain, later(0)).is_err());
    let main = House::open(&estate.path("box-1"), true).unwrap().unwrap();
    let known = main.judge.judge(&other.chain, later(0)).unwrap();
    assert_eq!(known.member, member("0008", Kind::Box, "box-8"));
    assert!(main.judge.judge(&chain, later(0)).is_err(), "but no till of theirs");
}

#[test]
fn any_changed_byte_of_a_certificate_makes_it_nobodys() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let (_, chain) = till(&house, "till-3");
    for at in (0..chain[0].len()).step_by(7) {
        let mut bytes = chain[0].to_vec();
        bytes[at] ^= 1;
        let mut forged = chain.clone();
        forged[0] = CertificateDer::from(bytes);
        let refused = house.judge.judge(&forged, later(0));
        assert!(refused.is_err(), "byte {at}");
    }
    assert!(house.judge.judge(&chain[..1], later(0)).is_err(), "the chain must be whole");
    let long = vec![chain[0].clone(); 9];
    assert!(matches!(house.judge.judge(&long, later(0)), Err(Objection::Invalid(_))));
    assert!(house.judge.judge(&[], later(0)).is_err());
}

#[test]
fn a_chain_of_another_head_office_is_invalid() {
    let (estate, others) = (Estate::new(), Estate::new());
    let house = estate.new_box("0007", "box-1");
    let (_, chain) = till(&others.new_box("0007", "box-1"), "till-3");
    let refused = house.judge.judge(&chain, later(0)).unwrap_err();
    assert_eq!(refused.code(), Code::CertificateInvalid);
}

#[test]
fn a_door_cannot_make_boxes_nor_members_of_other_sites() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let main = House::open(&estate.path("box-1"), true).unwrap().unwrap();
    let key = KeyPair::generate().unwrap();
    for who in [
        member("0007", Kind::Box, "box-9"),
        member("0008", Kind::Terminal, "till-1"),
        member("0008", Kind::Box, "box-9"),
    ] {
        let chain = house.door.certify(&who, &paper::public(&key), later(0)).unwrap();
        let refused = main.judge.judge(&chain, later(0)).unwrap_err();
        assert_eq!(refused.code(), Code::CertificateInvalid, "{who}");
    }
}

#[test]
fn a_till_cannot_certify_anybody() {
    let estate = Estate::new();
    let house = estate.new_box("0007", "box-1");
    let (key, mut chain) = till(&house, "till-3");
    let authority = Authority::door(key, &site("0007"));
    let evil = paper::public(&KeyPair::generate().unwrap());
    let who = member("0007", Kind::Terminal, "till-4");
    chain.insert(0, authority.certify(&who, &evil, &[], later(0)).unwrap());
    let refused = house.judge.judge(&chain, later(0)).unwrap_err();
    assert_eq!(refused.code(), Code::CertificateInvalid);
}
