//! When a due refresh really runs at a terminal: not in the middle of a ticket, and not without a word.
//!
//! ```text
//!            due                    window ends            asked long enough
//! Resting ────────▶ Announced ────────────────▶ Asking ─────────────────────┐
//!    ▲  ▲             │   │ idle                 │  │ idle                  │
//!    │  └──cancel─────┘   └──────────▶ Running ◀─┘──┼───────────────────────┘
//!    │                                   │          │cancel
//!    └───────────finished────────────────┘◀─────────┘ (to Resting)
//! ```
//!
//! A self-checkout waits silently for a finished ticket, however long that takes: no banner, no popup, no window.
//! A terminal without a window is asked at once.
//! Whatever the machine does not expect in its state changes nothing: tills repeat themselves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long the popup waits for the user before the refresh runs.
pub const ASK: Duration = Duration::from_secs(10);

/// What the banner says.
pub const BANNER: &str = "Master data refresh will happen after this ticket is closed";

/// Who stands at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Attendance {
    /// A cashier.
    Cashier,
    /// The customer.
    SelfCheckout,
}

/// Why the terminal has a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdleReason {
    /// A ticket was closed.
    TicketClosed,
    /// The user came back from cash management.
    CashManagement,
    /// The user came back from cash up.
    CashUp,
    /// The user came back from the self-checkout window.
    SelfCheckout,
    /// The user came back to the sales window from anywhere else.
    Returned,
}

/// What the terminal is to do; shown to it in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Show [`BANNER`].
    ShowBanner,
    /// Ask the user, who may cancel.
    ShowPopup,
    /// Take banner and popup away.
    Hide,
    /// Refresh now.
    Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Resting,
    /// Waiting for a moment; a self-checkout has no end of its window.
    Announced {
        until: Option<Instant>,
    },
    Asking {
        until: Instant,
    },
    Running,
}

/// The machine of one terminal.
#[derive(Debug, Clone)]
pub struct Deferral {
    attendance: Attendance,
    window: Option<Duration>,
    state: State,
    orders: VecDeque<Order>,
}

impl Deferral {
    /// A terminal at rest; `window` is the field "Time to show incremental refresh popup".
    pub fn new(attendance: Attendance, window: Option<Duration>) -> Self {
        Self { attendance, window, state: State::Resting, orders: VecDeque::new() }
    }

    /// The decision table wants an announced incremental refresh.
    pub fn handle_due(&mut self, now: Instant) {
        if self.state != State::Resting {
            return;
        }
        match (self.attendance, self.window) {
            (Attendance::SelfCheckout, _) => self.state = State::Announced { until: None },
            (Attendance::Cashier, Some(window)) => {
                self.state = State::Announced { until: now.checked_add(window) };
                self.orders.push_back(Order::ShowBanner);
            }
            (Attendance::Cashier, None) => self.ask(now),
        }
    }

    /// The terminal has a moment.
    pub fn handle_idle(&mut self, reason: IdleReason) {
        let fits = match self.attendance {
            Attendance::Cashier => true,
            Attendance::SelfCheckout => reason == IdleReason::TicketClosed,
        };
        match self.state {
            State::Announced { .. } | State::Asking { .. } if fits => self.start(),
            State::Resting | State::Announced { .. } | State::Asking { .. } | State::Running => {}
        }
    }

    /// The user does not want it now; the next one comes when it is due again.
    pub fn handle_cancel(&mut self) {
        match self.state {
            State::Announced { .. } | State::Asking { .. } => {
                self.hide();
                self.state = State::Resting;
            }
            State::Resting | State::Running => {}
        }
    }

    /// The refresh ended, well or not.
    pub fn handle_finished(&mut self) {
        if self.state == State::Running {
            self.state = State::Resting;
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Announced { until: Some(until) } if until <= now => self.ask(now),
            State::Asking { until } if until <= now => self.start(),
            State::Resting | State::Announced { .. } | State::Asking { .. } | State::Running => {}
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Announced { until } => until,
            State::Asking { until } => Some(until),
            State::Resting | State::Running => None,
        }
    }

    /// The next order for the terminal.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Whether a refresh is announced, asked for or running.
    pub fn is_pending(&self) -> bool {
        self.state != State::Resting
    }

    fn ask(&mut self, now: Instant) {
        self.state = State::Asking { until: now + ASK };
        self.orders.push_back(Order::ShowPopup);
    }

    fn start(&mut self) {
        self.hide();
        self.state = State::Running;
        self.orders.push_back(Order::Run);
    }

