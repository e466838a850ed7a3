//! A head office, two boxes that know each other, and a till, as processes on their hosts.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::net::Net;
use crate::till::{ORDERS, Orders, Told};

/// No condition of a test takes longer, unless it is never met.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A customer never waits longer than for one box that does not answer, and for the next one.
const STALL_MS_MAX: u128 = 3500;

/// The program under test.
fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_storebox-under-test"))
}

/// A running box; it dies with this handle.
pub(crate) struct Node {
    folder: PathBuf,
    control: Client,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn lay_out(folder: &Path, name: &str, settings: &str) -> anyhow::Result<Self> {
        let folder = folder.join(name);
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        let text = format!("node = \"{name}\"\ndata_dir = {data:?}\n{settings}");
        fs::write(folder.join("storebox.toml"), text)?;
        let control = Client::builder().unix_socket(data.join("control.sock")).build()?;
        Ok(Self { folder, control, child: None })
    }

    pub(crate) async fn start(&mut self, net: &Net, host: &str) -> anyhow::Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = net.command(host, executable());
        command.arg("--config").arg(self.folder.join("storebox.toml")).arg("run");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn()?);
        wait::until("a box that serves", PATIENCE, || async {
            Ok(self.get("/healthz").await.is_ok())
        })
        .await
    }

    /// Pulls the plug.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.control.get(format!("http://box{path}")).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(serde_json::from_str(&answer.text().await?).unwrap_or(Value::Null))
    }

    fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = std::process::Command::new(executable());
        command.arg("--data-dir").arg(self.folder.join("data")).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) struct Shop {
    pub(crate) net: Net,
    folder: tempfile::TempDir,
    main: Node,
    boxes: Vec<Node>,
    till: Option<Child>,
}

