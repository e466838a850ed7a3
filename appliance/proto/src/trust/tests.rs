mod attack;
mod rules;

use std::net::IpAddr;

use super::joiner::{self, CodeJoiner, Pledge, Requester};
use super::porter::From;
use super::proof::Channel;
use super::slip::SlipId;
use super::words::{Ask, Grant, Granted};
use super::{Approved, Fingerprint, Kind, MemberKey, Porter, Secret, Slip, Wish};
use crate::time::Timestamp;

pub(super) const CODE: &str = "1234 5678";
pub(super) const SECRET: [u8; 16] = [42; 16];

pub(super) fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_ms(s * 1000)
}

pub(super) fn wish() -> Wish {
    Wish { kind: Kind::Terminal, name: None, replace: false, by: "manager".to_owned() }
}

pub(super) fn key(n: u8) -> MemberKey {
    let mut point = [n; 65];
    point[0] = 4;
    MemberKey::from_point(&point).unwrap()
}

pub(super) fn ask(n: u8) -> Ask {
    Ask { kind: Kind::Terminal, name: format!("till-{n}").parse().unwrap(), key: key(n) }
}

pub(super) fn from(channel: Channel) -> From {
    From { address: IpAddr::from([10, 0, 0, channel[0]]), channel }
}

pub(super) fn slip() -> Slip {
    Slip {
        site: "0007".parse().unwrap(),
        authority: Fingerprint([1; 32]),
        id: SlipId([0; 4]),
        secret: Secret::new(SECRET),
        addresses: Vec::new(),
    }
}

/// A porter with one slip and one code open for ten minutes from zero.
pub(super) fn open() -> Porter {
    let mut porter = Porter::default();
    porter.open_slip(wish(), SlipId([0; 4]), Secret::new(SECRET), at(600), at(0)).unwrap();
    porter.open_code(wish(), CODE, at(600), at(0)).unwrap();
    porter
}

/// What the box would answer to somebody that it has approved.
pub(super) fn granted(approved: &Approved) -> Granted {
    approved.grant(grant_text(&approved.ask))
}

pub(super) fn grant_text(ask: &Ask) -> String {
    let grant = Grant {
        site: "0007".parse().unwrap(),
        name: ask.name.clone(),
        chain: vec!["AA==".to_owned()],
        root: "AA==".to_owned(),
        list_key: "00".repeat(32),
        rings: Vec::new(),
    };
    serde_json::to_string(&grant).unwrap()
}

/// An honest newcomer with a code, on two ends of one or two channels.
pub(super) fn by_code(
    porter: &mut Porter,
    code: &str,
    (near, far): (Channel, Channel),
    now: Timestamp,
) -> Result<(Approved, Pledge), super::Refused> {
    let (share, joiner) = CodeJoiner::begin(code, ask(1), near, &Secret::new([3; 64]));
    let answer = porter.handle_share(from(far), &share, &Secret::new([5; 64]), now)?;
    let (message, pledge) = joiner.go_on(&answer).unwrap();
    Ok((porter.handle_code(from(far), message, now)?, pledge))
}

#[test]
fn a_newcomer_with_the_slip_is_granted_what_it_asked_for() {
    let mut porter = open();
    let (message, pledge) = joiner::by_slip(&slip(), ask(1), [1; 32]);
    let approved = porter.handle_slip(from([1; 32]), message, at(1)).unwrap();
    assert_eq!((approved.ask.clone(), approved.by.as_str()), (ask(1), "manager"));
    let grant = pledge.accept(&granted(&approved)).unwrap();
    assert_eq!(grant.name.as_str(), "till-1");
}

#[test]
fn a_newcomer_with_the_code_is_granted_what_it_asked_for() {
    let mut porter = open();
    let (approved, pledge) = by_code(&mut porter, "12345678", ([1; 32], [1; 32]), at(1)).unwrap();
    assert!(pledge.accept(&granted(&approved)).is_ok());
    assert_eq!(porter.counts().code_until, None, "one newcomer, once");
}

#[test]
fn a_newcomer_whom_a_person_approves_is_granted_what_it_asked_for() {
    let mut porter = Porter::default();
    let (message, requester) = Requester::begin(ask(1), [1; 32], [7; 32]);
    let nonce = porter.handle_request(from([1; 32]), message, [8; 32], at(0)).unwrap();
    assert!(porter.requests().is_empty(), "nothing to compare yet");
    let (nonce, number, compared) = requester.go_on(&nonce);
    porter.handle_nonce(from([1; 32]), &nonce, at(1)).unwrap();
    let shown = porter.requests();
    assert_eq!(shown[0].number, number);
    assert!(porter.handle_fetch(from([1; 32]), at(2)).unwrap().is_none());
    porter.approve(shown[0].id, "manager".to_owned(), false).unwrap();
    let approved = porter.handle_fetch(from([1; 32]), at(3)).unwrap().unwrap();
    assert!(compared.are_the_same().accept(&granted(&approved)).is_ok());
    assert!(porter.handle_fetch(from([1; 32]), at(4)).is_err(), "it is fetched once");
}
