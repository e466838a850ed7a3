//! A shop whose way out leads through a proxy: tinyproxy, in front of a head office with and without TLS.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::ensure;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::chain::{Chain, LISTEN};
use storebox_tests::{skip, wait};

use crate::site::{PATIENCE, executable, sale, told};

/// The proxy, until it is switched off.
struct Proxy {
    child: Child,
    address: SocketAddr,
    conf: PathBuf,
    log: PathBuf,
}

impl Proxy {
    async fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        if Command::new("tinyproxy").arg("-v").output().is_err() {
            return Ok(skip("tinyproxy is not installed"));
        }
        fs::create_dir_all(folder)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (conf, log) = (folder.join("conf"), folder.join("log"));
        let text = format!(
            "Port {}\nListen {}\nTimeout 600\nMaxClients 64\nLogLevel Connect\nLogFile {log:?}\nAllow 127.0.0.1\n",
            address.port(),
            address.ip()
        );
        fs::write(&conf, text)?;
        let proxy = Self { child: start(&conf)?, address, conf, log };
        proxy.answers().await?;
        Ok(Some(proxy))
    }

    fn switch_off(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn switch_on(&mut self) -> anyhow::Result<()> {
        self.child = start(&self.conf)?;
        self.answers().await
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let address = self.address;
        wait::until("tinyproxy answers", PATIENCE, || async move {
            Ok(TcpStream::connect(address).is_ok())
        })
        .await
    }

    fn settings(&self) -> String {
        format!("[proxy]\nurl = \"http://{}\"\n", self.address)
    }

    /// Whether it has led to this address.
    fn has_led_to(&self, address: SocketAddr) -> anyhow::Result<bool> {
        Ok(fs::read_to_string(&self.log)?.contains(&format!("CONNECT {address}")))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.switch_off();
    }
}

fn start(conf: &Path) -> std::io::Result<Child> {
    let mut command = Command::new("tinyproxy");
    command.arg("-d").arg("-c").arg(conf).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn()
}

/// A shop's box and its till.
struct Shop {
    store: Process,
    address: SocketAddr,
    token: String,
}

impl Shop {
    fn of(store: Process, address: SocketAddr) -> anyhow::Result<Self> {
        let token = store.ask(&["terminal", "add", "till-1"])?.trim().to_owned();
        Ok(Self { store, address, token })
    }

    async fn sell(&self, number: u64) -> anyhow::Result<()> {
        let request =
            reqwest::Client::new().post(format!("http://{}/v1/transactions", self.address));
        let request = request.bearer_auth(&self.token).json(&sale(number, "1.00"));
        let (status, answer) = told(request).await?;
        ensure!(status == 200, "{answer}");
        Ok(())
    }

    async fn await_settled(&self, count: u64) -> anyhow::Result<()> {
        wait::until("settled", PATIENCE, || async {
            Ok(State::of(&self.store).await?.outbox.settled == count)
        })
        .await
    }

    /// The state as a whole, as text.
    fn status(&self) -> anyhow::Result<String> {
        Ok(self.store.ask(&["status", "--json"])?)
    }
}

/// An address of this machine that a box does not know as such: what leads to itself is never asked of a proxy.
fn beyond(text: &str) -> String {
    text.replace("//127.0.0.1", "//0.0.0.0")
}

/// Sales go up through the proxy, wait while it is away, which is told by its name, and go up when it is back.
async fn goes_up_through(proxy: &mut Proxy, shop: &Shop, main: SocketAddr) -> anyhow::Result<()> {
    shop.sell(1).await?;
    shop.await_settled(1).await?;
    ensure!(proxy.has_led_to(main)?, "the proxy saw no tunnel to {main}");
    proxy.switch_off();
    shop.sell(2).await?;
    let name = format!("the proxy http://{} does not answer", proxy.address);
    wait::until(&name, PATIENCE, || async { Ok(shop.status()?.contains(&name)) }).await?;
    let findings = shop.status()?;
    ensure!(findings.contains("proxy_down"), "{findings}");
    proxy.switch_on().await?;
    shop.await_settled(2).await?;
    wait::until("nothing is said of it", PATIENCE, || async {
        Ok(!shop.status()?.contains("proxy_down"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_go_up_through_the_shops_proxy_over_tls_and_one_that_dies_is_named()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut proxy) = Proxy::open(&folder.path().join("proxy")).await? else { return Ok(()) };
    let chain = Chain::found(executable(), folder.path())?;
    let (main, section) = chain.main("").await?;
    let at = SocketAddr::from(([0, 0, 0, 0], storebox_tests::chain::secure(&main)?.port()));
    let settings = format!("{}{}{LISTEN}", beyond(&section), proxy.settings());
    let (store, address, _) = chain.shop("store-1", "0007", &settings).await?;
    goes_up_through(&mut proxy, &Shop::of(store, address)?, at).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_office_without_tls_is_reached_through_a_tunnel_as_well() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut proxy) = Proxy::open(&folder.path().join("proxy")).await? else { return Ok(()) };
    let listen = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
    let main = format!("role = \"main\"\n{listen}");
    let mut main = Process::lay_out(executable(), folder.path(), "main", &main)?;
    let at = SocketAddr::from(([0, 0, 0, 0], main.start().await?.port()));
    let (key, token) = (State::of(&main).await?.public_key, folder.path().join("token"));
    fs::write(&token, main.ask(&["node", "add", "store-1"])?)?;
    let settings = format!(
        "role = \"store\"\n{listen}[main]\nurl = \"http://{at}\"\npublic_key = \"{key}\"\ntoken_file = {token:?}\n{}",
        proxy.settings()
    );
    let mut store = Process::lay_out(executable(), folder.path(), "store-1", &settings)?;
    let address = store.start().await?;
    goes_up_through(&mut proxy, &Shop::of(store, address)?, at).await
}
