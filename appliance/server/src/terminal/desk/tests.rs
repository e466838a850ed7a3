use super::*;
use crate::config::TerminalDefaults;
use serde_json::{Map, Value, json};

struct Shop {
    desk: Desk,
    profile: Profile,
    start: Instant,
    _dir: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn start() -> Instant {
    Instant::now()
}

impl Shop {
    fn with(record: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let look = |model: &str, _: &str, _: &str| -> Option<Map<String, Value>> {
            (model == "Terminal").then(|| record.as_object().cloned()).flatten()
        };
        let till = "till-1".parse().unwrap();
        let profile = Profile::assemble(&till, 1, &look, &TerminalDefaults::default());
        Self { desk: Desk::open(dir.path()), profile, start: start(), _dir: dir }
    }

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_unix_ms(i64::try_from(minute * 60_000).unwrap())
    }

    fn login(&self, minute: u64) -> Welcome {
        let now = self.start + Duration::from_secs(minute * 60);
        self.desk.login(&self.profile, false, Self::at(minute), now)
    }

    fn event(&self, minute: u64, happening: Happening) -> Orders {
        let now = self.start + Duration::from_secs(minute * 60);
        self.desk.event(&self.profile, happening, Self::at(minute), now)
    }

    fn loaded(&self, minute: u64, extent: Extent, succeeded: bool) -> Verdict {
        let report = Report { extent, succeeded, models: Vec::new(), took_ms: 0, error: None };
        self.desk.refreshed(&self.profile, report, Self::at(minute)).unwrap()
    }
}

#[test]
fn a_first_login_loads_everything_and_the_next_what_changed() {
    let shop = Shop::with(json!({}));
    assert_eq!(shop.login(0).plan, Decision::Full { must_succeed: true });
    shop.loaded(1, Extent::Full, true);
    let welcome = shop.login(2);
    assert_eq!(welcome.plan, Decision::Incremental { announced: false });
    assert_eq!(welcome.timer_ms, 9 * 60_000);
    assert_eq!(welcome.popup_window_s, 300);
}

#[test]
fn a_due_refresh_is_announced_and_runs_when_the_ticket_closes() {
    let shop = Shop::with(json!({}));
    shop.login(0);
    shop.loaded(0, Extent::Full, true);
    assert_eq!(shop.event(5, Happening::TicketClosed).orders, []);
    let due = shop.event(10, Happening::Timer);
    assert_eq!((due.orders, due.timer_ms), (vec![Order::ShowBanner], 300_000));
    let closed = shop.event(12, Happening::TicketClosed);
    assert_eq!(closed.orders, [Order::Hide, Order::Run]);
    shop.loaded(13, Extent::Incremental, true);
    assert!(!shop.event(14, Happening::Returned).pending);
}

#[test]
fn a_window_that_ends_without_a_moment_asks_and_then_runs() {
    let shop = Shop::with(json!({}));
    shop.login(0);
    shop.loaded(0, Extent::Full, true);
    shop.event(10, Happening::Timer);
    let asked = shop.event(15, Happening::Timer);
    assert_eq!((asked.orders, asked.timer_ms), (vec![Order::ShowPopup], 10_000));
    assert_eq!(shop.event(16, Happening::Timer).orders, [Order::Hide, Order::Run]);
}

#[test]
fn a_cancelled_refresh_comes_back_after_another_period() {
    let shop = Shop::with(json!({}));
    shop.login(0);
    shop.loaded(0, Extent::Full, true);
    shop.event(10, Happening::Timer);
    let cancelled = shop.event(11, Happening::Cancel);
    assert_eq!((cancelled.orders, cancelled.pending), (vec![Order::Hide], false));
    assert_eq!(shop.event(20, Happening::Timer).orders, []);
    assert_eq!(shop.event(21, Happening::Timer).orders, [Order::ShowBanner]);
}

#[test]
fn a_self_checkout_refreshes_after_a_finished_ticket_without_a_banner() {
    let shop = Shop::with(json!({"selfCheckout": true}));
    shop.login(0);
    shop.loaded(0, Extent::Full, true);
    assert_eq!(shop.event(12, Happening::Timer).orders, []);
    assert_eq!(shop.event(13, Happening::CashUp).orders, []);
    assert_eq!(shop.event(14, Happening::TicketClosed).orders, [Order::Run]);
}

#[test]
fn a_failed_full_refresh_logs_out_in_the_compatible_mode_only() {
    let mut shop = Shop::with(json!({}));
    assert_eq!(shop.loaded(0, Extent::Full, false), Verdict::Work);
    shop.profile.refuse_login_after_failed_full = true;
    assert_eq!(shop.loaded(1, Extent::Full, false), Verdict::LogOut);
    assert_eq!(shop.login(2).plan, Decision::Full { must_succeed: true });
}

#[test]
fn an_event_without_a_login_is_answered_all_the_same() {
    let shop = Shop::with(json!({}));
    let answer = shop.event(0, Happening::TicketClosed);
    assert!(answer.pending, "nothing was ever loaded, so an incremental refresh is due at once");
}
