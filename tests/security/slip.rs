//! A slip comes off the receipt printer, the till scans it, and the till belongs to the shop: by commands alone.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use storebox::demo::device::Simulated;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::receipt::Item;
use storebox_peripherals::sim::printer::{Act, Event, PrinterSim};
use storebox_peripherals::sim::script::Script;
use storebox_tests::chain::{Chain, LISTEN};

use crate::box_of::executable;

/// From the order to a till that sells; a person needs some seconds more to point the scanner.
const MINUTE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "the clock of this test")]
fn now() -> Instant {
    Instant::now()
}

/// What a scanner reads on all that has come off the printer, and its plain text.
fn scan(printer: &Simulated<Act, Event>) -> (Vec<String>, String) {
    let (mut codes, mut text) = (Vec::new(), String::new());
    for event in printer.events() {
        let Event::Receipt(sheet) = event else { continue };
        text.push_str(&sheet.to_text());
        codes.extend(sheet.items.iter().filter_map(|item| {
            let Item::Qr { code, .. } = item else { return None };
            Some(code.text().to_owned())
        }));
    }
    (codes, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_slip_lets_one_till_in_within_a_minute() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let link = folder.path().join("printer");
    let sim = PrinterSim::new(Profile::epson_m30(), Script::default());
    let printer = Simulated::plug_in(sim, PrinterSim::act, &link)?;
    let settings = format!(
        "{LISTEN}[[device]]\nid = \"counter\"\nkind = \"printer\"\nat = {:?}\nmodel = \"epson-tm-m30\"\n",
        link.to_string_lossy()
    );
    let chain = Chain::found(executable(), folder.path())?;
    let (mut store, _, secure) = chain.shop("store-1", "0007", &settings).await?;
    storebox_tests::wait::until("the printer", MINUTE, || async {
        let status = store.control("GET", "/v1/status", None).await?;
        Ok(status["devices"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["link"] == "open")))
    })
    .await?;
    let begun = now();
    let said = store.ask(&["enrol", "slip", "--by", "Ana", "--print", "counter"])?;
    ensure!(!said.contains("SBX1"), "what is printed is not shown as well: {said}");
    let mut paper = (Vec::new(), String::new());
    storebox_tests::wait::until("the slip", MINUTE, || {
        let (codes, text) = scan(&printer);
        paper.0.extend(codes);
        paper.1.push_str(&text);
        let is_there = paper.0.iter().any(|code| code.starts_with("SBX1:"));
        async move { Ok(is_there) }
    })
    .await?;
    let slip = paper.0.iter().find(|code| code.starts_with("SBX1:")).context("a slip")?.clone();
    let secret = slip.split(':').nth(4).context("a secret")?;
    ensure!(!paper.1.contains(secret), "the secret is in the code alone");
    let till = chain.join("till-1", &["--slip", &slip, "--address", &secure.to_string()])?;
    let mut connection = till.connect(secure).await?;
    let config = connection.send(reqwest::Method::GET, "/v1/terminal/config", &[], "").await?;
    ensure!(config.status == 200, "{}", config.status);
    let took = begun.elapsed();
    ensure!(took < MINUTE, "{took:?}");
    eprintln!("slip ordered, printed, scanned, till connected in {took:?}");
    ensure!(chain.join("till-2", &["--slip", &slip, "--address", &secure.to_string()]).is_err());
    let log = std::fs::read_to_string(folder.path().join("store-1/log"))?;
    ensure!(!log.contains(secret), "the log does not show it");
    // A slip that nobody has used yet is in the vault alone.
    let open = store.ask(&["enrol", "slip", "--by", "Ana"])?;
    let waiting = open.trim().split(':').nth(4).context("a secret")?;
    for secret in [secret, waiting] {
        ensure!(kept(&store.data(), secret)?.is_empty(), "{:?}", kept(&store.data(), secret)?);
    }
    store.stop();
    store.start().await?;
    let secure = storebox_tests::chain::secure(&store)?;
    for secret in [secret, waiting] {
        ensure!(kept(&store.data(), secret)?.is_empty(), "{:?}", kept(&store.data(), secret)?);
    }
    chain.join("till-2", &["--slip", open.trim(), "--address", &secure.to_string()])?;
    Ok(())
}

/// Files of the box that hold this secret as it was printed or as its bytes.
fn kept(data: &Path, secret: &str) -> anyhow::Result<Vec<String>> {
    let digits = |at: usize| u8::from_str_radix(&secret[at..at + 2], 16);
    let bytes: Vec<u8> = (0..secret.len()).step_by(2).map(digits).collect::<Result<_, _>>()?;
    let forms = [secret.as_bytes().to_vec(), bytes];
    let (mut found, mut folders) = (Vec::new(), vec![data.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let bytes = std::fs::read(&path)?;
                let holds = |form: &Vec<u8>| bytes.windows(form.len()).any(|window| window == form);
                if forms.iter().any(holds) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    Ok(found)
}