impl Shop {
    /// All of it, with masterdata in both boxes and a till that sells.
    pub(crate) async fn open(net: Net) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let quiet = "[discovery]\nannounce = false\n";
        let settings = format!("role = \"main\"\n[http]\nlisten = [\"10.88.0.1:8080\"]\n{quiet}");
        let mut main = Node::lay_out(folder.path(), "head-office", &settings)?;
        main.start(&net, "hq").await?;
        let mut shop = Self { net, folder, main, boxes: Vec::new(), till: None };
        shop.import(1)?;
        fs::write(shop.folder.path().join("site.secret"), "a secret of this store only")?;
        for name in ["box1", "box2"] {
            let node = shop.open_box(name).await?;
            shop.boxes.push(node);
        }
        for at in 0..2 {
            shop.await_level(at).await?;
        }
        shop.await_neighbours().await?;
        shop.open_till()?;
        Ok(shop)
    }

    async fn open_box(&self, name: &str) -> anyhow::Result<Node> {
        let folder = self.folder.path();
        let token = folder.join(format!("{name}.token"));
        fs::write(&token, self.main.ask(&["node", "add", name])?)?;
        let key = self.main.ask(&["key"])?;
        let secret = folder.join("site.secret");
        let other = if name == "box1" { "box2" } else { "box1" };
        let settings = format!(
            "role = \"store\"\n[http]\nlisten = [\"0.0.0.0:8080\"]\n\
             [discovery]\ninterfaces = [\"eth0\"]\n\
             [main]\nurl = \"http://10.88.0.1:8080\"\npublic_key = \"{key}\"\ntoken_file = {token:?}\n\
             [peers]\ndiscover = true\nsecret_file = {secret:?}\n\
             [mirror]\npeer = \"peer-{other}\"\n"
        );
        let mut node = Node::lay_out(folder, name, &settings)?;
        node.start(&self.net, name).await?;
        Ok(node)
    }

    fn open_till(&mut self) -> anyhow::Result<()> {
        let mut boxes = Vec::new();
        for (at, address) in ["10.77.0.11", "10.77.0.12"].iter().enumerate() {
            let token = self.boxes[at].ask(&["terminal", "add", "till-1"])?;
            boxes.push((format!("http://{address}:8080"), token));
        }
        let mut command = self.net.command("till", &std::env::current_exe()?);
        // With one thread, as on one processor, the name of the test would stand before what it says first.
        command.args([
            "--exact",
            "a_child_process_plays_the_till",
            "--nocapture",
            "--test-threads=2",
        ]);
        command.env(ORDERS, serde_json::to_string(&Orders { boxes })?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        self.till = Some(command.spawn()?);
        Ok(())
    }

    /// A new revision at head office.
    pub(crate) fn import(&self, price: u32) -> anyhow::Result<()> {
        let dir = self.folder.path().join(format!("import-{price}"));
        fs::create_dir_all(&dir)?;
        let line = |id: u32| {
            let (key, product) = (format!("PL1-{id:06}"), id.to_string());
            json!({"id": key, "productId": product, "listPrice": price.to_string()}).to_string()
        };
        let lines: Vec<String> = (0..500).map(line).collect();
        fs::write(dir.join("ProductPrice.ndjson"), lines.join("\n"))?;
        self.main.ask(&["import", &dir.to_string_lossy()])?;
        Ok(())
    }

    /// Where head office's catalogue is.
    async fn revision(node: &Node) -> anyhow::Result<u64> {
        let status = node.get("/v1/status").await?;
        let feeds = status["feeds"].as_array().cloned().unwrap_or_default();
        let feed = feeds.iter().find(|feed| feed["feed"] == "catalogue");
        Ok(feed.and_then(|feed| feed["revision"].as_u64()).unwrap_or(0))
    }

    pub(crate) async fn await_level(&self, at: usize) -> anyhow::Result<()> {
        let wanted = Self::revision(&self.main).await?;
        wait::until("replica = author", PATIENCE, || async {
            Ok(Self::revision(&self.boxes[at]).await? == wanted)
        })
        .await
    }

    async fn await_neighbours(&self) -> anyhow::Result<()> {
        for (at, peer) in ["peer-box2", "peer-box1"].into_iter().enumerate() {
            self.await_source(at, peer, true).await?;
        }
        Ok(())
    }

    /// Waits until a box says this about one of its sources.
    pub(crate) async fn await_source(&self, at: usize, id: &str, up: bool) -> anyhow::Result<()> {
        wait::until(&format!("{id} up: {up}"), PATIENCE, || async {
            let status = self.boxes[at].get("/v1/status").await?;
            let sources = status["sources"].as_array().cloned().unwrap_or_default();
            Ok(sources.iter().any(|source| source["id"] == id && source["up"] == up))
        })
        .await
    }

    /// How many tickets head office has.
    pub(crate) async fn settled(&self) -> anyhow::Result<u64> {
        let status = self.main.get("/v1/status").await?;
        Ok(status["ledger"]["settled"].as_u64().unwrap_or(0))
    }

    /// Waits until head office has so many more.
    pub(crate) async fn await_more(&self, more: u64) -> anyhow::Result<()> {
        let wanted = self.settled().await? + more;
        wait::until("more settled", PATIENCE, || async { Ok(self.settled().await? >= wanted) })
            .await
    }

    /// Waits until a box has a mirror.
    pub(crate) async fn await_mirror(&self, at: usize, up: bool) -> anyhow::Result<()> {
        wait::until(&format!("mirror up: {up}"), PATIENCE, || async {
            let status = self.boxes[at].get("/v1/status").await?;
            let lines = status["lines"].as_array().cloned().unwrap_or_default();
            Ok(lines.iter().any(|line| line["service"] == "mirror" && line["up"] == up))
        })
        .await
    }

    /// How many transactions a box has not settled.
    pub(crate) async fn waiting(&self, at: usize) -> anyhow::Result<u64> {
        let status = self.boxes[at].get("/v1/status").await?;
        Ok(status["outbox"]["waiting"].as_u64().unwrap_or(0))
    }

    /// A box burns with all that is on it.
    pub(crate) fn burn(&mut self, at: usize) -> anyhow::Result<()> {
        self.boxes[at].kill();
        Ok(fs::remove_dir_all(self.boxes[at].folder.join("data"))?)
    }

    /// A new box under the name of the one that burnt, which asks its neighbour.
    pub(crate) async fn replace(&mut self, at: usize, name: &str) -> anyhow::Result<String> {
        self.main.ask(&["node", "revoke", name])?;
        self.boxes[at] = self.open_box(name).await?;
        let from = if at == 0 { "http://10.77.0.12:8080" } else { "http://10.77.0.11:8080" };
        self.boxes[at].ask(&["adopt", "--from", from])
    }

    pub(crate) fn kill_main(&mut self) {
        self.main.kill();
    }

    pub(crate) async fn start_main(&mut self) -> anyhow::Result<()> {
        self.main.start(&self.net, "hq").await
    }

    /// Closes the till, waits until all is settled, and compares.
    pub(crate) async fn close(mut self, what: &str) -> anyhow::Result<Told> {
        let mut till = self.till.take().context("a till that sells")?;
        writeln!(till.stdin.take().context("piped")?, "close")?;
        let out = BufReader::new(till.stdout.take().context("piped")?);
        // To its end, so that the test harness over there is not cut off either.
        let lines: Vec<String> = out.lines().map_while(Result::ok).collect();
        let line = lines.iter().find_map(|line| line.split_once('@').map(|(_, told)| told));
        till.wait()?;
        let told: Told = serde_json::from_str(line.context("the till says nothing")?)?;
        let count = told.sold.len() as u64;
        wait::until("ledger = sales", PATIENCE, || async { Ok(self.settled().await? >= count) })
            .await
            .with_context(|| format!("{count} were sold"))?;
        let mut sold = told.sold.clone();
        sold.sort();
        let ledger = self.ledger().await?;
        ensure!(ledger == sold, "{} in the ledger, {} were sold", ledger.len(), sold.len());
        let _ = writeln!(
            std::io::stderr(),
            "landscape: {what}: {count} tickets, longest stall at the till {} ms, {} kept by the till",
            told.longest_ms,
            told.kept
        );
        ensure!(told.longest_ms <= STALL_MS_MAX, "{what}: a customer waited too long: {told:?}");
        Ok(told)
    }

    async fn ledger(&self) -> anyhow::Result<Vec<String>> {
        let (mut keys, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.main.get(&format!("/v1/ledger?limit=500{after}")).await?;
            let entries = page["entries"].as_array().cloned().unwrap_or_default();
            let read = entries.iter().filter_map(|entry| entry["envelope"]["key"].as_str());
            keys.extend(read.map(str::to_owned));
            match entries.last().and_then(|entry| entry["envelope"]["key"].as_str()) {
                Some(last) if entries.len() == 500 => after = format!("&after={last}"),
                Some(_) | None => return Ok(keys),
            }
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if let Some(mut till) = self.till.take() {
            let _ = till.kill();
            let _ = till.wait();
        }
    }
}
