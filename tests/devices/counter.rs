//! A shop's counter: a box as a process, a printer with a drawer, a scale, and a till's token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use storebox::demo::device::Simulated;
use storebox::demo::process::Process;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::scale::Model;
use storebox_peripherals::sim::printer::{Act, Event as PaperEvent, PrinterSim};
use storebox_peripherals::sim::scale::{Act as PlateAct, Event as PlateEvent, ScaleSim};
use storebox_peripherals::sim::script::Script;
use storebox_tests::wait;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Printer = Simulated<Act, PaperEvent>;
pub(crate) type Scale = Simulated<PlateAct, PlateEvent>;

pub(crate) struct Counter {
    pub(crate) store: Process,
    pub(crate) printer: Option<Printer>,
    pub(crate) scale: Option<Scale>,
    paper: Vec<String>,
    base: String,
    token: String,
    client: reqwest::Client,
    folder: TempDir,
}

impl Counter {
    /// Opens a counter; `more` is further configuration, in which `@name` is a place of this counter.
    pub(crate) async fn open(more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
        let at = |name: &str| toml_text(&folder.path().join(name));
        let settings = format!(
            "role = \"store\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n\
             [[device]]\nid = \"printer\"\nkind = \"printer\"\nat = {}\nmodel = \"epson-tm-m30\"\n\
             drawers = [\"drawer\"]\ndrawer_high = \"open\"\n\
             [[device]]\nid = \"scale\"\nkind = \"scale\"\nat = {}\nmodel = \"toledo8217\"\n{more}",
            at("printer"),
            at("scale"),
        );
        let settings = settings.replace('@', &format!("{}/", folder.path().display()));
        let printer = Some(plug_printer(&folder.path().join("printer"))?);
        let sim = ScaleSim::new(Model::Toledo8217, Script::default());
        let scale = Some(Simulated::plug_in(sim, ScaleSim::act, &folder.path().join("scale"))?);
        let mut store = Process::lay_out(executable, folder.path(), "store-1", &settings)?;
        let address = store.start().await?;
        let token = store.ask(&["terminal", "add", "till-1"])?;
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let (paper, base) = (Vec::new(), base(address));
        Ok(Self { store, printer, scale, paper, base, token, client, folder })
    }

    /// Where something stands on this counter.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Plugs a printer in, in place of the one that was there.
    pub(crate) fn plug_printer(&mut self) -> anyhow::Result<()> {
        self.read_paper();
        self.printer = None;
        self.printer = Some(plug_printer(&self.place("printer"))?);
        Ok(())
    }

    /// Pulls the plug of the box and starts it again.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.store.kill();
        self.base = base(self.store.start().await?);
        Ok(())
    }

    /// Asks as the till; the status and the answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, answer) = self.ask(Method::GET, path, None).await?;
        ensure!(status == 200, "{path}: {status} {answer}");
        Ok(answer)
    }

    /// Sends a receipt and waits for what becomes of it.
    pub(crate) async fn print(&self, key: &str, text: &str) -> anyhow::Result<Value> {
        let body = json!({"key": key, "receiptline": text});
        let path = "/v1/printers/printer/jobs?wait_s=20";
        let (status, job) = self.ask(Method::POST, path, Some(body)).await?;
        ensure!(status == 201, "{status} {job}");
        Ok(job)
    }

    /// Says what a person decides about a job.
    pub(crate) async fn decide(&self, key: &str, decision: Value) -> anyhow::Result<(u16, Value)> {
        let path = format!("/v1/printers/printer/jobs/{key}/decision");
        self.ask(Method::POST, &path, Some(decision)).await
    }

    /// The code of a refusal.
    pub(crate) async fn refusal(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<String> {
        let (status, answer) = self.ask(method, path, body).await?;
        ensure!(status >= 400, "{path} was not refused: {status} {answer}");
        Ok(answer["code"].as_str().context("a refusal has a code")?.to_owned())
    }

    /// Events of a stream that the till listens to.
    pub(crate) async fn listen(&self, path: &str) -> anyhow::Result<Events> {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let response = request.send().await?.error_for_status()?;
        Ok(Events { response, text: String::new() })
    }

    /// What goes over a device's line, as the operator listens to it.
    pub(crate) async fn trace(&self, id: &str) -> anyhow::Result<Events> {
        let socket = self.store.data().join("control.sock");
        let client = reqwest::Client::builder().unix_socket(socket).build()?;
        let request = client.get(format!("http://box/v1/traces/{id}"));
        let response = request.send().await?.error_for_status()?;
        Ok(Events { response, text: String::new() })
    }

    /// The text at a path, as a program on the box's machine reads it.
    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let request = self.client.get(format!("{}{path}", self.base));
        Ok(request.send().await?.error_for_status()?.text().await?)
    }

    /// The till's token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The memory that the box has resident.
    pub(crate) fn memory_kb(&self) -> anyhow::Result<u64> {
        let id = self.store.id().context("the box runs")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()).context("VmRSS")?;
        Ok(number.parse()?)
    }

    /// The address of the box.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A command of the program against this box.
    pub(crate) fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_storebox-under-test"));
        command.arg("--config").arg(self.place("store-1/storebox.toml"));
        command
    }

    /// Waits until a device is in this state: `open` or `away`.
    pub(crate) async fn await_link(&self, id: &str, link: &str) -> anyhow::Result<()> {
        wait::until(&format!("{id} {link}"), PATIENCE, || async {
            let list = self.get("/v1/devices").await?;
            let devices = list["devices"].as_array().cloned().unwrap_or_default();
            Ok(devices.iter().any(|device| device["id"] == id && device["link"] == link))
        })
        .await
    }

    /// What came off the printer so far.
    pub(crate) fn read_paper(&mut self) -> String {
        for event in self.printer.iter().flat_map(Printer::events) {
            match event {
                PaperEvent::Receipt(sheet) | PaperEvent::PowerLost(sheet) => {
                    self.paper.push(sheet.to_text());
                }
                PaperEvent::DrawerOpened(_) => self.paper.push("<drawer>\n".to_owned()),
                PaperEvent::Buzzed | PaperEvent::PowerBack => {}
            }
        }
        self.paper.concat()
    }
}

/// A stream of events, as a till hears it.
pub(crate) struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    /// The next event that `wanted` makes something of.
    pub(crate) async fn find<T>(
        &mut self,
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> anyhow::Result<T> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let value = data.and_then(|data| serde_json::from_str(data).ok());
                self.text = rest.to_owned();
                if let Some(found) = value.as_ref().and_then(&wanted) {
                    return Ok(found);
                }
            }
            let more = tokio::time::timeout(PATIENCE, self.response.chunk()).await??;
            self.text.push_str(&String::from_utf8(more.context("the stream ended")?.to_vec())?);
        }
    }
}

fn base(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn toml_text(path: &Path) -> String {
    json!(path.to_string_lossy()).to_string()
}

fn plug_printer(link: &Path) -> std::io::Result<Printer> {
    Simulated::plug_in(
        PrinterSim::new(Profile::epson_m30(), Script::default()),
        PrinterSim::act,
        link,
    )
}
