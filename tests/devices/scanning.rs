//! Scanners and displays: what is read reaches the till whole, what the till shows reaches the customer.

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value, json};
use storebox::demo::device::Simulated;
use storebox_peripherals::display::Protocol;
use storebox_peripherals::receipt::CodePage;
use storebox_peripherals::scanner::Framing;
use storebox_peripherals::sim::display::{DisplaySim, Shown};
use storebox_peripherals::sim::scanner::{Acknowledged, ScannerSim};
use storebox_tests::wait;

use crate::counter::{Counter, PATIENCE};

const SCANNER: &str = "[[device]]\nid = \"scanner\"\nkind = \"scanner\"\nat = \"@scanner\"\n\
    in_store = [\"28IIIIIWWWWWC:3\", \"22IIIIIPPPPPC:2\"]\n";
const EVENTS: &str = "/v1/scanners/scanner/events";

fn scanner(counter: &Counter) -> anyhow::Result<Simulated<String, Acknowledged>> {
    let sim = ScannerSim::new(Framing::default());
    let scan = |sim: &mut ScannerSim, code: String| sim.scan(&code);
    Ok(Simulated::plug_in(sim, scan, &counter.place("scanner"))?)
}

fn whole(event: &Value) -> Option<Value> {
    Some(event.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanned_code_reaches_the_till_with_what_it_carries() -> anyhow::Result<()> {
    let counter = Counter::open(SCANNER).await?;
    let scanner = scanner(&counter)?;
    counter.await_link("scanner", "open").await?;
    let mut events = counter.listen(EVENTS).await?;
    scanner.act("]C101040063813339313103001250\u{1d}17261231".to_owned());
    let scan = events.find(whole).await?;
    let gs1 = scan["gs1"].as_array().cloned().unwrap_or_default();
    ensure!(gs1[0] == json!({"element": "gtin", "digits": "04006381333931"}), "{scan}");
    ensure!(gs1[1].to_string().contains("1250") && gs1[1]["element"] == "net_weight", "{scan}");
    ensure!(gs1[2]["element"] == "date", "{scan}");
    for (code, item, carried) in [
        ("2812345012505", "12345", "1250"),
        ("2254321019991", "54321", "1999"),
        ("4006381333931", "", ""),
    ] {
        scanner.act(code.to_owned());
        let scan = events.find(whole).await?;
        ensure!(scan["code"] == code, "{scan}");
        if item.is_empty() {
            ensure!(scan.get("inStore").is_none() && scan.get("gs1").is_none(), "{scan}");
        } else {
            ensure!(scan["inStore"]["item"] == item, "{scan}");
            ensure!(scan["inStore"]["carried"].to_string().contains(carried), "{scan}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_with_marks_of_its_own_is_read_and_acknowledged() -> anyhow::Result<()> {
    let marked = "[[device]]\nid = \"scanner\"\nkind = \"scanner\"\nat = \"@scanner\"\n\
        prefix = \"\\u0002\"\nsuffix = \"\\u0003\"\nacknowledge = true\n";
    let counter = Counter::open(marked).await?;
    let framing = Framing { prefix: vec![2], suffix: vec![3], acknowledge: true, gap_ms: 50 };
    let scan = |sim: &mut ScannerSim, code: String| sim.scan(&code);
    let scanner = Simulated::plug_in(ScannerSim::new(framing), scan, &counter.place("scanner"))?;
    counter.await_link("scanner", "open").await?;
    let mut events = counter.listen(EVENTS).await?;
    scanner.act("carriage\rreturn".to_owned());
    ensure!(events.find(whole).await?["code"] == "carriage\rreturn");
    wait::until("it is acknowledged", PATIENCE, || async { Ok(scanner.events() == [Acknowledged]) })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_codes_is_heard_whole_and_in_order_and_garbage_between_is_not()
-> anyhow::Result<()> {
    let counter = Counter::open(SCANNER).await?;
    let scanner = scanner(&counter)?;
    counter.await_link("scanner", "open").await?;
    let mut events = counter.listen(EVENTS).await?;
    // More in one piece than a scanner once kept, and a code that is longer than any.
    let burst: Vec<String> = (0..60).map(|number| format!("code-{number}")).collect();
    scanner.act(burst.join("\r"));
    scanner.act("9".repeat(20_000));
    scanner.act("last".to_owned());
    for code in burst.iter().map(String::as_str).chain(["last"]) {
        let heard = events.find(whole).await?;
        ensure!(heard["code"] == code, "{heard} instead of {code}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_what_the_till_shows_also_after_the_display_was_unplugged()
-> anyhow::Result<()> {
    for (model, protocol) in [
        ("esc_pos", Protocol::EscPos),
        ("cd5220", Protocol::Cd5220),
        ("logic_controls", Protocol::LogicControls),
    ] {
        let device = format!(
            "[[device]]\nid = \"display\"\nkind = \"display\"\nat = \"@display\"\nmodel = \"{model}\"\n"
        );
        let counter = Counter::open(&device).await?;
        let plug = || -> anyhow::Result<Simulated<(), Shown>> {
            let sim = DisplaySim::new(protocol, CodePage::Cp437);
            Ok(Simulated::plug_in(sim, |_, ()| {}, &counter.place("display"))?)
        };
        for rows in [["Tea, green", "      2 x      2.50"], ["Total", "               5.00"]] {
            let display = plug()?;
            counter.await_link("display", "open").await?;
            let body = json!({"upper": rows[0], "lower": rows[1]});
            let (status, answer) =
                counter.ask(Method::PUT, "/v1/displays/display", Some(body)).await?;
            ensure!(status == 204, "{model}: {status} {answer}");
            wait::until("the customer sees it", PATIENCE, || async {
                let shown = display.events();
                let read = |row: &String| row.trim_end().to_owned();
                Ok(shown.last().is_some_and(|shown| shown.rows.each_ref().map(read) == rows))
            })
            .await?;
            let lease = "/v1/displays/display/lease";
            counter.store.control("POST", lease, Some(&json!({"seconds": 60}))).await?;
            let body = Some(json!({"upper": "another", "lower": "till"}));
            let refused = counter.refusal(Method::PUT, "/v1/displays/display", body).await?;
            ensure!(refused == "device_leased", "{model}: {refused}");
            counter.store.control("DELETE", lease, None).await?;
            drop(display);
            counter.await_link("display", "away").await?;
            let body = Some(json!({"upper": "nobody", "lower": "sees this"}));
            let refused = counter.refusal(Method::PUT, "/v1/displays/display", body).await?;
            ensure!(refused == "device_away", "{model}: {refused}");
        }
    }
    Ok(())
}
