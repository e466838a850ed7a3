use super::*;

/// Every state a boot loader's file can hold, tries beyond the limits included.
pub(super) fn every_state() -> impl Iterator<Item = State> {
    let records = || {
        (0..4_u8).flat_map(|bits| {
            (0..=TRIES_CONFIRMED + 1).map(move |tries| Record {
                whole: bits & 1 != 0,
                confirmed: bits & 2 != 0,
                tries,
            })
        })
    };
    Slot::BOTH.into_iter().flat_map(move |first| {
        records().flat_map(move |a| records().map(move |b| State { first, a, b }))
    })
}

/// Starts until `works` says yes, with the tries that were counted on the way.
fn starts_until(state: &mut State, works: impl Fn(Slot) -> bool) -> Option<u32> {
    (1..=STARTS_MAX).find(|_| works(state.choose().slot))
}

#[test]
fn there_is_no_state_in_which_no_slot_starts() {
    assert_eq!(every_state().count(), 2 * 44 * 44);
    for mut state in every_state() {
        let before = state;
        let choice = state.choose();
        let tries = state.record(choice.slot).tries;
        assert!((1..=TRIES_CONFIRMED).contains(&tries), "{before:?}");
    }
}

#[test]
fn from_any_state_a_slot_that_works_is_started_in_bounded_time() {
    for state in every_state() {
        for good in Slot::BOTH {
            let mut now = state;
            assert!(starts_until(&mut now, |slot| slot == good).is_some(), "{good} from {state:?}");
        }
    }
}

#[test]
fn a_slot_that_is_not_whole_waits_until_the_whole_ones_used_up_their_tries() {
    for mut state in every_state() {
        let before = state;
        if state.choose().why == Why::LastResort {
            for slot in Slot::BOTH {
                let record = before.record(slot);
                assert!(!record.whole || !record.has_tries(), "{before:?}");
            }
        }
    }
}

#[test]
fn a_slot_without_tries_left_is_started_only_by_starting_over() {
    for mut state in every_state() {
        let before = state;
        let choice = state.choose();
        if !before.record(choice.slot).has_tries() {
            assert_eq!(choice.why, Why::StartedOver, "{before:?}");
            assert!(Slot::BOTH.into_iter().all(|slot| !before.record(slot).has_tries()));
        }
    }
}

#[test]
fn a_confirmed_slot_is_the_next_one_to_start_from_any_state() {
    for mut state in every_state() {
        for running in Slot::BOTH {
            state.confirm(running);
            let mut next = state;
            assert_eq!(next.choose(), Choice { slot: running, why: Why::Preferred });
        }
    }
}

/// A box that runs A, confirmed, and has a whole, confirmed B.
fn settled() -> State {
    let mut state = State::flashed();
    state.choose();
    state.confirm(Slot::A);
    state.begin_install(Slot::B, Slot::A).unwrap();
    state.finish_install(Slot::B).unwrap();
    state.choose();
    state.confirm(Slot::B);
    state
}

#[test]
fn a_broken_release_is_left_after_three_tries_and_not_tried_again() {
    let mut state = settled();
    state.begin_install(Slot::A, Slot::B).unwrap();
    state.finish_install(Slot::A).unwrap();
    let starts: Vec<Slot> = (0..4).map(|_| state.choose().slot).collect();
    assert_eq!(starts, [Slot::A, Slot::A, Slot::A, Slot::B]);
    state.confirm(Slot::B);
    assert!(!state.record(Slot::A).whole);
    assert!((0..9).all(|_| state.choose().slot == Slot::B));
}

#[test]
fn three_quick_power_cuts_do_not_throw_a_good_release_back() {
    let mut state = settled();
    let starts: Vec<Slot> = (0..9).map(|_| state.choose().slot).collect();
    assert_eq!(starts, [Slot::B; 9]);
    assert_eq!(state.choose(), Choice { slot: Slot::A, why: Why::FellBack });
}

#[test]
fn a_box_with_one_release_starts_it_for_ever() {
    let mut state = State::flashed();
    let starts: Vec<Choice> = (0..8).map(|_| state.choose()).collect();
    assert!(starts[..3].iter().all(|choice| choice.slot == Slot::A));
    assert_eq!(starts[3], Choice { slot: Slot::B, why: Why::LastResort });
    assert_eq!(starts[4], Choice { slot: Slot::A, why: Why::StartedOver });
    assert!(starts[5..7].iter().all(|choice| choice.slot == Slot::A));
}

#[test]
fn an_update_cut_off_at_any_step_starts_the_old_release() {
    let mut state = settled();
    state.begin_install(Slot::A, Slot::B).unwrap();
    assert_eq!(state.choose(), Choice { slot: Slot::B, why: Why::Preferred });
    assert_eq!(
        state.begin_install(Slot::A, Slot::B),
        Err(InstallError::Unconfirmed { running: Slot::B })
    );
    state.confirm(Slot::B);
    state.begin_install(Slot::A, Slot::B).unwrap();
    state.finish_install(Slot::A).unwrap();
    assert_eq!(state.choose(), Choice { slot: Slot::A, why: Why::Preferred });
}

#[test]
fn an_update_never_goes_into_the_running_slot_or_over_an_unconfirmed_way_back() {
    let mut state = State::flashed();
    state.choose();
    let unconfirmed = Err(InstallError::Unconfirmed { running: Slot::A });
    assert_eq!(state.begin_install(Slot::B, Slot::A), unconfirmed);
    state.confirm(Slot::A);
    let running = Err(InstallError::Running { target: Slot::A });
    assert_eq!(state.begin_install(Slot::A, Slot::A), running);
    assert_eq!(state.finish_install(Slot::A), Err(InstallError::NotBegun { target: Slot::A }));
}

#[test]
fn rolling_back_needs_a_whole_slot_and_survives_being_undone() {
    let mut fresh = State::flashed();
    assert_eq!(fresh.roll_back(Slot::A), Err(RollbackError { to: Slot::B }));
    let mut state = settled();
    assert_eq!(state.roll_back(Slot::B), Ok(Slot::A));
    assert_eq!(state.choose().slot, Slot::A);
    assert_eq!(state.roll_back(Slot::A), Ok(Slot::B));
    assert_eq!(state.choose().slot, Slot::B);
}

/// Everything that can happen to a box, in any order: both slots keep their promise.
#[test]
fn no_sequence_of_events_hides_a_working_slot() {
    type Event = fn(&mut State, Slot);
    let events: [Event; 7] = [
        |state, _| {
            state.choose();
        },
        |state, running| state.confirm(running),
        |state, running| {
            let _ = state.begin_install(running.other(), running);
        },
        |state, running| {
            let _ = state.finish_install(running.other());
        },
        |state, running| {
            let _ = state.roll_back(running);
        },
        |state, running| state.condemn(running),
        |state, _| *state = State::unknown(),
    ];
    for sequence in 0..7_usize.pow(5) {
        let mut state = State::flashed();
        let mut rest = sequence;
        for _ in 0..5 {
            let running = state.clone().choose().slot;
            events[rest % 7](&mut state, running);
            rest /= 7;
        }
        for good in Slot::BOTH {
            let mut now = state;
            assert!(starts_until(&mut now, |slot| slot == good).is_some(), "{sequence}");
        }
    }
}
