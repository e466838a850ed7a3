//! A shop sells while a hostile host on its LAN pretends, replays and floods; all within a minute.
//!
//! The box, the till and the attacker are on hosts of their own; the attacker has a head office of its own, which has
//! certified a box and a till of the same names.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use storebox::trust::join::Membership;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::estate::{Estate, complaint, said};
use crate::host::{PORT, say};
use crate::lan::lan;
use crate::proc::{now, tell};

const SOON: Duration = Duration::from_secs(20);
/// How long the shop sells under attack.
const SIEGE_MS: u64 = 10_000;
/// Silent connections that the attacker keeps open; the box gives one address 64.
const SILENT: usize = 300;

/// The part of a till that sells for so long and tells how it went.
pub(crate) async fn sell(till: &str, address: &str, time: Duration) {
    let till = Membership::open(Path::new(till)).expect("the till is enrolled");
    let address: SocketAddr = address.parse().expect("an address");
    let (begun, mut sold, mut slowest) = (now(), 0_u64, Duration::ZERO);
    let Ok(mut connection) = till.connect(address).await else {
        say("refused");
        return;
    };
    while begun.elapsed() < time {
        let asked = now();
        sold += 1;
        let sale = json!({
            "key": format!("0192d3a4-5b6c-7000-8000-{sold:012x}"), "kind": "Order",
            "terminal": "till-1", "epoch": 1, "sequence": sold, "lane": format!("ticket:{sold}"),
            "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
            "payload": {"id": format!("order-{sold}"), "gross": "1.00"}
        });
        let taken: Result<serde_json::Value, _> = connection.post("/v1/transactions", &sale).await;
        if let Err(error) = taken {
            say(&format!("failed {error}"));
            return;
        }
        slowest = slowest.max(asked.elapsed());
        // A new connection now and then has to get through too.
        if sold % 20 == 0 {
            let Ok(next) = till.connect(address).await else {
                say("failed to connect again");
                return;
            };
            connection = next;
        }
        storebox_tests::wait::moment(Duration::from_millis(5)).await;
    }
    say(&format!("sold {sold} slowest {}", slowest.as_millis()));
}

/// The part of an attacker that takes all places and says nothing, again and again.
pub(crate) async fn be_silent(address: &str, time: Duration) {
    let address: SocketAddr = address.parse().expect("an address");
    let begun = now();
    let mut silent = JoinSet::new();
    say("silent");
    while begun.elapsed() < time {
        while silent.len() < SILENT {
            silent.spawn(async move {
                if let Ok(stream) = TcpStream::connect(address).await {
                    let _ = stream.readable().await;
                }
            });
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), silent.join_next()).await;
    }
    say("done");
}

#[test]
fn a_shop_sells_while_somebody_on_its_lan_pretends_replays_and_floods() {
    let Some(lan) = lan(&["box", "till", "evil"]) else { return };
    let folder = tempfile::tempdir().expect("a folder for the test");
    let begun = now();
    let (shop, evil) =
        (Estate::found(&lan, "box", folder.path()), Estate::found(&lan, "evil", folder.path()));
    let (_box, _fake) = (shop.start(), evil.start());
    // A fake box of the same name: the slip is not even shown to it, and still good afterwards.
    let slip = shop.slip();
    let lured = complaint(&shop.join("till", "till-1", &slip, "evil"));
    assert!(lured.contains("not of the site on the slip"), "{lured}");
    said(&shop.join("till", "till-1", &slip, "box"));
    // A used slip that was read from the bin.
    let replayed = complaint(&shop.join("evil", "till-2", &slip, "box"));
    assert!(replayed.contains("enrolment_closed"), "{replayed}");
    // A slip of the attacker's own head office at the real box.
    let foreign = complaint(&shop.join("evil", "till-2", &evil.slip(), "box"));
    assert!(foreign.contains("not of the site on the slip"), "{foreign}");
    let till = shop.path("till-1");
    let at = |host: &str| format!("{}:{PORT}", lan.address(host));
    // A till that is enrolled and lured to the fake box walks away.
    let lured = json!({"address": at("evil"), "time_ms": 1, "memory": till});
    lan.play("till", "seller", &lured).wait(SOON, |line| line.starts_with("@refused"));
    let attack = json!({"address": at("box"), "time_ms": SIEGE_MS + 2_000});
    let mut silent = lan.play("evil", "silent", &attack);
    silent.wait(SOON, |line| line == "@silent");
    let forged = json!({"address": lan.address("evil"), "packets": 2_000});
    let _flood = lan.play("evil", "flood", &forged);
    let work = json!({"address": at("box"), "time_ms": SIEGE_MS, "memory": till});
    let mut seller = lan.play("till", "seller", &work);
    let patience = Duration::from_millis(SIEGE_MS) + SOON;
    let (_, line) = seller.wait(patience, |line| line.starts_with('@'));
    let words: Vec<_> = line.split_whitespace().collect();
    let ["@sold", sold, "slowest", slowest] = words[..] else { panic!("{line}") };
    let (sold, slowest): (u64, u64) =
        (sold.parse().expect("a number"), slowest.parse().expect("a number"));
    tell(&format!("under attack {sold} tickets in {SIEGE_MS} ms, the slowest took {slowest} ms"));
    assert!(sold > 100, "{sold}");
    assert!(slowest < 2_000, "{slowest} ms");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
