//! NATS JetStream: messages by key, subjects by store and kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::jetstream;
use storebox_tests::company::{Certified, Company};
use storebox_tests::{skip, wait};

use crate::office::{Office, PATIENCE, key, kind};

struct Server {
    folder: PathBuf,
    port: u16,
    /// What it shows, and who vouches for it.
    secure: Option<(Certified, PathBuf)>,
    child: Option<Child>,
}

impl Server {
    /// A running one below this folder; nothing if it is not installed.
    async fn open(
        folder: &Path,
        secure: Option<(Certified, PathBuf)>,
    ) -> anyhow::Result<Option<Self>> {
        if Command::new("nats-server").arg("--version").output().is_err() {
            return Ok(skip("nats-server is not installed"));
        }
        let folder = folder.join("nats");
        fs::create_dir_all(&folder)?;
        let mut server = Self { folder, port: 0, secure, child: None };
        server.start().await?;
        Ok(Some(server))
    }

    /// Starts it; the first time at any free port, later at the same.
    async fn start(&mut self) -> anyhow::Result<()> {
        let port = if self.port == 0 { -1 } else { i32::from(self.port) };
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = Command::new("nats-server");
        if let Some((Certified { certificate, key }, _)) = &self.secure {
            command.arg("--tls").arg("--tlscert").arg(certificate).arg("--tlskey").arg(key);
        }
        let child = command
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string()])
            .arg("-sd")
            .arg(self.folder.join("store"))
            .arg("--ports_file_dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let ports = self.folder.join(format!("nats-server_{}.ports", child.id()));
        self.child = Some(child);
        wait::until("nats-server answers", PATIENCE, || async {
            Ok(fs::read_to_string(&ports).is_ok_and(|text| text.contains("://")))
        })
        .await?;
        let text = fs::read_to_string(&ports)?;
        let url = text.split('"').find(|part| part.contains("://")).context("a url")?;
        self.port = url.rsplit(':').next().context("a port")?.parse()?;
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn url(&self) -> String {
        let scheme = if self.secure.is_some() { "tls" } else { "nats" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    async fn context(&self) -> anyhow::Result<jetstream::Context> {
        let mut options = async_nats::ConnectOptions::new();
        if let Some((_, authority)) = &self.secure {
            options = options.add_root_certificates(authority.clone());
        }
        Ok(jetstream::new(options.connect(self.url()).await?))
    }

    /// Fails unless exactly these transactions are in the stream, each once, in the order of settling.
    async fn check(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let stream = self.context().await?.get_stream("STOREBOX").await?;
        let state = stream.get_info().await?.state;
        ensure!(state.messages == numbers.end - numbers.start, "{} messages", state.messages);
        for (number, sequence) in numbers.zip(state.first_sequence..) {
            let message = stream.get_raw_message(sequence).await?;
            let subject = format!("storebox.store-1.{}", kind(number));
            let text =
                |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
            ensure!(message.subject.as_str() == subject, "{}", message.subject);
            ensure!(text("Nats-Msg-Id") == Some(key(number)), "{number}: {:?}", message.headers);
            ensure!(text("Storebox-Position") == Some(number.to_string()), "{number}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_settled_transaction_is_one_message_whoever_is_killed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut server) = Server::open(folder.path(), None).await? else { return Ok(()) };
    // A server that forgets message ids at once: what follows does not stand on its memory.
    let config = jetstream::stream::Config {
        name: "STOREBOX".to_owned(),
        subjects: vec!["storebox.>".to_owned()],
        duplicate_window: Duration::from_millis(100),
        ..jetstream::stream::Config::default()
    };
    server.context().await?.create_stream(config).await?;
    let settings = format!("[[deliver]]\nid = \"erp\"\nto = \"nats\"\nurl = {:?}\n", server.url());
    let mut office = Office::open(folder.path(), &settings).await?;
    office.settle(1..201).await?;
    office.await_level().await?;
    server.check(1..201).await?;
    let early = office.remember()?;

    office.settle(201..301).await?;
    server.kill();
    office.settle(301..601).await?;
    office.await_failing().await?;
    server.start().await?;
    office.await_level().await?;
    server.check(1..601).await?;

    for round in 0..4_u64 {
        let first = 601 + round * 300;
        office.settle(first..first + 300).await?;
        wait::moment(Duration::from_millis(7 * round)).await;
        office.restart().await?;
    }
    office.await_level().await?;
    server.check(1..1801).await?;

    office.forget(&early).await?;
    office.await_level().await?;
    server.check(1..1801).await
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_server_is_believed_by_its_authority_only() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = Company::found(&folder.path().join("company"))?;
    let other = Company::found(&folder.path().join("other"))?;
    let secure = Some((company.certify()?, company.authority()));
    let Some(server) = Server::open(folder.path(), secure).await? else { return Ok(()) };
    let delivery = |authority: PathBuf| {
        let url = server.url();
        format!(
            "[[deliver]]\nid = \"erp\"\nto = \"nats\"\nurl = {url:?}\nca_file = {authority:?}\n"
        )
    };
    let office = Office::open(&folder.path().join("a"), &delivery(other.authority())).await?;
    office.settle(1..5).await?;
    office.await_failing().await?;
    let office = Office::open(&folder.path().join("b"), &delivery(company.authority())).await?;
    office.settle(1..30).await?;
    office.await_level().await?;
    server.check(1..30).await
}
