//! The sale path tried from end to end, on a box of its own: accept, flush, read, print.
//!
//! What a box asks of a release before it stays on it. The very program that is to serve the shop is
//! started on a folder that goes away, with a simulated printer; a till sells, the plug is pulled, and
//! after the next start the sale must still be there and its receipt come off the printer. Nothing of
//! it touches the shop's own data, so that no made-up sale ever reaches head office.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use storebox_peripherals::printer::Profile;
use storebox_peripherals::sim::printer::{Act, Event, PrinterSim};
use storebox_peripherals::sim::script::Script;
use storebox_proto::ticket::Envelope;

use crate::client;
use crate::demo::device::Simulated;
use crate::demo::process::{self, Process};
use crate::demo::till::mint_key;
use crate::env;

const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long paper may take to come out, and how often it is looked for.
const PAPER_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is printed, and looked for on the paper.
const PROOF: &str = "STOREBOX SELF TEST";
const TILL: &str = "selftest";

/// What to try it with.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A folder for the files of the try, on the disk that the shop's data is on; empty again afterwards.
    #[arg(long, env = "STOREBOX_SELFTEST_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Why the sale path is not good.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This program does not know its own file.
    #[error("find this program's own file")]
    Executable(#[source] io::Error),
    /// The files of the try have no place.
    #[error("make a folder in {dir}")]
    Folder {
        /// Where.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The simulated printer could not be made.
    #[error("plug in the simulated printer")]
    Printer(#[source] io::Error),
    /// The box does not run.
    #[error("run a box")]
    Process(#[from] process::Error),
    /// A request got no answer.
    #[error("{what}")]
    Silent {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A request was answered with something else.
    #[error("{what}: the box answers {answer}")]
    Answer {
        /// What was tried.
        what: &'static str,
        /// With what.
        answer: String,
    },
    /// The job is called printed, and the paper does not show it.
    #[error("the printer says printed, its paper shows {paper:?}")]
    Paper {
        /// What it shows.
        paper: String,
    },
}

/// A folder that goes away with this.
struct Folder(PathBuf);

impl Folder {
    fn create(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(format!("try-{}", std::process::id()));
        let made = std::fs::create_dir_all(&path);
        made.map_err(|source| Error::Folder { dir: dir.to_owned(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tries the sale path; what it returns with is proved.
pub async fn run(options: &Options) -> Result<(), Error> {
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = Folder::create(&dir)?;
    let executable = std::env::current_exe().map_err(Error::Executable)?;
    let link = folder.0.join("printer");
    let printer = printer(&link)?;
    let mut shop = Process::lay_out(&executable, &folder.0, "selftest", &settings(&link))?;
    let address = shop.start().await?;
    let token = shop.ask(&["terminal", "add", TILL])?;
    let mut till = Till { client: client(), address, token };
    let sale = till.sell().await?;
    // The loss of power takes the printer as well; a pseudo-terminal would else stay locked for whom is not root.
    shop.kill();
    drop(printer);
    let printer = self::printer(&link)?;
    till.address = shop.start().await?;
    till.find(&sale).await?;
    till.print(&printer).await?;
    shop.stop();
    Ok(())
}

fn printer(link: &Path) -> Result<Simulated<Act, Event>, Error> {
    let sim = PrinterSim::new(Profile::epson_m30(), Script::default());
    Simulated::plug_in(sim, PrinterSim::act, link).map_err(Error::Printer)
}

fn settings(printer: &Path) -> String {
    let at = toml::Value::String(printer.to_string_lossy().into_owned());
    format!(
        "role = \"store\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[outbox]\nreserve_bytes = 1048576\n\
         [[device]]\nid = \"printer\"\nkind = \"printer\"\nat = {at}\nmodel = \"epson-tm-m30\"\n"
    )
}

fn client() -> reqwest::Client {
    let client = client::builder().timeout(ANSWER_MAX).build();
    client.expect("a client without files or proxies can be built")
}

struct Till {
    client: reqwest::Client,
    address: SocketAddr,
    token: String,
}

impl Till {
    /// Has the box hold one sale.
    async fn sell(&self) -> Result<Envelope, Error> {
        let rule = "made from letters, digits, ':' and '-'";
        let mut payload = Map::new();
        payload.insert("total".to_owned(), json!("4.99"));
        let envelope = Envelope {
            key: mint_key(),
            kind: "Order".parse().expect(rule),
            terminal: TILL.parse().expect(rule),
            epoch: 1,
            sequence: 1,
            lane: "ticket:selftest-1".parse().expect(rule),
            depends_on: Vec::new(),
            session: None,
            occurred_at: env::timestamp(),
            clock: env::clock_confidence(),
            payload,
        };
        let body = String::from_utf8_lossy(&envelope.canonical()).into_owned();
        let receipt = self.ask("accept a sale", "/v1/transactions", Some(body)).await?;
        let held = receipt["digest"] == json!(envelope.digest());
        if held { Ok(envelope) } else { Err(odd("accept a sale", &receipt)) }
    }

    /// The sale survived the loss of power.
    async fn find(&self, sale: &Envelope) -> Result<(), Error> {
        let what = "read the sale after a loss of power";
        let found = self.ask(what, &format!("/v1/transactions/{}", sale.key), None).await?;
        if found.to_string().contains(&sale.key.to_string()) {
            Ok(())
        } else {
            Err(odd(what, &found))
        }
    }

    async fn print(&self, printer: &Simulated<Act, Event>) -> Result<(), Error> {
        // The line of `=` cuts: what is cut off is on paper.
        let receipt = format!("{PROOF}\n=");
        let body = json!({"key": "selftest-1", "receiptline": receipt}).to_string();
        let path = "/v1/printers/printer/jobs?wait_s=30";
        let job = self.ask("print a receipt", path, Some(body)).await?;
        if job["state"] != "printed" {
            return Err(odd("print a receipt", &job));
        }
        // The printer's word may be here before its paper is.
        let asked = env::instant();
        let mut paper = String::new();
        while !paper.contains(PROOF) {
            if asked.elapsed() > PAPER_MAX {
                return Err(Error::Paper { paper });
            }
            tokio::time::sleep(LOOK_EVERY).await;
            for event in printer.events() {
                match event {
                    Event::Receipt(sheet) | Event::PowerLost(sheet) => paper += &sheet.to_text(),
                    Event::DrawerOpened(_) | Event::Buzzed | Event::PowerBack => {}
                }
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        what: &'static str,
        path: &str,
        body: Option<String>,
    ) -> Result<Value, Error> {
        let url = format!("http://{}{path}", self.address);
        let request = match body {
            Some(body) => self.client.post(url).body(body),
            None => self.client.get(url),
        };
        let request = request.bearer_auth(&self.token).header("content-type", "application/json");
        let silent = |source| Error::Silent { what, source };
        let response = request.send().await.map_err(silent)?;
        let status = response.status();
        let text = response.text().await.map_err(silent)?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(answer);
        }
        Err(Error::Answer { what, answer: format!("{status} {text}") })
    }
}

fn odd(what: &'static str, answer: &Value) -> Error {
    Error::Answer { what, answer: answer.to_string() }
}
