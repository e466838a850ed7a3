use proptest::prelude::*;
use storebox_proto::time::Timestamp;

use super::*;
use crate::status::{
    ChannelsStatus, DeliveryStatus, DeviceTrouble, FeedStatus, HookStatus, LedgerStatus,
    MachineStatus, PushFigures, TaskLine,
};
use crate::status::{RefusedSettings, SettingsStatus, VisitStatus};

const HEAD_OFFICE: &str = "https://office.example";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn status() -> Status {
    Status {
        node: "store-1".to_owned(),
        role: "store".to_owned(),
        version: "1.0.0".to_owned(),
        public_key: String::new(),
        uptime_s: 100,
        now: at("2026-11-22T10:30:00Z"),
        clock: ClockConfidence::Plausible,
        findings: Vec::new(),
        ready: true,
        reasons: Vec::new(),
        feeds: Vec::new(),
        namesake: None,
        drill: None,
        settings: None,
        visit: None,
        outbox: Some(OutboxStatus { held_max: 1000, ..OutboxStatus::default() }),
        ledger: None,
        listeners: Vec::new(),
        trust: None,
        deliveries: Vec::new(),
        channels: None,
        lines: vec![line("masterdata", true), line("transactions", true)],
        broken_rules: Vec::new(),
        sources: Vec::new(),
        devices: Vec::new(),
        machine: MachineStatus::default(),
        update: None,
        clients: Vec::new(),
        tasks: Vec::new(),
    }
}

fn line(service: &str, up: bool) -> LineStatus {
    LineStatus {
        to: HEAD_OFFICE.to_owned(),
        service: service.to_owned(),
        up,
        detail: String::new(),
        is_refused: false,
        since: Some(at("2026-11-22T10:02:59Z")),
    }
}

fn said(status: &Status) -> String {
    findings(status).remove(0).text
}

#[test]
fn a_shop_without_trouble_sells_normally() {
    let mut quiet = status();
    assert_eq!(said(&quiet), "Selling normally");
    quiet.outbox.as_mut().unwrap().waiting = 1;
    assert_eq!(said(&quiet), "Selling normally, 1 sale on the way to head office");
    (quiet.outbox, quiet.ledger) = (None, Some(LedgerStatus::default()));
    assert_eq!(said(&quiet), "Serving the shops normally");
}

#[test]
fn a_ledger_that_settles_nothing_is_told_with_what_to_do() {
    let of = |failed, index_failed| {
        let ledger = Some(LedgerStatus { failed, index_failed, ..LedgerStatus::default() });
        let found = findings(&Status { outbox: None, ledger, ..status() }).remove(0);
        assert!(found.level == Level::Good || found.advice.is_some(), "{found:?}");
        (found.code, found.level)
    };
    assert_eq!(of(false, false).0, "normal");
    assert_eq!(of(false, true), ("ledger_index_failed".to_owned(), Level::Notice));
    for index_failed in [false, true] {
        assert_eq!(of(true, index_failed), ("ledger_failed".to_owned(), Level::Bad));
    }
}

#[test]
fn definitions_that_break_a_rule_are_told_by_its_name_while_the_shop_sells() {
    let mut broken = status();
    broken.broken_rules = vec!["rule \"SRC-32 customers\": here".to_owned()];
    let found = findings(&broken);
    let sentence = "The definitions of servers break a rule: rule \"SRC-32 customers\": here";
    assert_eq!((&*found[0].code, &*found[0].text), ("definitions", sentence));
    assert_eq!(found[0].level, Level::Notice, "nothing stands still");
    broken.broken_rules.push("rule \"SRC-33 cash-ups\": there".to_owned());
    assert_eq!(said(&broken), format!("{sentence}, and 1 rule more"));
}

