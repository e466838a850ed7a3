//! A shop with a printer and a scale, its neighbour box, and head office, and what may happen to them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Client;
use serde_json::{Value, json};
use storebox::demo::device::Simulated;
use storebox::demo::line::Line;
use storebox::demo::process::Process;
use storebox::demo::stage::Stage as Boxes;
use storebox::demo::state::State;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::scale::Model;
use storebox_peripherals::scanner::Framing;
use storebox_peripherals::sim::printer::{Act, Event as PaperEvent, PrinterSim};
use storebox_peripherals::sim::scale::{Act as PlateAct, Event as PlateEvent, ScaleSim};
use storebox_peripherals::sim::scanner::{Acknowledged, ScannerSim};
use storebox_peripherals::sim::script::Script;
use storebox_tests::wait;
use tempfile::TempDir;

use crate::door::Waiting;
use crate::machine;

const PATIENCE: Duration = Duration::from_secs(60);
/// The box beside the shop's.
const NEIGHBOUR: &str = "store-368";

/// What the shop sells: by barcode, and one thing by weight.
const PRODUCTS: &str = r#"{"id":"P1","name":"Coffee beans 500 g","searchKey":"coffee","barcode":"4006381333931","weighed":false}
{"id":"P2","name":"Oat milk 1 l","searchKey":"oat","barcode":"7394376616228","weighed":false}
{"id":"P3","name":"Apples","searchKey":"apples","barcode":"2000000000008","weighed":true,"uom":"kg"}
{"id":"P4","name":"Rye bread","searchKey":"rye","barcode":"4008400404127","weighed":false}
"#;
const PRICES: &str = r#"{"id":"PL1-P1","priceListId":"PL1","productId":"P1","listPrice":"7.49"}
{"id":"PL1-P2","priceListId":"PL1","productId":"P2","listPrice":"2.19"}
{"id":"PL1-P3","priceListId":"PL1","productId":"P3","listPrice":"2.99"}
{"id":"PL1-P4","priceListId":"PL1","productId":"P4","listPrice":"3.20"}
"#;
const CUSTOMERS: &str = r#"{"id":"C1","name":"Anna Berg","searchKey":"anna"}
{"id":"C2","name":"Jonas Falk","searchKey":"jonas"}
"#;
const DISCOUNTS: &str = r#"{"id":"D1","name":"Spring coupon","discount":"10"}
"#;
const COUPONS: &str = r#"{"id":"K1","searchKey":"SPRING10","discountId":"D1"}
"#;

pub(crate) struct Stage {
    boxes: Boxes,
    /// The address by which browsers know the box, whatever its port is after a restart.
    counter: Line,
    neighbour: Option<Process>,
    printer: Simulated<Act, PaperEvent>,
    scale: Simulated<PlateAct, PlateEvent>,
    scanner: Simulated<String, Acknowledged>,
    facts: Value,
    client: Client,
    imports: usize,
    pub(crate) waiting: Waiting,
    folder: TempDir,
}

