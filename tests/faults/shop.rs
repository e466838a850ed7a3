//! The shop that lives through everything: head office, two boxes that mirror each other, devices, tills.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::wait;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::disk::SmallDisk;
use crate::liar::Liar;
use crate::network::{FIRST, HEAD_OFFICE, Network, SECOND};
use crate::programs::{Between, Bound, MEMORY_MAX, Programs};
use crate::sales::{Counter, Tills, now};
use crate::{Measure, leavings};

/// After a fault everything is as it was within this, or never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// A process that was killed is started again until it runs, as the service manager does it.
const STARTS_MAX: usize = 20;
/// Between two sales of a till.
const PACE: Duration = Duration::from_millis(400);
/// Records of each model.
const RECORDS: usize = 500;
/// The models that are compared, record by record.
const COMPARED: [&str; 2] = ["Product", "ProductPrice"];

/// The processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Main,
    First,
    Second,
}

pub(crate) const NODES: [Node; 3] = [Node::Main, Node::First, Node::Second];

pub(crate) struct Shop {
    main: Process,
    boxes: [Process; 2],
    pub(crate) tills: Tills,
    pub(crate) network: Network,
    pub(crate) clock: Clock,
    pub(crate) disk: SmallDisk,
    pub(crate) liar: Liar,
    pub(crate) dice: ChaCha8Rng,
    pub(crate) bound: Option<Bound>,
    /// How often a process did not come up at its first start.
    pub(crate) restarts: usize,
    imports: usize,
    pub(crate) folder: TempDir,
}

impl Shop {
    /// All of it, with masterdata in both boxes and tills that sell.
    pub(crate) async fn open(programs: &Programs, measure: Measure) -> anyhow::Result<Self> {
        let folder = leavings::folder()?;
        let network = Network::build(measure.seed)?;
        let clock = Clock::make(&folder.path().join("clock"))?;
        let bound = Bound::make("first", MEMORY_MAX);
        let start =
            |network, bound| Between { network, clock: Some(clock.path()), record: false, bound };
        let office = programs.script("office", &start(Some(network.office()), None))?;
        let first = programs.script("first", &start(None, bound.as_ref()))?;
        let second = programs.script("second", &start(Some(network.second()), None))?;
        let disk = SmallDisk::mount(&folder.path().join("box-1"))?;

        let listen = |address| {
            format!("[http]\nlisten = [\"{address}:8080\"]\nconnections_per_address_max = 400\n")
        };
        let settings =
            format!("role = \"main\"\n{}[discovery]\nannounce = false\n", listen(HEAD_OFFICE));
        let mut main = Process::lay_out(&office, folder.path(), "head-office", &settings)?;
        main.start().await?;
        let liar = Liar::open(&format!("{HEAD_OFFICE}:8080")).await?;
        fs::write(folder.path().join("secret"), "a secret of this store only")?;
        let mut boxes = Vec::new();
        for (at, (script, address)) in [(first, FIRST), (second, SECOND)].into_iter().enumerate() {
            let name = format!("box-{}", at + 1);
            let settings = Settings { folder: folder.path(), at, address, liar: liar.address() };
            let settings = settings.text(&main, &listen(address))?;
            let mut node = Process::lay_out(&script, folder.path(), &name, &settings)?;
            node.start().await?;
            boxes.push(node);
        }
        let boxes: [Process; 2] = boxes.try_into().ok().context("two boxes")?;
        let tills = admit(&boxes, measure.tills).await?;
        let tills = Tills::open(tills, PACE)?;
        let dice = ChaCha8Rng::seed_from_u64(measure.seed);
        let (restarts, imports) = (0, 0);
        let mut shop = Self {
            main,
            boxes,
            tills,
            network,
            clock,
            disk,
            liar,
            dice,
            bound,
            restarts,
            imports,
            folder,
        };
        shop.import()?;
        shop.await_back().await?;
        Ok(shop)
    }

    pub(crate) fn node(&self, node: Node) -> &Process {
        match node {
            Node::Main => &self.main,
            Node::First => &self.boxes[0],
            Node::Second => &self.boxes[1],
        }
    }

    fn node_mut(&mut self, node: Node) -> &mut Process {
        match node {
            Node::Main => &mut self.main,
            Node::First => &mut self.boxes[0],
            Node::Second => &mut self.boxes[1],
        }
    }

    /// Kills a process without warning, and starts it again as the service manager does.
    pub(crate) async fn kill(&mut self, node: Node) -> anyhow::Result<()> {
        self.pull_plug(node);
        self.start(node).await
    }

    /// Kills it, and leaves it.
    pub(crate) fn pull_plug(&mut self, node: Node) {
        self.node_mut(node).kill();
    }