#[test]
fn a_drill_is_told_as_one_and_not_as_a_broken_line() {
    let mut cut = status();
    cut.lines = vec![line("masterdata", false), line("transactions", false)];
    cut.outbox.as_mut().unwrap().waiting = 2;
    let (since, until) = (at("2026-11-22T10:29:00Z"), at("2026-11-22T10:42:00Z"));
    cut.drill = Some(crate::status::DrillStatus { by: "anna".to_owned(), since, until });
    let found = findings(&cut);
    let sentence =
        "A drill cuts the line to head office until 10:42 UTC, 2 sales waiting, selling continues";
    assert_eq!((found.len(), found[0].text.as_str(), found[0].at), (1, sentence, Some(until)));
    cut.lines[1].is_refused = true;
    assert_eq!(findings(&cut)[0].code, "line_refused");
    let cut = cut.summary();
    assert_eq!(cut.drill.as_ref().unwrap().by, "", "a passer-by is not told who");
    let says_who = |finding: &Finding| finding.text.contains("ann");
    assert!(!cut.findings.iter().any(says_who), "{:?}", cut.findings);
}

#[test]
fn a_cut_line_says_since_when_what_waits_and_that_selling_continues() {
    let mut cut = status();
    cut.lines = vec![line("masterdata", false), line("transactions", false)];
    cut.outbox.as_mut().unwrap().waiting = 14;
    let sentence = "Head office unreachable since 10:02 UTC, 14 sales waiting, selling continues";
    assert_eq!(said(&cut), sentence);
    assert_eq!(findings(&cut).len(), 1, "two services of one server are one finding");
    cut.now = at("2026-11-23T08:00:00Z");
    assert!(said(&cut).contains("since 2026-11-22 10:02 UTC"), "{}", said(&cut));
    cut.lines.iter_mut().for_each(|line| line.since = None);
    assert!(said(&cut).contains("unreachable since this box started"), "{}", said(&cut));
    cut.outbox.as_mut().unwrap().failed = true;
    assert!(findings(&cut).iter().all(|finding| !finding.text.contains("selling continues")));
}

#[test]
fn a_line_of_masterdata_alone_and_a_further_server_are_told_apart() {
    let mut half = status();
    half.lines[0].up = false;
    assert_eq!(said(&half), "Head office sends no masterdata since 10:02 UTC, selling continues");
    half.lines[0].up = true;
    half.lines.push(LineStatus { to: "http://archive".to_owned(), ..line("transactions", false) });
    assert_eq!(said(&half), "The server http://archive is unreachable since 10:02 UTC");
    half.lines[1] = LineStatus { is_refused: true, ..line("transactions", false) };
    let sentence = "Head office does not let this box in since 10:02 UTC, selling continues";
    assert_eq!(said(&half), sentence);
}

#[test]
fn a_proxy_that_does_not_work_is_named_before_what_lies_behind_it() {
    let mut shop = status();
    shop.lines[1].up = false;
    let detail = "the proxy http://10.0.0.9:3128 does not answer: connection refused".to_owned();
    let to = "http://10.0.0.9:3128".to_owned();
    shop.lines.push(LineStatus { to, detail, ..line("proxy", false) });
    let found = findings(&shop);
    assert_eq!(found[0].code, "proxy_down");
    let sentence =
        "The proxy http://10.0.0.9:3128 does not work since 10:02 UTC, selling continues";
    assert_eq!(said(&shop), sentence);
    assert!(found[0].advice.as_deref().unwrap().contains("connection refused"), "{found:?}");
    assert_eq!(found.len(), 2, "head office is away with it: {found:?}");
}

#[test]
fn a_server_that_the_proxy_refuses_is_told_with_what_the_proxy_says_and_not_as_a_broken_proxy() {
    let mut shop = status();
    let said = "the proxy http://10.0.0.9:3128 does not connect to office.example:443: \
                it answers 403 Forbidden";
    shop.lines[1] =
        LineStatus { detail: format!("tried again, {said}"), ..line("transactions", false) };
    let archive = LineStatus { to: "http://archive".to_owned(), ..line("deliver a", false) };
    shop.lines.push(LineStatus { detail: said.to_owned(), ..archive });
    let to = "http://10.0.0.9:3128".to_owned();
    shop.lines.push(LineStatus { to, ..line("proxy", true) });
    let found = findings(&shop);
    let codes: Vec<_> = found.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["line_down", "server_down"]);
    for finding in &found {
        let advice = finding.advice.as_deref().unwrap();
        assert!(advice.contains(said), "{advice}");
        assert!(!advice.contains("tried again") && !advice.contains("cable"), "{advice}");
    }
}