    fn hide(&mut self) {
        if self.attendance == Attendance::Cashier {
            self.orders.push_back(Order::Hide);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
    fn start() -> Instant {
        Instant::now()
    }

    const WINDOW: Duration = Duration::from_secs(300);

    #[derive(Debug, Clone, Copy)]
    enum Input {
        Due,
        Idle(IdleReason),
        Cancel,
        Finished,
        Wait(Duration),
    }
    use IdleReason::{CashManagement, CashUp, Returned, SelfCheckout, TicketClosed};
    use Input::{Cancel, Due, Finished, Idle, Wait};
    use Order::{Hide, Run, ShowBanner, ShowPopup};

    /// Feeds the inputs, with the time-outs that fall in between, and collects what the terminal is told.
    fn play(attendance: Attendance, window: Option<Duration>, inputs: &[Input]) -> Vec<Order> {
        let mut machine = Deferral::new(attendance, window);
        let mut now = start();
        let mut orders = Vec::new();
        for input in inputs {
            match *input {
                Due => machine.handle_due(now),
                Idle(reason) => machine.handle_idle(reason),
                Cancel => machine.handle_cancel(),
                Finished => machine.handle_finished(),
                Wait(time) => {
                    let end = now + time;
                    while let Some(at) = machine.poll_timeout().filter(|at| *at <= end) {
                        now = at;
                        machine.handle_timeout(now);
                    }
                    now = end;
                }
            }
            while let Some(order) = machine.poll_order() {
                orders.push(order);
            }
        }
        orders
    }

    #[test]
    fn the_transition_table() {
        let short = Wait(Duration::from_secs(60));
        let long = Wait(WINDOW);
        let asked = Wait(WINDOW + ASK);
        let cashier: &[(&[Input], &[Order])] = &[
            (&[Idle(TicketClosed), Cancel, Finished, long], &[]),
            (&[Due], &[ShowBanner]),
            (&[Due, Due, short], &[ShowBanner]),
            (&[Due, short, Idle(TicketClosed)], &[ShowBanner, Hide, Run]),
            (&[Due, Idle(CashManagement)], &[ShowBanner, Hide, Run]),
            (&[Due, Idle(CashUp)], &[ShowBanner, Hide, Run]),
            (&[Due, Idle(SelfCheckout)], &[ShowBanner, Hide, Run]),
            (&[Due, Idle(Returned)], &[ShowBanner, Hide, Run]),
            (&[Due, Cancel, long], &[ShowBanner, Hide]),
            (&[Due, long], &[ShowBanner, ShowPopup]),
            (&[Due, long, Cancel, asked], &[ShowBanner, ShowPopup, Hide]),
            (&[Due, long, Idle(TicketClosed)], &[ShowBanner, ShowPopup, Hide, Run]),
            (&[Due, asked], &[ShowBanner, ShowPopup, Hide, Run]),
            (&[Due, Idle(CashUp), Due, Cancel, Idle(CashUp)], &[ShowBanner, Hide, Run]),
            (&[Due, Idle(CashUp), Finished, Due], &[ShowBanner, Hide, Run, ShowBanner]),
            (&[Due, Cancel, Due], &[ShowBanner, Hide, ShowBanner]),
        ];
        for (inputs, orders) in cashier {
            assert_eq!(play(Attendance::Cashier, Some(WINDOW), inputs), *orders, "{inputs:?}");
        }
    }

    #[test]
    fn without_a_window_the_user_is_asked_at_once() {
        assert_eq!(play(Attendance::Cashier, None, &[Due]), [ShowPopup]);
        assert_eq!(play(Attendance::Cashier, None, &[Due, Cancel]), [ShowPopup, Hide]);
        assert_eq!(play(Attendance::Cashier, None, &[Due, Wait(ASK)]), [ShowPopup, Hide, Run]);
    }

    #[test]
    fn a_self_checkout_refreshes_after_a_finished_ticket_and_shows_nothing() {
        let play = |inputs: &[Input]| play(Attendance::SelfCheckout, Some(WINDOW), inputs);
        assert_eq!(play(&[Due, Wait(WINDOW * 100), Idle(CashUp), Idle(Returned)]), []);
        assert_eq!(play(&[Due, Wait(WINDOW), Idle(TicketClosed)]), [Run]);
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let reasons = [TicketClosed, CashManagement, CashUp, SelfCheckout, Returned];
        prop_oneof![
            Just(Due),
            Just(Cancel),
            Just(Finished),
            (0..reasons.len()).prop_map(move |n| Idle(reasons[n])),
            (0u64..600).prop_map(|s| Wait(Duration::from_secs(s))),
        ]
    }

    proptest! {
        #[test]
        fn a_cashier_is_never_surprised_and_nothing_stays_on_the_screen(
            inputs in prop::collection::vec(any_input(), 0..60),
        ) {
            let orders = play(Attendance::Cashier, Some(WINDOW), &inputs);
            let mut shown = false;
            for order in &orders {
                match order {
                    ShowBanner | ShowPopup => shown = true,
                    Run => prop_assert!(!shown, "hidden before it runs"),
                    Hide => {
                        prop_assert!(shown);
                        shown = false;
                    }
                }
            }
            let told = orders.iter().filter(|order| **order == ShowBanner).count();
            let runs = orders.iter().filter(|order| **order == Run).count();
            prop_assert!(runs <= told);
        }
    }
}
