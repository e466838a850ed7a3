//! Bounds, expiry and who may ask for what.

use super::*;
use crate::limits::{CODE_ATTEMPTS_MAX, JOIN_FAILURES_MAX, JOIN_REQUESTS_MAX, SLIPS_MAX};
use crate::trust::porter::{Event, SlipEnd};
use crate::trust::{Refused, porter};

fn events(porter: &mut Porter) -> Vec<Event> {
    std::iter::from_fn(|| porter.poll_event()).collect()
}

#[test]
fn slips_and_codes_end_by_themselves() {
    let mut porter = open();
    assert_eq!(porter.poll_timeout(), Some(at(600)));
    let (message, _) = joiner::by_slip(&slip(), ask(1), [1; 32]);
    assert_eq!(
        porter.handle_slip(from([1; 32]), message, at(600)).unwrap_err(),
        Refused::Expired,
        "also before anybody has looked at the clock"
    );
    let late = by_code(&mut porter, CODE, ([1; 32], [1; 32]), at(600)).unwrap_err();
    assert_eq!(late, Refused::Closed);
    assert_eq!(porter.counts(), porter::Counts { slips: 0, code_until: None, requests: 0 });
    let mut porter = open();
    porter.handle_timeout(at(601));
    let ended = events(&mut porter);
    let expired = |event: &&Event| matches!(event, Event::Ended { why: SlipEnd::Expired, .. });
    assert_eq!(ended.iter().filter(expired).count(), 2);
}

#[test]
fn a_slip_for_one_till_lets_no_other_in() {
    let mut porter = Porter::default();
    let mine = Wish { name: Some("till-9".parse().unwrap()), ..wish() };
    porter.open_slip(mine, SlipId([0; 4]), Secret::new(SECRET), at(600), at(0)).unwrap();
    let (message, _) = joiner::by_slip(&slip(), ask(1), [1; 32]);
    let refused = porter.handle_slip(from([1; 32]), message, at(1)).unwrap_err();
    assert_eq!(refused, Refused::OtherMember);
    assert_eq!(porter.counts().slips, 0, "and it is used up");
}

#[test]
fn nobody_becomes_a_box_by_enrolment() {
    let mut porter = open();
    let as_box = Ask { kind: Kind::Box, ..ask(1) };
    let (message, _) = joiner::by_slip(&slip(), as_box.clone(), [1; 32]);
    assert_eq!(porter.handle_slip(from([1; 32]), message, at(1)).unwrap_err(), Refused::Box);
    let (message, _) = Requester::begin(as_box, [1; 32], [7; 32]);
    let refused = porter.handle_request(from([1; 32]), message, [8; 32], at(1));
    assert_eq!(refused.unwrap_err(), Refused::Box);
    let boxes = Wish { kind: Kind::Box, ..wish() };
    assert_eq!(porter.open_code(boxes, CODE, at(9), at(1)), Err(Refused::Box));
}

#[test]
fn three_wrong_codes_close_the_window() {
    let mut porter = open();
    for n in 0..CODE_ATTEMPTS_MAX {
        let wrong = format!("{n:08}");
        let tried = by_code(&mut porter, &wrong, ([2; 32], [2; 32]), at(1));
        assert_eq!(tried.unwrap_err(), Refused::Proof);
    }
    let right = by_code(&mut porter, CODE, ([1; 32], [1; 32]), at(2)).unwrap_err();
    assert_eq!(right, Refused::Closed, "the right code comes too late");
    let exhausted = |event: &Event| matches!(event, Event::Ended { why: SlipEnd::Exhausted, .. });
    assert!(events(&mut porter).iter().any(exhausted));
}

#[test]
fn exchanges_that_are_begun_and_left_count_as_attempts() {
    let mut porter = open();
    for n in 0..CODE_ATTEMPTS_MAX {
        let channel = [u8::try_from(n).unwrap() + 2; 32];
        let (share, _) = CodeJoiner::begin("1", ask(2), channel, &Secret::new([3; 64]));
        porter.handle_share(from(channel), &share, &Secret::new([5; 64]), at(1)).unwrap();
    }
    let right = by_code(&mut porter, CODE, ([1; 32], [1; 32]), at(2)).unwrap_err();
    assert_eq!(right, Refused::Closed);
    porter.handle_timeout(at(60));
    assert_eq!(porter.counts().code_until, None);
}

#[test]
fn whoever_fails_too_often_waits_while_others_come_in() {
    let mut porter = open();
    let bad = [9; 32];
    for n in 0..JOIN_FAILURES_MAX + 5 {
        let mut other = slip();
        other.id = SlipId([9; 4]);
        let (message, _) = joiner::by_slip(&other, ask(2), bad);
        let refused = porter.handle_slip(from(bad), message, at(1)).unwrap_err();
        let wanted = if n < JOIN_FAILURES_MAX { Refused::SlipUnknown } else { Refused::TooOften };
        assert_eq!(refused, wanted);
    }
    let (message, _) = joiner::by_slip(&slip(), ask(1), [1; 32]);
    assert!(porter.handle_slip(from([1; 32]), message, at(1)).is_ok());
}

#[test]
fn a_flood_of_requests_is_bounded_and_no_address_takes_all_places() {
    let mut porter = Porter::default();
    let mut taken = 0;
    for address in 1..=20u8 {
        for n in 0..JOIN_REQUESTS_MAX {
            let mut channel = [address; 32];
            channel[1] = u8::try_from(n).unwrap();
            let (message, _) = Requester::begin(ask(1), channel, [7; 32]);
            let took = porter.handle_request(from(channel), message, [8; 32], at(1)).is_ok();
            taken += usize::from(took);
        }
        if address == 1 {
            assert_eq!(taken, JOIN_REQUESTS_MAX / 4);
        }
    }
    assert_eq!(taken, JOIN_REQUESTS_MAX);
    porter.handle_timeout(at(601));
    assert_eq!(porter.poll_timeout(), None);
}

#[test]
fn slips_survive_a_restart_and_their_number_is_bounded() {
    let mut porter = open();
    let text = serde_json::to_string(&porter.stored()).unwrap();
    let mut restored = Porter::restored(serde_json::from_str(&text).unwrap());
    let (message, _) = joiner::by_slip(&slip(), ask(1), [1; 32]);
    assert!(restored.handle_slip(from([1; 32]), message, at(1)).is_ok());
    assert!(restored.stored().is_empty());
    for n in 1..SLIPS_MAX {
        let id = SlipId(u32::try_from(n).unwrap().to_be_bytes());
        porter.open_slip(wish(), id, Secret::new(SECRET), at(600), at(0)).unwrap();
    }
    let more = porter.open_slip(wish(), SlipId([9; 4]), Secret::new(SECRET), at(600), at(0));
    assert_eq!(more, Err(Refused::Full));
    assert_eq!(porter.close_slips(at(1)), SLIPS_MAX);
    assert!(!format!("{porter:?}").contains("2a2a"), "no secret in a debug print");
}

#[test]
fn a_denied_request_is_told_so() {
    let mut porter = Porter::default();
    let (message, requester) = Requester::begin(ask(1), [1; 32], [7; 32]);
    let nonce = porter.handle_request(from([1; 32]), message, [8; 32], at(0)).unwrap();
    porter.handle_nonce(from([1; 32]), &requester.go_on(&nonce).0, at(1)).unwrap();
    porter.deny(porter.requests()[0].id).unwrap();
    assert_eq!(porter.handle_fetch(from([1; 32]), at(2)).unwrap_err(), Refused::Denied);
}
