//! Which refresh, if any: the rules that shops have worked by for years, as one pure function.
//!
//! The order of the rules is their meaning: the first that fits decides.
//! Whether something is due is computed apart ([`is_due`]), so the table can be tested over all its inputs.
//!
//! Read exactly: the timer of a terminal that is logged in never asks for a full refresh, not even after a failed one;
//! the rules "first use" and "last full failed" are settled at the login that such a session began with.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What head office configured for a terminal, or for a box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// Time to fully refresh masterdata, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_minutes: Option<NonZeroU32>,
    /// Time to incrementally refresh masterdata, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incremental_minutes: Option<NonZeroU32>,
    /// The preference "No Auto Incremental Load at Login".
    pub no_auto_incremental_at_login: bool,
}

/// What is known of earlier refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Nothing was ever loaded, or it is gone.
    pub first_use_or_cache_lost: bool,
    /// The last full refresh did not succeed.
    pub last_full_failed: bool,
    /// The last incremental refresh did not succeed.
    pub last_incremental_failed: bool,
    /// The time for a full refresh has run out.
    pub full_due: bool,
    /// The time for an incremental refresh has run out.
    pub incremental_due: bool,
}

/// What happened that a decision is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A user logs in, or a box starts.
    Login,
    /// The timer ran while a user is logged in.
    Timer,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "refresh")]
pub enum Decision {
    /// Load everything.
    #[serde(rename_all = "camelCase")]
    Full {
        /// There is nothing good to fall back to; in the compatible mode a failure refuses the login.
        must_succeed: bool,
    },
    /// Load what changed.
    #[serde(rename_all = "camelCase")]
    Incremental {
        /// The user is told first and may cancel.
        announced: bool,
    },
    /// Go on with what is there.
    Nothing,
}

/// The table; the number of each line is the rule's.
pub fn decide(policy: &Policy, past: &Past, occasion: Occasion) -> Decision {
    const INCREMENTAL: Decision = Decision::Incremental { announced: false };
    let full = policy.full_minutes.is_some();
    let incremental = policy.incremental_minutes.is_some();
    let no_auto = policy.no_auto_incremental_at_login;
    match occasion {
        Occasion::Login => match () {
            () if past.first_use_or_cache_lost => Decision::Full { must_succeed: true }, // 1
            () if past.last_full_failed => Decision::Full { must_succeed: true },        // 2
            () if !incremental && !no_auto => Decision::Full { must_succeed: false },    // 3
            () if full && past.full_due => Decision::Full { must_succeed: false },       // 4
            () if incremental && past.last_incremental_failed => INCREMENTAL,            // 5
            () if incremental && !no_auto => INCREMENTAL,                                // 6
            () if incremental && no_auto && past.incremental_due => INCREMENTAL,         // 7
            () => Decision::Nothing,                                                     // 8
        },
        Occasion::Timer if incremental && past.incremental_due => {
            Decision::Incremental { announced: true } // 9
        }
        Occasion::Timer => Decision::Nothing,
    }
}

