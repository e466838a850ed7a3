//! Bad lines: endless noise, somebody else's device, a cable cut in mid-write; and the other devices undisturbed.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use storebox::demo::device::Simulated;
use storebox_peripherals::line::{Line, Transmit};
use storebox_peripherals::port::Port;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::scale::Model;
use storebox_peripherals::sim::Pty;
use storebox_peripherals::sim::printer::PrinterSim;
use storebox_peripherals::sim::scale::{Act, ScaleSim};
use storebox_peripherals::sim::script::Script;
use storebox_tests::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::counter::{Counter, PATIENCE};

/// Says the same again and again, whatever it is told, as fast as the line goes.
struct Chatter {
    says: &'static [u8],
    next: Option<Instant>,
    out: VecDeque<Transmit>,
}

impl Chatter {
    fn plug_in(says: &'static [u8], at: &Path) -> std::io::Result<Simulated<(), ()>> {
        Simulated::plug_in(Self { says, next: None, out: VecDeque::new() }, |_, ()| {}, at)
    }
}

impl Line for Chatter {
    type Event = ();
    fn handle_opened(&mut self, now: Instant) {
        self.next = Some(now);
    }
    fn handle_input(&mut self, _bytes: &[u8], _now: Instant) {}
    fn handle_timeout(&mut self, now: Instant) {
        self.next = Some(now + Duration::from_millis(2));
        self.out.push_back(Transmit::plain(self.says.repeat(1 + 2000 / self.says.len())));
    }
    fn handle_hangup(&mut self, _now: Instant) {}
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
    fn poll_event(&mut self) -> Option<()> {
        None
    }
}

fn device(id: &str, kind: &str, model: &str) -> String {
    format!("[[device]]\nid = \"{id}\"\nkind = \"{kind}\"\nat = \"@{id}\"\nmodel = \"{model}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_noise_is_a_state_takes_no_memory_and_disturbs_nobody() -> anyhow::Result<()> {
    let devices = [
        device("noisy-scale", "scale", "sma"),
        device("noisy-printer", "printer", "epson-tm-m30"),
        device("noisy-scanner", "scanner", ""),
        device("wrong-scale", "scale", "sics"),
    ];
    let mut counter = Counter::open(&devices.concat()).await?;
    let before = counter.memory_kb()?;
    // A frame without an end, bytes of no protocol, a code without an end, and a scale that answers for another.
    let _frame = Chatter::plug_in(b"\n 1G      1", &counter.place("noisy-scale"))?;
    let _noise = Chatter::plug_in(b"\xff\x31\x15\x51\x5f", &counter.place("noisy-printer"))?;
    let _code = Chatter::plug_in(b"0123456789", &counter.place("noisy-scanner"))?;
    let sma = ScaleSim::new(Model::Sma, Script::default());
    let _other = Simulated::plug_in(sma, ScaleSim::act, &counter.place("wrong-scale"))?;
    for id in ["noisy-scale", "noisy-printer", "noisy-scanner", "wrong-scale", "scale", "printer"] {
        counter.await_link(id, "open").await?;
    }
    for id in ["noisy-scale", "wrong-scale"] {
        let path = format!("/v1/scales/{id}/weight?timeout_ms=3000");
        let (status, answer) = counter.ask(Method::GET, &path, None).await?;
        ensure!(status == 502 && answer["code"] == "scale_fault", "{id}: {status} {answer}");
        ensure!(answer.get("weight").is_none(), "{answer}");
    }
    for number in 0..10 {
        counter.scale.as_ref().expect("it is plugged in").act(Act::Put(100 + number));
        let weight = format!("0.{}", 100 + number);
        wait::until("the good scale weighs", PATIENCE, || async {
            let (_, answer) = counter.ask(Method::GET, "/v1/scales/scale/weight", None).await?;
            Ok(answer["weight"] == weight)
        })
        .await?;
        let job = counter.print(&format!("sale-{number}"), "Tea|2.50\n=").await?;
        ensure!(job["state"] == "printed", "{job}");
    }
    ensure!(counter.read_paper().matches("Tea").count() == 10);
    let grown = counter.memory_kb()?.saturating_sub(before);
    ensure!(grown < 32_000, "{grown} KB more after the noise");
    Ok(())
}

/// A printer whose cable is cut when so many bytes have come.
fn cut_after(bytes: usize, link: &Path) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let mut pty = Pty::open()?;
    std::os::unix::fs::symlink(pty.path(), link)?;
    let link = link.to_owned();
    let mut sim = PrinterSim::new(Profile::epson_m30(), Script::default());
    Ok(std::thread::spawn(move || {
        let mut left = bytes;
        let mut piece = [0; 256];
        while left > 0 {
            let want = storebox_peripherals::port::Want { read: true, write: false };
            let _ = pty.wait(want, Duration::from_millis(20));
            let count = pty.read(&mut piece).unwrap_or(0);
            left = left.saturating_sub(count);
            sim.handle_input(&piece[..count], storebox::env::instant());
            while let Some(answer) = sim.poll_transmit() {
                let _ = pty.write(&answer.bytes);
            }
        }
        let _ = std::fs::remove_file(&link);
    }))
}

