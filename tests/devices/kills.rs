//! The box is killed at random moments while it prints: no receipt comes twice without saying that it is a copy.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::counter::{Counter, PATIENCE};

const JOBS: u32 = 200;
/// One job in so many is followed by a kill.
const KILL_EVERY: u32 = 4;
/// The longest time between a job and the kill.
const LIFE_MAX_US: u64 = 300_000;

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_the_paper_shows_each_receipt_once_or_a_marked_copy() {
    let seed = std::env::var("SEED").map_or(20_261_122, |seed| seed.parse().expect("a number"));
    let told = campaign(seed).await;
    eprintln!("{}", told.unwrap_or_else(|error| panic!("seed={seed}: {error:?}")));
}

async fn campaign(seed: u64) -> anyhow::Result<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut counter = Counter::open("").await?;
    let mut kills = 0;
    for number in 0..JOBS {
        send(&counter, number).await?;
        if rng.random_ratio(1, KILL_EVERY) {
            wait::moment(Duration::from_micros(rng.random_range(0..LIFE_MAX_US))).await;
            counter.restart().await?;
            kills += 1;
            // A till that heard nothing sends again; nothing may come of it twice.
            send(&counter, number).await?;
        }
    }
    let mut doubtful = 0;
    let mut ends = BTreeMap::new();
    for number in 0..JOBS {
        let path = format!("/v1/printers/printer/jobs/{}", key(number));
        let job = ended(&counter, &path).await?;
        let in_doubt = job["state"] == "unknown";
        ensure!(in_doubt || job["state"] == "printed", "{job}");
        if in_doubt {
            doubtful += 1;
            let copy = format!("{}.copy", key(number));
            let wish = json!({"decision": "reprint", "key": copy});
            let (status, answer) = counter.decide(&key(number), wish).await?;
            ensure!(status == 200, "{answer}");
            let copied = ended(&counter, &format!("/v1/printers/printer/jobs/{copy}")).await?;
            ensure!(copied["state"] == "printed", "{copied}");
        }
        ends.insert(number, in_doubt);
    }
    let paper = counter.read_paper();
    let seen = read(&paper);
    for (number, in_doubt) in ends {
        let Seen { begun, whole, copies } = seen.get(&number).copied().unwrap_or_default();
        let right = begun <= 1
            && if in_doubt { whole <= 1 && copies == 1 } else { whole == 1 && copies == 0 };
        ensure!(
            right,
            "job {number}: begun {begun}, whole {whole}, copies {copies}, in doubt {in_doubt}"
        );
    }
    Ok(format!(
        "seed={seed}: {JOBS} jobs, {kills} kills, {doubtful} in doubt and printed again as marked copies"
    ))
}

fn key(number: u32) -> String {
    format!("sale-{number}")
}

async fn send(counter: &Counter, number: u32) -> anyhow::Result<()> {
    let body: String = (0..12).map(|line| format!("article {line}|{line}.99\n")).collect();
    let text = format!("BEGIN {number}.\n---\n{body}---\nEND {number}.\n=");
    let body = json!({"key": key(number), "receiptline": text});
    wait::until("the printer is configured", PATIENCE, || async {
        let path = "/v1/printers/printer/jobs";
        let (status, answer) = counter.ask(Method::POST, path, Some(body.clone())).await?;
        ensure!(status == 201 || answer["code"] == "device_unknown", "{status} {answer}");
        Ok(status == 201)
    })
    .await
}

async fn ended(counter: &Counter, path: &str) -> anyhow::Result<Value> {
    let job = counter.get(&format!("{path}?wait_s=50")).await?;
    Ok(job)
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Originals that began.
    begun: u32,
    /// Originals that came to their end.
    whole: u32,
    /// Copies that came to their end.
    copies: u32,
}

/// What is on the paper, from its first line to its last.
fn read(paper: &str) -> BTreeMap<u32, Seen> {
    let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
    let (mut marked, mut is_copy) = (false, false);
    for line in paper.lines().map(str::trim) {
        let number = |word: &str| line.split_once(word)?.1.split('.').next()?.trim().parse().ok();
        if line.contains("COPY") {
            marked = true;
        } else if let Some(number) = number("BEGIN") {
            is_copy = std::mem::take(&mut marked);
            seen.entry(number).or_default().begun += u32::from(!is_copy);
        } else if let Some(number) = number("END") {
            let entry = seen.entry(number).or_default();
            entry.whole += u32::from(!is_copy);
            entry.copies += u32::from(is_copy);
        }
    }
    seen
}