/// Whether the time has run out since the last success; without a period never, without a success always.
///
/// A last success in the future means that the clock went back: nothing can be said about the age, so it is due.
pub fn is_due(every: Option<NonZeroU32>, last: Option<Timestamp>, now: Timestamp) -> bool {
    let Some(minutes) = every else { return false };
    let Some(last) = last else { return true };
    let age_ms = now.unix_ms() - last.unix_ms();
    age_ms < 0 || age_ms >= i64::from(minutes.get()) * 60_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL_MUST: Decision = Decision::Full { must_succeed: true };
    const FULL: Decision = Decision::Full { must_succeed: false };
    const QUIET: Decision = Decision::Incremental { announced: false };
    const ANNOUNCED: Decision = Decision::Incremental { announced: true };

    const FINE: Past = Past {
        first_use_or_cache_lost: false,
        last_full_failed: false,
        last_incremental_failed: false,
        full_due: false,
        incremental_due: false,
    };

    fn policy(full: u32, incremental: u32, no_auto: bool) -> Policy {
        Policy {
            full_minutes: NonZeroU32::new(full),
            incremental_minutes: NonZeroU32::new(incremental),
            no_auto_incremental_at_login: no_auto,
        }
    }

    fn login(policy: Policy, past: Past) -> Decision {
        decide(&policy, &past, Occasion::Login)
    }

    #[test]
    fn line_1_first_use_or_a_lost_cache_takes_everything() {
        let past = Past { first_use_or_cache_lost: true, ..FINE };
        assert_eq!(login(policy(0, 0, true), past), FULL_MUST);
        assert_eq!(login(policy(60, 5, false), past), FULL_MUST);
    }

    #[test]
    fn line_2_a_failed_full_refresh_is_repeated() {
        let past = Past { last_full_failed: true, ..FINE };
        assert_eq!(login(policy(60, 5, true), past), FULL_MUST);
        assert_eq!(login(policy(0, 0, true), past), FULL_MUST);
    }

    #[test]
    fn line_3_without_an_incremental_period_every_login_is_full() {
        assert_eq!(login(policy(60, 0, false), FINE), FULL);
        assert_eq!(login(policy(0, 0, false), FINE), FULL);
        assert_eq!(decide(&policy(0, 0, false), &FINE, Occasion::Timer), Decision::Nothing);
    }

    #[test]
    fn line_4_a_full_refresh_that_is_due_goes_first() {
        let past =
            Past { full_due: true, incremental_due: true, last_incremental_failed: true, ..FINE };
        assert_eq!(login(policy(60, 5, false), past), FULL);
        assert_eq!(login(policy(60, 5, true), past), FULL);
        assert_eq!(login(policy(0, 5, true), past), QUIET, "no period, so it cannot be due");
    }

    #[test]
    fn line_5_a_failed_incremental_is_made_up_for_whatever_the_preference() {
        let past = Past { last_incremental_failed: true, ..FINE };
        assert_eq!(login(policy(60, 5, true), past), QUIET);
        assert_eq!(login(policy(60, 0, true), past), Decision::Nothing, "only where it is defined");
    }

    #[test]
    fn line_6_every_login_is_incremental_without_the_preference() {
        assert_eq!(login(policy(60, 5, false), FINE), QUIET);
        assert_eq!(login(policy(0, 5, false), FINE), QUIET);
    }

    #[test]
    fn line_7_with_the_preference_an_incremental_runs_when_due() {
        let past = Past { incremental_due: true, ..FINE };
        assert_eq!(login(policy(60, 5, true), past), QUIET);
    }

    #[test]
    fn line_8_otherwise_nothing() {
        assert_eq!(login(policy(60, 5, true), FINE), Decision::Nothing);
        assert_eq!(login(policy(0, 0, true), FINE), Decision::Nothing);
    }

    #[test]
    fn line_9_the_timer_announces_an_incremental_and_never_a_full() {
        let past = Past { full_due: true, incremental_due: true, last_full_failed: true, ..FINE };
        assert_eq!(decide(&policy(60, 5, true), &past, Occasion::Timer), ANNOUNCED);
        assert_eq!(decide(&policy(60, 0, true), &past, Occasion::Timer), Decision::Nothing);
        assert_eq!(decide(&policy(60, 5, false), &FINE, Occasion::Timer), Decision::Nothing);
    }

    #[test]
    fn mdr_12_first_use_or_deleted_cache_is_full() {
        line_1_first_use_or_a_lost_cache_takes_everything();
    }

    #[test]
    fn mdr_13_after_a_failed_full_the_login_waits_for_a_full() {
        for incremental_failed in [false, true] {
            let past = Past {
                last_full_failed: true,
                last_incremental_failed: incremental_failed,
                ..FINE
            };
            assert_eq!(login(policy(60, 5, false), past), FULL_MUST);
        }
    }

    #[test]
    fn mdr_14_undefined_incremental_means_full_at_login_and_no_periodic_one() {
        let due = Past { full_due: true, incremental_due: true, ..FINE };
        for past in [FINE, due] {
            assert_eq!(login(policy(60, 0, false), past), FULL);
            assert_eq!(decide(&policy(60, 0, false), &past, Occasion::Timer), Decision::Nothing);
        }
    }

    #[test]
    fn mdr_15_both_defined_without_preference_full_if_due_else_always_incremental() {
        assert_eq!(login(policy(60, 5, false), Past { full_due: true, ..FINE }), FULL);
        assert_eq!(login(policy(60, 5, false), FINE), QUIET);
    }

    #[test]
    fn mdr_16_undefined_incremental_with_preference_full_if_due_else_nothing() {
        assert_eq!(login(policy(60, 0, true), Past { full_due: true, ..FINE }), FULL);
        assert_eq!(login(policy(60, 0, true), FINE), Decision::Nothing);
    }

    #[test]
    fn mdr_17_both_defined_with_preference_what_is_due_else_nothing() {
        let both = Past { full_due: true, incremental_due: true, ..FINE };
        assert_eq!(login(policy(60, 5, true), both), FULL);
        assert_eq!(login(policy(60, 5, true), Past { incremental_due: true, ..FINE }), QUIET);
        assert_eq!(login(policy(60, 5, true), FINE), Decision::Nothing);
    }

    #[test]
    fn mdr_18_a_failed_incremental_beats_the_preference_at_the_next_login() {
        let past = Past { last_incremental_failed: true, ..FINE };
        assert_eq!(login(policy(60, 5, true), past), QUIET);
    }

    #[test]
    fn mdr_19_without_a_full_period_the_first_is_full_and_then_only_changes() {
        let past = Past { first_use_or_cache_lost: true, ..FINE };
        assert_eq!(login(policy(0, 5, false), past), FULL_MUST);
        assert_eq!(login(policy(0, 5, false), Past { full_due: true, ..FINE }), QUIET);
    }

    #[test]
    fn over_all_inputs_the_promises_of_the_table_hold() {
        for bits in 0u32..1 << 9 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let policy = policy(u32::from(bit(0)) * 60, u32::from(bit(1)) * 5, bit(2));
            let past = Past {
                first_use_or_cache_lost: bit(3),
                last_full_failed: bit(4),
                last_incremental_failed: bit(5),
                full_due: bit(6),
                incremental_due: bit(7),
            };
            let occasion = if bit(8) { Occasion::Timer } else { Occasion::Login };
            let decision = decide(&policy, &past, occasion);
            let must = past.first_use_or_cache_lost || past.last_full_failed;
            let timer = occasion == Occasion::Timer;
            assert_eq!(decision == FULL_MUST, must && !timer, "{bits:b}");
            assert_eq!(decision == ANNOUNCED, timer && bit(1) && past.incremental_due, "{bits:b}");
            if matches!(decision, Decision::Incremental { .. }) {
                assert!(policy.incremental_minutes.is_some(), "{bits:b}");
            }
            if decision == FULL {
                assert!(
                    !policy.no_auto_incremental_at_login || (bit(0) && past.full_due),
                    "{bits:b}"
                );
            }
            if timer {
                assert!(!matches!(decision, Decision::Full { .. }), "{bits:b}");
            }
        }
    }

    #[test]
    fn due_is_a_matter_of_age_and_a_clock_that_went_back_is_due() {
        let at = Timestamp::from_unix_ms;
        let five = NonZeroU32::new(5);
        assert!(!is_due(None, None, at(0)));
        assert!(is_due(five, None, at(0)));
        assert!(!is_due(five, Some(at(1_000)), at(300_999)));
        assert!(is_due(five, Some(at(1_000)), at(301_000)));
        assert!(is_due(five, Some(at(2_000)), at(1_000)));
    }
}
