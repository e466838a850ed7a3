//! An attacker that sees, changes, keeps, replays and makes up messages, between or beside honest parties.
//!
//! The channel of each TLS connection is different and known to its two ends only; the attacker may be an end of any
//! number of them, and never is when it only listens.

use proptest::prelude::*;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::trust::Refused;
use crate::trust::joiner::Distrust;
use crate::trust::words::{Bytes32, CodeShare, Nonce};

/// The honest newcomer's end of a connection that the attacker has taken over.
const NEAR: Channel = [11; 32];
/// The attacker's own connection to the box.
const FAR: Channel = [12; 32];

#[test]
fn a_relay_with_the_right_slip_gains_nothing() {
    let mut porter = open();
    let (message, pledge) = joiner::by_slip(&slip(), ask(1), NEAR);
    assert_eq!(
        porter.handle_slip(from(FAR), message, at(1)).unwrap_err(),
        Refused::Proof,
        "the box sees another channel than the newcomer"
    );
    let made_up = Granted { grant: grant_text(&ask(1)), proof: Bytes32([0; 32]) };
    assert_eq!(pledge.accept(&made_up), Err(Distrust::Proof), "and cannot play the box");
}

#[test]
fn a_relay_with_the_right_code_gains_nothing() {
    let mut porter = open();
    let refused = by_code(&mut porter, CODE, (NEAR, FAR), at(1)).unwrap_err();
    assert_eq!(refused, Refused::Proof);
    let (_, pledge) = by_code(&mut porter, CODE, ([1; 32], [1; 32]), at(2)).unwrap();
    let made_up = Granted { grant: grant_text(&ask(1)), proof: Bytes32([0; 32]) };
    assert_eq!(pledge.accept(&made_up), Err(Distrust::Proof));
}

#[test]
fn a_message_that_was_overheard_is_worth_nothing_later() {
    let mut porter = open();
    let (message, _) = joiner::by_slip(&slip(), ask(1), [1; 32]);
    porter.handle_slip(from([1; 32]), message.clone(), at(1)).unwrap();
    for channel in [[1; 32], FAR] {
        let again = porter.handle_slip(from(channel), message.clone(), at(2)).unwrap_err();
        assert_eq!(again, Refused::SlipUnknown);
    }
}

#[test]
fn another_key_under_the_same_proof_is_refused() {
    let mut porter = open();
    let (mut message, _) = joiner::by_slip(&slip(), ask(1), [1; 32]);
    message.ask.key = key(66);
    assert_eq!(porter.handle_slip(from([1; 32]), message, at(1)).unwrap_err(), Refused::Proof);
}

#[test]
fn a_fake_box_learns_no_code_from_a_newcomer() {
    let (share, joiner) = CodeJoiner::begin(CODE, ask(1), NEAR, &Secret::new([3; 64]));
    let mut fake = Porter::default();
    fake.open_code(wish(), "00000000", at(600), at(0)).unwrap();
    let answer = fake.handle_share(from(NEAR), &share, &Secret::new([5; 64]), at(1)).unwrap();
    let (message, pledge) = joiner.go_on(&answer).unwrap();
    assert_eq!(fake.handle_code(from(NEAR), message, at(1)).unwrap_err(), Refused::Proof);
    let made_up = Granted { grant: grant_text(&ask(1)), proof: Bytes32([0; 32]) };
    assert_eq!(pledge.accept(&made_up), Err(Distrust::Proof));
    let (_, joiner) = CodeJoiner::begin(CODE, ask(1), NEAR, &Secret::new([3; 64]));
    let nonsense = CodeShare { share: Bytes32([0; 32]) };
    assert!(matches!(joiner.go_on(&nonsense), Err(Distrust::Share)));
}

#[test]
fn whoever_stands_between_shows_two_different_numbers() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..500 {
        let mut porter = Porter::default();
        // The newcomer talks to the attacker, who talks to the box with a key of its own.
        let (request, requester) = Requester::begin(ask(1), NEAR, random.random());
        let commitment = request.commitment;
        let (evil, evil_requester) = Requester::begin(ask(66), FAR, random.random());
        let nonce = porter.handle_request(from(FAR), evil, random.random(), at(0)).unwrap();
        let (evil_nonce, _, _) = evil_requester.go_on(&nonce);
        porter.handle_nonce(from(FAR), &evil_nonce, at(0)).unwrap();
        let (honest_nonce, number, _) = requester.go_on(&Nonce { nonce: Bytes32(random.random()) });
        assert_ne!(porter.requests()[0].number, number);
        assert_ne!(honest_nonce.nonce, commitment, "what it commits to is not shown before");
    }
}