#[test]
fn a_printer_without_paper_is_named_with_what_to_do() {
    let mut shop = status();
    shop.devices.push(DeviceStatus {
        id: "till-3".to_owned(),
        kind: "printer".to_owned(),
        link: "open".to_owned(),
        trouble: Some(DeviceTrouble {
            code: "paper_out".to_owned(),
            words: "it is out of paper".to_owned(),
        }),
        ..DeviceStatus::default()
    });
    shop.lines[1].up = false;
    let found = findings(&shop);
    assert_eq!(found[0].text, "Receipt printer till-3 is out of paper");
    assert_eq!(found[0].code, "printer_paper_out");
    assert!(found[0].advice.as_deref().unwrap().contains("roll"));
    shop.devices[0].till = "till 3".to_owned();
    assert_eq!(findings(&shop)[0].text, "Receipt printer at till 3 is out of paper");
    assert_eq!(found.len(), 2, "the line that is down is told too");
}

#[test]
fn a_detour_of_sales_and_what_a_company_system_refuses_are_told() {
    let mut shop = status();
    let source = |id: &str, kind: &str, up: bool, chosen: bool| SourceStatus {
        id: id.to_owned(),
        kind: kind.to_owned(),
        to: HEAD_OFFICE.to_owned(),
        priority: 1,
        service: "transactions".to_owned(),
        chosen,
        up,
        fault: None,
        last_fault: None,
        down_s: None,
        probe_in_s: None,
        opened: 0,
    };
    shop.sources =
        vec![source("main", "primary", true, true), source("store-2", "peer", true, false)];
    assert_eq!(said(&shop), "Selling normally");
    shop.sources =
        vec![source("main", "primary", false, false), source("store-2", "peer", true, true)];
    let sentence = "Head office is unreachable directly, sales go by way of store-2";
    assert_eq!(said(&shop), sentence);
    shop.deliveries =
        vec![DeliveryStatus { id: "erp".to_owned(), aside: 2, ..DeliveryStatus::default() }];
    assert_eq!(said(&shop), "2 settled sales wait for a person: erp did not get them");
}

#[test]
fn the_chains_own_programs_are_told_of_and_a_target_that_was_only_restarted_is_not() {
    let mut shop = status();
    let push = |minutes: i64, dead: u64| PushFigures {
        id: "prices".to_owned(),
        waiting: 3,
        dead,
        failing_since: Some(Timestamp::from_unix_ms(shop.now.unix_ms() - minutes * 60_000)),
        error: Some("connection refused".to_owned()),
        ..PushFigures::default()
    };
    let (short, long) = (push(5, 0), push(30, 1));
    shop.channels = Some(ChannelsStatus { pushes: vec![short], ..ChannelsStatus::default() });
    assert_eq!(said(&shop), "Selling normally");
    shop.channels = Some(ChannelsStatus {
        hooks_dead: 1,
        hooks_missed: 2,
        hooks: vec![HookStatus { last_error: Some("no".to_owned()), ..HookStatus::default() }],
        pushes: vec![long],
        ..ChannelsStatus::default()
    });
    let told: Vec<_> = findings(&shop).into_iter().map(|finding| finding.text).collect();
    let expected = [
        "1 hook after a sale failed for good; the sales themselves are safe",
        "2 hooks after sales could not be kept; the sales themselves are safe",
        "The target of push prices refused 1 change",
        "The target of push prices is away since 10:00 UTC, 3 changes wait",
    ];
    assert_eq!(told, expected);
    let channels = shop.summary().channels.unwrap();
    assert_eq!((&channels.hooks[0].last_error, &channels.pushes[0].error), (&None, &None));
}