    pub(crate) async fn start(&mut self, node: Node) -> anyhow::Result<()> {
        let mut last = None;
        for _ in 0..STARTS_MAX {
            match self.node_mut(node).start().await {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
            self.restarts += 1;
            self.node_mut(node).kill();
            wait::moment(Duration::from_millis(500)).await;
        }
        Err(anyhow::Error::from(last.context("it was tried")?))
    }

    /// Starts again whatever has ended by itself, as the service manager does; says how many had.
    pub(crate) async fn look_after(&mut self) -> anyhow::Result<usize> {
        let mut ended = 0;
        for node in NODES {
            if self.node_mut(node).check_alive().is_err() {
                ended += 1;
                self.start(node).await?;
            }
        }
        Ok(ended)
    }

    /// A new revision at head office: every price is another.
    pub(crate) fn import(&mut self) -> anyhow::Result<()> {
        self.imports += 1;
        let number = self.imports;
        let dir = self.folder.path().join("import");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        let price = |id: usize| {
            let cents = 100 + (id * 37 + number * 11) % 900;
            json!({"id": format!("PL-{id:05}"), "productId": format!("P{id:05}"), "priceListId": "L",
                   "listPrice": format!("{}.{:02}", cents / 100, cents % 100)})
            .to_string()
        };
        let prices: Vec<String> = (0..RECORDS).map(price).collect();
        fs::write(dir.join("ProductPrice.ndjson"), prices.join("\n"))?;
        if number == 1 {
            let product = |id: usize| {
                json!({"id": format!("P{id:05}"), "name": format!("Product {id}")}).to_string()
            };
            let products: Vec<String> = (0..RECORDS).map(product).collect();
            fs::write(dir.join("Product.ndjson"), products.join("\n"))?;
        }
        self.main.ask(&["import", &dir.to_string_lossy()])?;
        Ok(())
    }

    /// Waits until all that was accepted until now is settled and both boxes have head office's newest masterdata.
    pub(crate) async fn await_back(&mut self) -> anyhow::Result<Duration> {
        let begun = now();
        self.look_after().await?;
        self.import()?;
        let accepted = u64::try_from(self.tills.sales.accepted())?;
        let is_level = || async {
            let main = State::of(&self.main).await?;
            let mut level = main.ledger.settled >= accepted;
            for one in &self.boxes {
                level = level && State::of(one).await?.is_level_with(&main);
            }
            Ok::<bool, anyhow::Error>(level)
        };
        // A box that is just dying is no answer either.
        let is_back = || async { Ok::<bool, anyhow::Error>(is_level().await.unwrap_or(false)) };
        wait::until("everything as before", PATIENCE, is_back).await?;
        Ok(begun.elapsed())
    }

    /// Whether a box has what head office has now.
    pub(crate) async fn is_level(&self, node: Node) -> anyhow::Result<bool> {
        Ok(State::of(self.node(node)).await?.is_level_with(&State::of(&self.main).await?))
    }

    /// How many records differ between head office and these boxes.
    pub(crate) async fn differences(&self, boxes: &[Node]) -> anyhow::Result<usize> {
        let mut differing = 0;
        for model in COMPARED {
            let path = format!("/v1/models/{model}/records?limit=1000");
            let author = self.main.control("GET", &path, None).await?;
            let wanted = author["records"].as_array().context("records")?;
            ensure!(wanted.len() == RECORDS, "{} records of {model}", wanted.len());
            for one in boxes {
                let here = self.node(*one).control("GET", &path, None).await?;
                let here = here["records"].as_array().cloned().unwrap_or_default();
                let same = wanted.iter().zip(&here).filter(|(a, b)| a == b).count();
                differing += wanted.len().max(here.len()) - same;
            }
        }
        Ok(differing)
    }

    /// A number below this one.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.dice.random_range(0..sides.max(1))
    }
}

struct Settings<'a> {
    folder: &'a Path,
    at: usize,
    address: &'a str,
    liar: &'a str,
}

impl Settings<'_> {
    fn text(&self, main: &Process, listen: &str) -> anyhow::Result<String> {
        let Self { folder, at, address, liar } = self;
        let other = if *address == FIRST { SECOND } else { FIRST };
        let token: PathBuf = folder.join(format!("box-{}.token", at + 1));
        fs::write(&token, main.ask(&["node", "add", &format!("box-{}", at + 1)])?)?;
        let (key, secret) = (main.ask(&["key"])?, folder.join("secret"));
        let devices = crate::counter::settings(folder);
        let mut text = format!(
            "role = \"store\"\n{listen}[main]\nurl = \"http://{HEAD_OFFICE}:8080\"\npublic_key = \"{key}\"\n\
             token_file = {token:?}\n[peers]\ndiscover = true\nsecret_file = {secret:?}\n\
             [mirror]\npeer = \"peer-box-{}\"\n\
             [discovery]\nannounce = false\nboxes = [\"{other}:8080\"]\n\
             [outbox]\nreserve_bytes = 4194304\n",
            2 - at
        );
        if *at == 0 {
            text += &format!(
                "[[source]]\nid = \"liar\"\nkind = \"additional\"\nurl = \"http://{liar}\"\npriority = 5\n\
                 services = [\"feeds\"]\ntoken_file = {token:?}\n{devices}"
            );
        }
        Ok(text)
    }
}

/// Every till at both boxes.
async fn admit(boxes: &[Process; 2], tills: u32) -> anyhow::Result<Vec<Vec<Counter>>> {
    let mut all = Vec::new();
    for number in 1..=tills {
        let mut ways = Vec::new();
        for (one, address) in boxes.iter().zip([FIRST, SECOND]) {
            let body = json!({"name": format!("till-{number}")});
            let admitted = one.control("POST", "/v1/terminals", Some(&body)).await?;
            let token = admitted["token"].as_str().context("a token")?.to_owned();
            ways.push((format!("http://{address}:8080"), token));
        }
        // Half of the tills prefer the second box.
        ways.rotate_left((number % 2).try_into()?);
        all.push(ways);
    }
    Ok(all)
}