impl Stage {
    /// Opens the shop with everything in order.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| json!(folder.path().join(name).to_string_lossy()).to_string();
        let settings = format!(
            "[terminal]\nincremental_minutes = 1\npopup_minutes = 5\n\
             [peers]\nsecret_file = {}\n\
             [machine]\nslots_file = {}\nsys_dir = {}\n\
             [[device]]\nid = \"receipts\"\ntill = \"till 3\"\nkind = \"printer\"\nat = {}\nmodel = \"epson-tm-m30\"\n\
             drawers = [\"drawer\"]\n\
             [[device]]\nid = \"counter\"\nkind = \"scale\"\nat = {}\nmodel = \"toledo8217\"\n\
             [[device]]\nid = \"scanner\"\nkind = \"scanner\"\nat = {}\n",
            at("site.secret"),
            json!(machine::tell_slots(folder.path())?.to_string_lossy()),
            json!(machine::tell_sensors(folder.path())?.to_string_lossy()),
            at("printer"),
            at("scale"),
            at("scanner"),
        );
        fs::write(folder.path().join("site.secret"), "a secret of this store only")?;
        let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
        let sim = PrinterSim::new(Profile::epson_m30(), Script::default());
        let printer = Simulated::plug_in(sim, PrinterSim::act, &folder.path().join("printer"))?;
        let sim = ScaleSim::new(Model::Toledo8217, Script::default());
        let scale = Simulated::plug_in(sim, ScaleSim::act, &folder.path().join("scale"))?;
        let sim = ScannerSim::new(Framing::default());
        let scan = |sim: &mut ScannerSim, code: String| sim.scan(&code);
        let scanner = Simulated::plug_in(sim, scan, &folder.path().join("scanner"))?;
        let boxes = Boxes::set(executable, folder.path(), &settings).await?;
        let client = Client::builder().timeout(PATIENCE).build()?;
        let counter = Line::open(boxes.store_address).await?;
        let facts = json!({
            "store": counter.address(),
            "main": boxes.main_address,
            "operator": boxes.store.ask(&["operator", "add", "anna"])?,
            "office": boxes.main.ask(&["operator", "add", "olga"])?,
            "till": boxes.add_till(&"till-1".parse()?)?,
        });
        let (neighbour, imports) = (None, 0);
        let mut stage = Self {
            boxes,
            counter,
            neighbour,
            printer,
            scale,
            scanner,
            facts,
            client,
            imports,
            waiting: Waiting::new(),
            folder,
        };
        stage.import(&[
            ("Product", PRODUCTS),
            ("ProductPrice", PRICES),
            ("BusinessPartner", CUSTOMERS),
            ("Discount", DISCOUNTS),
            ("Coupon", COUPONS),
        ])?;
        stage.await_level().await?;
        Ok(stage)
    }

    /// The box of the shop.
    pub(crate) fn store(&mut self) -> &mut Process {
        &mut self.boxes.store
    }

    /// Head office.
    pub(crate) fn main(&mut self) -> &mut Process {
        &mut self.boxes.main
    }

    /// Where head office is.
    pub(crate) fn main_address(&self) -> SocketAddr {
        self.boxes.main_address
    }

    /// Starts head office again, where the shop's box finds it.
    pub(crate) async fn restart_main(&mut self) -> anyhow::Result<()> {
        self.boxes.main_address = self.boxes.main.start().await?;
        self.boxes.line.set_target(self.boxes.main_address);
        Ok(())
    }

    /// Tells the scripts something more.
    pub(crate) fn tell(&mut self, name: &str, fact: Value) {
        self.facts[name] = fact;
    }

    /// Where all of it lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the boxes are and the tokens that they gave.
    pub(crate) fn facts(&self) -> &Value {
        &self.facts
    }

    /// Does what a script wishes.
    pub(crate) async fn grant(&mut self, wish: &Value) -> anyhow::Result<Value> {
        let text = |name: &str| wish[name].as_str().unwrap_or_default().to_owned();
        match text("do").as_str() {
            "cut" => self.boxes.line.set_up(false),
            "mend" => self.boxes.line.set_up(true),
            "kill" => self.boxes.store.kill(),
            "start" => return self.start().await,
            "paper out" => self.printer.act(Act::PaperOut),
            "paper in" => self.printer.act(Act::PaperIn),
            "weigh" => self.put_on_plate(&text("kg"))?,
            "scan" => self.scanner.act(text("code")),
            "sell" => return self.sell(wish).await,
            "call" => return self.call(wish).await,
            "print" => return self.print(wish).await,
            "doubt" => self.leave_in_doubt(&text("key"), &text("text")).await?,
            "age" => return self.age(wish["minutes"].as_i64().unwrap_or_default()).await,
            "people" => self.people().await?,
            "control" => return Ok(self.boxes.store.control("GET", &text("path"), None).await?),
            "settle before" => self.settle_before(wish).await?,
            "knock" => return self.knock(&text("name")).await,
            "is in" => return self.is_in().await,
            "neighbour" => return self.open_neighbour(wish["found"] == true).await,
            "beside" => return self.ask_neighbour().await,
            "peer" => return self.know_neighbour(&text("address")).await,
            "office" => return Ok(json!(self.boxes.main.ask(&words(&wish["say"]))?)),
            "day" => return self.live_through_a_day().await,
            "find" => self.find()?,
            "catalogue" => self.change(&catalogue(wish["records"].as_u64().unwrap_or_default()))?,
            "add box" => return Ok(json!(self.boxes.main.ask(&["node", "add", &text("name")])?)),
            "change" => {
                self.change(&text("lines"))?;
                self.await_level().await?;
            }
            "import" => self.change(&text("lines"))?,
            "status" => return Ok(self.boxes.store.control("GET", "/v1/status", None).await?),
            "ledger" => return Ok(self.boxes.main.control("GET", "/v1/ledger", None).await?),
            other => bail!("there is no wish {other:?}"),
        }
        Ok(Value::Null)
    }

    pub(crate) async fn start(&mut self) -> anyhow::Result<Value> {
        let address = self.boxes.store.start().await?;
        self.boxes.store_address = address;
        self.counter.set_target(address);
        Ok(json!(address))
    }

    /// The box begins again with a day behind it.
    async fn live_through_a_day(&mut self) -> anyhow::Result<Value> {
        self.boxes.store.stop();
        machine::remember_day(&self.boxes.store.data(), storebox::env::timestamp())?;
        self.start().await
    }

    /// A box that began again by itself has another port.
    fn find(&mut self) -> anyhow::Result<()> {
        let address = fs::read_to_string(self.boxes.store.data().join("http.addr"))?;
        self.boxes.store_address = address.trim().parse()?;
        self.counter.set_target(self.boxes.store_address);
        Ok(())
    }

    fn put_on_plate(&self, kg: &str) -> anyhow::Result<()> {
        self.scale.act(kg.parse()?);
        Ok(())
    }

    /// A sale of another till than the one in the browser.
    async fn sell(&self, wish: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/v1/transactions", self.boxes.store_address);
        let request = self.client.post(url).json(&envelope(wish));
        let request = request.bearer_auth(self.facts["till"].as_str().unwrap_or_default());
        let answer = request.send().await?;
        if let Some(status) = wish["refused"].as_u64() {
            anyhow::ensure!(u64::from(answer.status().as_u16()) == status, "{}", answer.status());
            return Ok(answer.json().await?);
        }
        Ok(answer.error_for_status()?.json().await?)
    }

    /// A call of the till's channel.
    async fn call(&self, wish: &Value) -> anyhow::Result<Value> {
        let service = wish["service"].as_str().unwrap_or_default();
        let url = format!("http://{}/v1/channel/{service}", self.boxes.store_address);
        let request = self.client.post(url).json(&wish["body"]);
        let request = request.bearer_auth(self.facts["till"].as_str().unwrap_or_default());
        Ok(request.send().await?.json().await?)
    }

    /// A paper of the till.
    async fn print(&self, wish: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/v1/printers/receipts/jobs?wait_s=5", self.boxes.store_address);
        let body = json!({"key": wish["key"], "receiptline": wish["text"]});
        let request = self.client.post(url).json(&body);
        let request = request.bearer_auth(self.facts["till"].as_str().unwrap_or_default());
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// A paper whose box is killed while the knife is stuck in it.
    async fn leave_in_doubt(&mut self, key: &str, text: &str) -> anyhow::Result<()> {
        self.printer.act(Act::CutterJam);
        let jobs = format!("http://{}/v1/printers/receipts/jobs", self.boxes.store_address);
        let token = self.facts["till"].as_str().unwrap_or_default();
        let body = json!({"key": key, "receiptline": text});
        let request = self.client.post(&jobs).json(&body).bearer_auth(token);
        request.send().await?.error_for_status()?;
        wait::until("it is being printed", PATIENCE, || async {
            let request = self.client.get(format!("{jobs}/{key}")).bearer_auth(token);
            let job: Value = request.send().await?.error_for_status()?.json().await?;
            Ok(job["state"] != "queued")
        })
        .await?;
        self.boxes.store.kill();
        for act in [Act::CutterFree, Act::PowerCut, Act::PowerOn] {
            self.printer.act(act);
        }
        self.start().await.map(|_| ())
    }

    /// A cashier and a manager with the PIN 4711, and the channel of their till.
    async fn people(&mut self) -> anyhow::Result<()> {
        let plain = json!({"password": "4711"});
        let hash = self.boxes.store.control("POST", "/v1/logins/hash", Some(&plain)).await?;
        let hash = &hash["hash"];
        let user = |id: &str, name: &str, role: &str| json!({"id": id, "searchKey": id, "name": name, "password": hash, "roles": [role]});
        let (ann, bob) = (user("ann", "Ann", "cashier"), user("bob", "Bob", "manager"));
        let role = |id: &str, rights: &[&str]| json!({"id": id, "rights": rights});
        let cashier = role("cashier", &["sell", "print", "weigh"]);
        let manager = role("manager", &["sell", "print", "weigh", "drawer", "manage"]);
        let service = |id: &str| json!({"id": id, "channelId": "shop", "type": id});
        let access = |id: &str, role: &str| json!({"id": id, "channelId": "shop", "roleId": role, "right": "write"});
        self.import(&[
            ("User", &format!("{ann}\n{bob}\n")),
            ("Role", &format!("{cashier}\n{manager}\n")),
            ("Channel", &json!({"id": "shop", "name": "Shop", "type": "pos"}).to_string()),
            ("ChannelService", &format!("{}\n{}\n", service("query"), service("inventory"))),
            ("Access", &format!("{}\n{}\n", access("a1", "cashier"), access("a2", "manager"))),
            (
                "Terminal",
                &json!({"id": "till-1", "channelId": "shop", "roleId": "cashier"}).to_string(),
            ),
        ])?;
        self.await_level().await
    }

    /// Settles a sale at head office as an earlier life of the shop's box would have.
    async fn settle_before(&self, wish: &Value) -> anyhow::Result<()> {
        let token = fs::read_to_string(self.folder.path().join("store.token"))?;
        let url = format!("http://{}/sync/v1/transactions", self.boxes.main_address);
        let body = json!({"node": "store-367", "envelopes": [envelope(wish)]});
        let request = self.client.post(url).bearer_auth(token.trim()).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// How the neighbour is.
    async fn ask_neighbour(&self) -> anyhow::Result<Value> {
        let neighbour = self.neighbour.as_ref().context("there is a neighbour")?;
        Ok(neighbour.control("GET", "/v1/status", None).await?)
    }

    /// A second box of the shop, with a token for the same till; one that is found knows neither till nor page.
    async fn open_neighbour(&mut self, found: bool) -> anyhow::Result<Value> {
        let (folder, executable) =
            (self.folder.path(), Path::new(env!("CARGO_BIN_EXE_storebox-under-test")));
        let token = self.boxes.main.ask(&["node", "add", NEIGHBOUR])?;
        let token_file = folder.join("neighbour.token");
        fs::write(&token_file, token)?;
        let key = State::of(&self.boxes.main).await?.public_key;
        let browser = match found {
            true => String::new(),
            false => format!("[browser]\norigins = [\"http://{}\"]\n", self.counter.address()),
        };
        let settings = format!(
            "role = \"store\"\n[main]\nurl = \"http://{}\"\npublic_key = \"{key}\"\ntoken_file = {}\n\
             [http]\nlisten = [\"127.0.0.1:0\"]\n{browser}[peers]\nsecret_file = {}\n",
            self.boxes.main_address,
            json!(token_file.to_string_lossy()),
            json!(folder.join("site.secret").to_string_lossy()),
        );
        let mut neighbour = Process::lay_out(executable, folder, NEIGHBOUR, &settings)?;
        let address: SocketAddr = neighbour.start().await?;
        let till = match found {
            true => Value::Null,
            false => json!(neighbour.ask(&["terminal", "add", "till-1"])?),
        };
        wait::until("the neighbour has masterdata", PATIENCE, || async {
            Ok(State::of(&neighbour).await?.records() > 0)
        })
        .await?;
        self.neighbour = Some(neighbour);
        Ok(json!({"address": address, "till": till}))
    }

    /// The shop's box starts anew and knows the neighbour at this address.
    async fn know_neighbour(&mut self, address: &str) -> anyhow::Result<Value> {
        let file = self.boxes.store.data().with_file_name("storebox.toml");
        let id = format!("peer-{NEIGHBOUR}");
        let source =
            format!("[[source]]\nid = \"{id}\"\nkind = \"peer\"\nurl = \"http://{address}\"\n");
        fs::write(&file, format!("{}{source}", fs::read_to_string(&file)?))?;
        self.boxes.store.stop();
        self.start().await
    }

    fn import(&mut self, models: &[(&str, &str)]) -> anyhow::Result<()> {
        let dir = self.new_folder()?;
        for (model, lines) in models {
            fs::write(dir.join(format!("{model}.ndjson")), lines)?;
        }
        self.boxes.main.ask(&["import", &dir.to_string_lossy()])?;
        Ok(())
    }

    fn change(&mut self, lines: &str) -> anyhow::Result<()> {
        let dir = self.new_folder()?;
        fs::write(dir.join("changes.ndjson"), lines)?;
        self.boxes.main.ask(&["import", "--changes", &dir.to_string_lossy()])?;
        Ok(())
    }

    fn new_folder(&mut self) -> anyhow::Result<PathBuf> {
        self.imports += 1;
        let dir = self.folder.path().join(format!("import-{}", self.imports));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    async fn await_level(&self) -> anyhow::Result<()> {
        wait::until("replica = author", PATIENCE, || async {
            let author = State::of(&self.boxes.main).await?;
            Ok(author.records() > 0 && State::of(&self.boxes.store).await?.is_level_with(&author))
        })
        .await
    }
}

fn words(say: &Value) -> Vec<&str> {
    say.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Changes that bring so many products, each unlike the others, so that they take their time on a slow line.
fn catalogue(records: u64) -> String {
    let product = |number: u64| {
        let name: String =
            storebox::env::random::<200>().iter().map(|byte| format!("{byte:02x}")).collect();
        let record =
            json!({"id": format!("N{number}"), "name": name, "searchKey": format!("n{number}")});
        json!({"model": "Product", "record": record}).to_string()
    };
    (0..records).map(product).collect::<Vec<_>>().join("\n")
}

/// A sale whose content follows from its number and its amount.
fn envelope(wish: &Value) -> Value {
    let number = wish["number"].as_u64().unwrap_or(1);
    json!({
        "key": format!("0192d3a4-5b6c-7000-8000-{number:012x}"), "kind": "Order", "terminal": "till-1",
        "epoch": 1, "sequence": number, "lane": format!("ticket:{number}"),
        "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {
            "id": format!("order-{number}"), "documentNo": format!("T1/{number:05}"),
            "gross": wish["gross"], "lines": [{"product": "P1", "qty": "1", "gross": wish["gross"]}]
        }
    })
}