fn arb_line() -> impl Strategy<Value = LineStatus> {
    let server = prop::sample::select(vec![HEAD_OFFICE, "http://archive", "http://peer"]);
    let service = prop::sample::select(vec!["masterdata", "transactions"]);
    (server, service, any::<bool>(), any::<bool>(), prop::option::of(0i64..2_000_000_000_000))
        .prop_map(|(to, service, up, is_refused, since)| LineStatus {
            to: to.to_owned(),
            up,
            is_refused: is_refused && !up,
            since: since.map(Timestamp::from_unix_ms),
            ..line(service, up)
        })
}

fn arb_device() -> impl Strategy<Value = DeviceStatus> {
    let kind = prop::sample::select(vec!["printer", "scale", "display", "scanner", "other"]);
    let link = prop::sample::select(vec!["open", "away", "starting"]);
    let words =
        prop::sample::select(vec!["it is out of paper", "its cover is open", "odd \n words"]);
    let trouble =
        prop::option::of(words.prop_map(|words| DeviceTrouble {
            code: "paper_out".to_owned(),
            words: words.to_owned(),
        }));
    ("[a-z0-9-]{1,32}", kind, link, trouble, 0u64..3).prop_map(
        |(id, kind, link, trouble, in_doubt)| DeviceStatus {
            id,
            till: String::new(),
            kind: kind.to_owned(),
            link: link.to_owned(),
            trouble,
            waiting: 0,
            in_doubt,
            state: String::new(),
        },
    )
}

fn arb_outbox() -> impl Strategy<Value = Option<OutboxStatus>> {
    let numbers =
        (0u64..12, 0u64..4, 0u64..3, prop::sample::select(vec![0u64, 8, 1000]), any::<bool>());
    prop::option::of(numbers.prop_map(|(waiting, quarantined, conflicts, held_max, failed)| {
        let quarantined = quarantined.min(waiting);
        OutboxStatus {
            waiting,
            quarantined,
            conflicts,
            held_max,
            failed,
            ..OutboxStatus::default()
        }
    }))
}

fn arb_machine() -> impl Strategy<Value = MachineStatus> {
    let disk = prop::option::of((0u64..101, 100u64..101));
    (disk, prop::option::of(0u8..111), prop::option::of(-20i32..120)).prop_map(
        |(disk, wear_percent, temperature_c)| MachineStatus {
            disk_free_bytes: disk.map(|disk| disk.0),
            disk_total_bytes: disk.map(|disk| disk.1),
            wear_percent,
            temperature_c,
            memory_bytes: None,
            slots: None,
            vault_locked: false,
        },
    )
}

fn arb_status() -> impl Strategy<Value = Status> {
    let reasons = prop::collection::vec(
        prop::sample::select(vec![
            super::super::STOPPING,
            super::super::NO_MASTERDATA,
            "the outbox does not answer",
        ]),
        0..2,
    );
    let clock = prop::sample::select(vec![ClockConfidence::Plausible, ClockConfidence::Wrong]);
    let feed_error = prop::option::of("[a-z ]{0,200}");
    let task = prop::sample::select(vec!["running", "pausing"]);
    (
        (reasons, clock, feed_error, task, any::<bool>()),
        (
            prop::collection::vec(arb_line(), 0..5),
            prop::collection::vec(arb_device(), 0..4),
            arb_outbox(),
            arb_machine(),
        ),
    )
        .prop_map(
            |((reasons, clock, last_error, task, ledger), (lines, devices, outbox, machine))| {
                let (node, state) = ("x".to_owned(), "following".to_owned());
                let published = Timestamp::from_unix_ms(0);
                Status {
                    ready: reasons.is_empty(),
                    reasons: reasons.into_iter().map(str::to_owned).collect(),
                    clock,
                    feeds: vec![FeedStatus {
                        feed: "catalogue".to_owned(),
                        epoch: 1,
                        revision: 1,
                        published,
                        excerpt: None,
                        records: 0,
                        state,
                        last_error,
                    }],
                    ledger: ledger.then(LedgerStatus::default),
                    tasks: vec![TaskLine {
                        name: node,
                        state: task.to_owned(),
                        restarts: 0,
                        last_error: None,
                    }],
                    lines,
                    devices,
                    outbox,
                    machine,
                    ..status()
                }
            },
        )
}

