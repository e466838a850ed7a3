//! Further servers over TLS: a second one by its certificate of the chain, one behind a balancer by the company's.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::ensure;
use serde_json::json;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::chain::{Chain, LISTEN, secure};
use storebox_tests::company::Company;
use storebox_tests::{skip, wait};

use crate::pushes::figure;
use crate::site::{PATIENCE, Site, executable, log_of, sale, told};
use crate::target::Target;

/// A load balancer that ends TLS with a certificate of the company.
pub(crate) struct Balancer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Balancer {
    pub(crate) async fn open(
        folder: &Path,
        company: &Company,
        to: SocketAddr,
    ) -> anyhow::Result<Option<Self>> {
        if Command::new("nginx").arg("-v").output().is_err() {
            return Ok(skip("nginx is not installed"));
        }
        fs::create_dir_all(folder)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let files = company.certify()?;
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let (home, conf) = (folder.display(), folder.join("nginx.conf"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {home}/{kind};\n")).concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log {home}/log;\nuser root;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten {address} ssl;\nssl_protocols TLSv1.3;\n\
             ssl_certificate {certificate};\nssl_certificate_key {key};\n\
             location / {{ proxy_pass http://{to}; proxy_read_timeout 90s; }}\n}}\n}}\n"
        );
        fs::write(&conf, text)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&conf).stdin(Stdio::null());
        let balancer = Self { child: command.spawn()?, address };
        wait::until("nginx answers", PATIENCE, || async {
            Ok(std::net::TcpStream::connect(address).is_ok())
        })
        .await?;
        Ok(Some(balancer))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn main_server(folder: &Path, chain: &Chain) -> anyhow::Result<(Process, String)> {
    let settings = format!("role = \"main\"\n{LISTEN}");
    let mut main = Process::lay_out(executable(), folder, "main", &settings)?;
    chain.adopt(&main, "main", "head-office")?;
    main.start().await?;
    let catalogue = folder.join("catalogue");
    fs::create_dir_all(&catalogue)?;
    fs::write(catalogue.join("Product.ndjson"), r#"{"id":"1","name":"Apple","barcode":"4001"}"#)?;
    main.ask(&["import", &catalogue.to_string_lossy()])?;
    let key = State::of(&main).await?.public_key;
    Ok((main, key))
}

/// A till sells there, and what it sells is settled.
async fn works(main: &Process, store: &Process, address: SocketAddr) -> anyhow::Result<()> {
    wait::until("replica = author", PATIENCE, || async {
        let author = State::of(main).await?;
        Ok(author.records() > 0 && State::of(store).await?.is_level_with(&author))
    })
    .await?;
    let token = store.ask(&["terminal", "add", "till-1"])?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let request = client.post(format!("http://{address}/v1/transactions"));
    let (status, answer) = told(request.bearer_auth(token.trim()).json(&sale(1, "1.00"))).await?;
    ensure!(status == 200, "{answer}");
    wait::until("settled", PATIENCE, || async { Ok(State::of(store).await?.outbox.settled == 1) })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_reached_by_its_certificate_while_the_first_is_down()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::found(executable(), folder.path())?;
    let (main, key) = main_server(folder.path(), &chain).await?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let settings = format!(
        "role = \"store\"\n[main]\nurl = \"https://{nobody}\"\npublic_key = \"{key}\"\n{LISTEN}\
         [[source]]\nid = \"second\"\nkind = \"additional\"\nurl = \"https://{}\"\n",
        secure(&main)?
    );
    let mut store = Process::lay_out(executable(), folder.path(), "store-1", &settings)?;
    chain.adopt(&store, "store-1", "0007")?;
    let address = store.start().await?;
    works(&main, &store, address).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_a_balancer_is_believed_by_the_companys_authority_only()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::found(executable(), folder.path())?;
    let (main, key) = main_server(folder.path(), &chain).await?;
    let company = Company::found(&folder.path().join("company"))?;
    let other = Company::found(&folder.path().join("other"))?;
    let plain: SocketAddr = fs::read_to_string(main.data().join("http.addr"))?.trim().parse()?;
    let balancer = Balancer::open(&folder.path().join("nginx"), &company, plain).await?;
    let Some(balancer) = balancer else { return Ok(()) };
    let store = |node: &str, authority: &Company| -> anyhow::Result<Process> {
        let token = folder.path().join(format!("{node}.token"));
        fs::write(&token, main.ask(&["node", "add", node])?)?;
        let (url, authority) = (balancer.address, authority.authority());
        let settings = format!(
            "role = \"store\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[main]\nurl = \"https://{url}\"\n\
             public_key = \"{key}\"\ntoken_file = {token:?}\nca_file = {authority:?}\n"
        );
        Ok(Process::lay_out(executable(), folder.path(), node, &settings)?)
    };
    let mut wary = store("store-1", &other)?;
    wary.start().await?;
    wait::until("the log says so", PATIENCE, || async {
        Ok(log_of(&wary)?.contains("the server is not believed"))
    })
    .await?;
    let mut believing = store("store-2", &company)?;
    let address = believing.start().await?;
    works(&main, &believing, address).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_behind_tls_is_told_what_changes_if_its_authority_is_believed()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = Company::found(&folder.path().join("company"))?;
    let other = Company::found(&folder.path().join("other"))?;
    let target = Target::open().await?;
    let balancer = Balancer::open(&folder.path().join("nginx"), &company, target.address()).await?;
    let Some(balancer) = balancer else { return Ok(()) };
    let url = format!("https://{}/told", balancer.address);
    let open = async |name: &str, authority: &Company| -> anyhow::Result<Site> {
        let settings = format!("[webhooks]\nca_file = {:?}\n", authority.authority());
        let site = Site::open(&folder.path().join(name), &settings).await?;
        let push = json!({"id": "erp", "channelId": "web", "entity": "Product",
            "delivery": "webhook", "webhook": {"url": url}});
        site.import(&[
            ("Product", "{\"id\":\"1\",\"name\":\"Tea\"}\n"),
            ("Channel", "{\"id\":\"web\",\"name\":\"Web\",\"type\":\"web-shop\"}\n"),
            ("PushDefinition", &format!("{push}\n")),
        ])?;
        Ok(site)
    };
    let wary = open("a", &other).await?;
    wait::until("the push fails", PATIENCE, || async {
        Ok(figure(&wary, "erp").await.is_ok_and(|erp| !erp["failingSince"].is_null()))
    })
    .await?;
    ensure!(target.more(std::time::Duration::ZERO).await.is_none(), "nothing went there");
    let _believing = open("b", &company).await?;
    let event = target.told().await?;
    ensure!(event.to_string().contains("reset"), "{event}");
    Ok(())
}