/// A picture of random dots, so that its job is long, as base64.
fn large_picture() -> String {
    use base64::Engine as _;
    use storebox_peripherals::receipt::Bitmap;
    let mut picture = Bitmap::white(560, 2000);
    for y in 0..picture.height() {
        (0..picture.width()).filter(|x| x * 7 % 5 != y % 3).for_each(|x| picture.set(x, y, true));
    }
    base64::engine::general_purpose::STANDARD.encode(picture.to_png())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_cut_in_mid_write_leaves_a_doubt_and_the_printer_prints_again_under_another_name()
-> anyhow::Result<()> {
    let mut counter = Counter::open("").await?;
    counter.print("before", "before|1\n=").await?;
    counter.printer = None;
    counter.await_link("printer", "away").await?;
    let cutter = cut_after(9000, &counter.place("printer"))?;
    counter.await_link("printer", "open").await?;
    let blocks = json!([
        {"block": "text", "text": "torn"},
        {"block": "image", "png": large_picture()},
        {"block": "cut"},
    ]);
    let body = json!({"key": "torn", "document": {"blocks": blocks}});
    let path = "/v1/printers/printer/jobs";
    let (status, job) = counter.ask(Method::POST, &format!("{path}?wait_s=30"), Some(body)).await?;
    ensure!(status == 201, "{job}");
    ensure!(job["state"] == "unknown" && job["doubt"] == "link_lost", "{job}");
    cutter.join().map_err(|_| anyhow::anyhow!("the cutter broke"))?;
    // The name it had is taken by somebody else's port meanwhile.
    let _taken = Pty::open()?;
    counter.plug_printer()?;
    counter.await_link("printer", "open").await?;
    let job = counter.get(&format!("{path}/torn")).await?;
    ensure!(job["state"] == "unknown", "{job}");
    let copy = json!({"decision": "reprint", "key": "torn.copy"});
    ensure!(counter.decide("torn", copy).await?.0 == 200);
    let job = counter.get(&format!("{path}/torn.copy?wait_s=30")).await?;
    ensure!(job["state"] == "printed", "{job}");
    let paper = counter.read_paper();
    ensure!(paper.matches("torn").count() == 1 && paper.contains("COPY 1"), "{paper}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_gigabyte_is_refused_before_it_is_sent() -> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    let before = counter.memory_kb()?;
    let mut line = tokio::net::TcpStream::connect(counter.address()).await?;
    let head = format!(
        "POST /v1/printers/printer/jobs HTTP/1.1\r\nhost: box\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 524288000\r\n\r\n{{\"key\":\"huge\",",
        counter.token()
    );
    line.write_all(head.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let count = tokio::time::timeout(PATIENCE, line.read(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer[..count]);
    ensure!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("too_large"), "{answer}");
    let body = json!({"key": "huge", "raw": "A".repeat(4_400_000)});
    let path = "/v1/printers/printer/jobs";
    let (status, answer) = counter.ask(Method::POST, path, Some(body)).await?;
    ensure!(status == 413 && answer["code"] == "too_large", "{status} {answer}");
    let grown = counter.memory_kb()?.saturating_sub(before);
    ensure!(grown < 64_000, "{grown} KB more after refusals");
    let found: Value = counter.get(path).await?;
    let jobs = found.as_array().context("a list")?;
    ensure!(jobs.iter().all(|job| job["key"] != "huge"), "{found}");
    Ok(())
}