/// Whether anything at all is not as it should be, said without the function under test.
fn is_spotless(status: &Status) -> bool {
    let machine = &status.machine;
    let disk = machine.disk_free_bytes.is_none_or(|free| free >= 5);
    status.ready
        && status.lines.iter().all(|line| line.up)
        && status.feeds.iter().all(|feed| feed.last_error.is_none())
        && status.tasks.iter().all(|task| task.state == "running")
        && status
            .devices
            .iter()
            .all(|device| device.trouble.is_none() && device.link != "away" && device.in_doubt == 0)
        && status.outbox.as_ref().is_none_or(|outbox| {
            outbox.quarantined == 0
                && outbox.conflicts == 0
                && !outbox.failed
                && (outbox.held_max == 0 || outbox.waiting < outbox.held_max)
        })
        && status.clock != ClockConfidence::Wrong
        && disk
        && machine.wear_percent.is_none_or(|wear| wear <= 90)
        && machine.temperature_c.is_none_or(|degrees| degrees <= 85)
}

proptest! {
    #[test]
    fn the_sentence_of_any_state_is_true(status in arb_status()) {
        let found = findings(&status);
        let sentence = found[0].text.as_str();
        prop_assert_eq!(sentence.contains("normally"), is_spotless(&status), "{}", sentence);
        prop_assert_eq!(found[0].level == Level::Good, is_spotless(&status));
        let takes_sales = status.ready && status.outbox.as_ref().is_some_and(|outbox| {
            !outbox.failed && (outbox.held_max == 0 || outbox.waiting < outbox.held_max)
        });
        for finding in &found {
            prop_assert!(takes_sales || !finding.text.contains("selling continues"), "{}", finding.text);
            prop_assert!(finding.level == Level::Good || finding.advice.is_some(), "{:?}", finding);
            prop_assert!(!finding.text.ends_with('.') && !finding.text.contains('\n'));
            prop_assert!(finding.text.chars().count() < 300, "{}", finding.text);
        }
        if sentence.contains("unreachable") || sentence.contains("no masterdata since") {
            prop_assert!(status.lines.iter().any(|line| !line.up));
        }
        if let Some(outbox) = &status.outbox {
            let says = |part: &str| found.iter().any(|finding| finding.text.contains(part));
            let waiting = format!("{} sale", outbox.waiting);
            prop_assert!(!says(" waiting") || says(&waiting) || says("refused: "), "{:?}", found);
            prop_assert_eq!(says("refused sale"), outbox.quarantined > 0);
        }
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        prop_assert!(levels.is_sorted_by(|a, b| a >= b), "{:?}", levels);
    }
}

#[test]
fn what_head_office_does_with_a_box_is_said_and_stops_nothing() {
    let mut seen = status();
    seen.visit = Some(VisitStatus {
        by: "anna".to_owned(),
        since: at("2026-11-22T10:02:00Z"),
        until: at("2026-11-22T10:32:00Z"),
    });
    assert_eq!(said(&seen), "Head office may look at this box until 10:32 UTC");
    let mut seen = status();
    let refused = RefusedSettings { revision: 7, why: "key log.level: no such level".to_owned() };
    let state = "proven".to_owned();
    seen.settings =
        Some(SettingsStatus { state, refused: Some(refused), ..SettingsStatus::default() });
    let found = findings(&seen).remove(0);
    assert_eq!(
        (found.level, found.text.as_str()),
        (
            Level::Notice,
            "Settings 7 of head office are not in force here: key log.level: no such level"
        )
    );
}

#[test]
fn a_second_box_of_the_same_name_is_a_matter_for_a_person() {
    let seen = Status { namesake: Some("10.0.0.7:8080".to_owned()), ..status() };
    let found = findings(&seen).remove(0);
    assert_eq!((found.level, found.code.as_str()), (Level::Bad, "namesake"));
    assert_eq!(found.text, "Another box in this shop says that it is this one, at 10.0.0.7:8080");
}