#[test]
fn a_nonce_that_was_not_committed_to_is_refused() {
    let mut porter = Porter::default();
    let (message, _) = Requester::begin(ask(1), FAR, [7; 32]);
    porter.handle_request(from(FAR), message, [8; 32], at(0)).unwrap();
    let searched = Nonce { nonce: Bytes32([9; 32]) };
    assert_eq!(porter.handle_nonce(from(FAR), &searched, at(0)), Err(Refused::Proof));
    assert!(porter.requests().is_empty());
}

/// What the attacker does in one step of a long campaign.
#[derive(Debug, Clone, Copy)]
enum Move {
    GuessCode(u32),
    GuessSlip([u8; 16]),
    Relay,
    Replay(usize),
    Alter(usize, u8),
    BeginAndLeave,
    Request,
    Honest,
    Wait(i64),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        (0u32..100_000_000).prop_map(Move::GuessCode),
        any::<[u8; 16]>().prop_map(Move::GuessSlip),
        Just(Move::Relay),
        any::<usize>().prop_map(Move::Replay),
        (any::<usize>(), any::<u8>()).prop_map(|(at, bit)| Move::Alter(at, bit)),
        Just(Move::BeginAndLeave),
        Just(Move::Request),
        Just(Move::Honest),
        (1i64..90).prop_map(Move::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the attacker does, nobody is approved but the honest newcomer with its own key.
    #[test]
    fn an_attacker_is_never_approved(campaign in proptest::collection::vec(moves(), 1..40)) {
        let mut porter = open();
        let mut overheard = Vec::new();
        let mut now = 1;
        for step in campaign {
            let evil = Ask { key: key(66), ..ask(1) };
            let approved = match step {
                Move::GuessCode(12_345_678) | Move::Wait(_) => {
                    now += if let Move::Wait(s) = step { s } else { 0 };
                    porter.handle_timeout(at(now));
                    None
                }
                Move::GuessCode(code) => {
                    by_code(&mut porter, &format!("{code:08}"), (FAR, FAR), at(now)).ok()
                        .map(|(approved, _)| approved)
                }
                Move::GuessSlip(secret) => {
                    let guessed = Slip { secret: Secret::new(secret), id: SlipId([0; 4]), ..slip() };
                    let mut message = joiner::by_slip(&guessed, evil, FAR).0;
                    // The number of the slip is not secret, but nobody sees it before it is used.
                    message.slip = SlipId([secret[0]; 4]);
                    prop_assume!(secret != SECRET);
                    porter.handle_slip(from(FAR), message, at(now)).ok()
                }
                Move::Relay => {
                    let (message, _) = joiner::by_slip(&slip(), ask(1), NEAR);
                    overheard.push(message.clone());
                    porter.handle_slip(from(FAR), message, at(now)).ok()
                }
                Move::Replay(which) if !overheard.is_empty() => {
                    let message = overheard[which % overheard.len()].clone();
                    porter.handle_slip(from(FAR), message, at(now)).ok()
                }
                Move::Alter(which, bit) if !overheard.is_empty() => {
                    let mut message = overheard[which % overheard.len()].clone();
                    message.proof.0[usize::from(bit) % 32] ^= 1 << (bit % 8);
                    message.ask = evil;
                    porter.handle_slip(from(NEAR), message, at(now)).ok()
                }
                Move::BeginAndLeave => {
                    let (share, _) = CodeJoiner::begin("0", evil, FAR, &Secret::new([3; 64]));
                    let _ = porter.handle_share(from(FAR), &share, &Secret::new([5; 64]), at(now));
                    None
                }
                Move::Request => {
                    let (message, requester) = Requester::begin(evil, FAR, [7; 32]);
                    if let Ok(nonce) = porter.handle_request(from(FAR), message, [8; 32], at(now)) {
                        let _ = porter.handle_nonce(from(FAR), &requester.go_on(&nonce).0, at(now));
                    }
                    porter.handle_fetch(from(FAR), at(now)).ok().flatten()
                }
                Move::Honest => {
                    let (message, _) = joiner::by_slip(&slip(), ask(1), [1; 32]);
                    overheard.push(message.clone());
                    let approved = porter.handle_slip(from([1; 32]), message, at(now)).ok();
                    prop_assert!(approved.iter().all(|approved| approved.ask == ask(1)));
                    None
                }
                Move::Replay(_) | Move::Alter(..) => None,
            };
            prop_assert!(approved.is_none(), "{:?}", approved);
            prop_assert!(porter.counts().slips <= 1);
        }
    }
}
