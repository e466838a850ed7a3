//! Sealed requests.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use reqwest::Client;
use storebox_proto::seal::answer::{self, Question};
use storebox_proto::seal::read::{self, Query};
use storebox_proto::seal::write::{self, Write};
use storebox_proto::seal::{Keys, Ring, RingState, Scope, SiteKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Bench, ask_open, code_of, refusal};
use crate::people::Shop;

/// What seals at a box now, and in other epochs.
struct Sealer {
    keys: Keys,
    client: Client,
    at: SocketAddr,
    token: String,
}

impl Sealer {
    /// Reads masterdata; the code of the refusal.
    async fn read(&self, keys: &Keys) -> anyhow::Result<String> {
        let url = read::seal(keys, &Query::new("/v1/models/Product/records/P1", Vec::new())?);
        let answer = self.client.get(format!("http://{}{url}", self.at)).send().await?;
        Ok(code_of(&answer.bytes().await?))
    }

    fn write(&self, life: u64, counter: u64) -> Write {
        Write {
            life,
            counter,
            key: storebox::env::random(),
            method: "GET".to_owned(),
            target: "/v1/terminal/config".to_owned(),
            headers: vec![("authorization".to_owned(), format!("Bearer {}", self.token))],
            body: Vec::new(),
        }
    }

    /// Posts a write; the code of the refusal, outside or inside of the seal, and the life of the box.
    async fn post(&self, write: &Write) -> anyhow::Result<(String, u64)> {
        let (url, body) = write::seal(&self.keys, write, &storebox::env::random());
        let question = Question::write(&url, &body);
        let sent = self.client.post(format!("http://{}{url}", self.at)).body(body).send().await?;
        let sealed = sent.bytes().await?;
        match answer::open(&self.keys, &question, &sealed) {
            Ok(answer) => Ok((code_of(&answer.body), answer.life)),
            Err(_) => Ok((code_of(&sealed), 0)),
        }
    }
}

/// Posts what nobody takes: the box answers and closes before all of it is sent, so both ways go at once.
async fn post_too_much(at: SocketAddr, url: &str, body: &[u8]) -> anyhow::Result<String> {
    let (mut from, mut to) = TcpStream::connect(at).await?.into_split();
    let head = format!(
        "POST {url} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let writing = async {
        to.write_all(head.as_bytes()).await?;
        to.write_all(body).await
    };
    let mut answer = Vec::new();
    let (written, _) = tokio::join!(writing, from.read_to_end(&mut answer));
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.with_context(|| format!("no answer; writing ended with {written:?}"))?;
    Ok(code_of(&answer[end + 4..]))
}

fn ring_of(shop: &Shop) -> anyhow::Result<Ring> {
    let ring = shop.store.ask(&["seal", "show", "--site", "0007", "--scope", "tills"])?;
    Ok(Ring::resume(serde_json::from_str::<RingState>(&ring)?))
}

pub(super) async fn try_all(bench: &mut Bench) -> anyhow::Result<()> {
    bench.shop.store.ask(&["seal", "new", "--site", "0007", "--scope", "tills"])?;
    let token = bench.shop.store.ask(&["terminal", "add", "till-5"])?.trim().to_owned();
    bench.secrets.push(token.clone());
    let ring = ring_of(&bench.shop)?;
    let epoch = ring.epoch_at(storebox::env::believable());
    let of = |ring: &Ring, epoch: u32| ring.keys(epoch).context("an epoch that is not forgotten");
    let (client, at) = (Client::new(), bench.shop.open);
    let sealer = Sealer { keys: of(&ring, epoch)?, client, at, token };
    ensure!(sealer.read(&sealer.keys).await?.is_empty(), "the good one is opened");
    let over = of(&ring, epoch + 3)?;
    bench.expect(refusal("expired epoch", "seal_expired"), sealer.read(&over)).await?;
    let now = storebox::env::believable();
    let foreign = Ring::begin(&SiteKey::new([3; 32]), "0008".parse()?, Scope::Tills, 1, now);
    let foreign = of(&foreign, foreign.epoch_at(now))?;
    let wanted = refusal("foreign-site seal", "seal_key_unknown");
    bench.expect(wanted, sealer.read(&foreign)).await?;

    let (_, life) = sealer.post(&sealer.write(0, 0)).await?;
    let first = sealer.write(life, 1000);
    let (fine, _) = sealer.post(&first).await?;
    ensure!(fine.is_empty(), "{fine}");
    let replay = async { Ok(sealer.post(&first).await?.0) };
    bench.expect(refusal("replayed write", "seal_replayed"), replay).await?;
    let late = sealer.write(life, 900);
    let attempt = async { Ok(sealer.post(&late).await?.0) };
    bench.expect(refusal("re-ordered write", "seal_reordered"), attempt).await?;
    let tampered = async {
        let (url, mut body) =
            write::seal(&sealer.keys, &sealer.write(life, 1001), &storebox::env::random());
        *body.last_mut().context("a seal")? ^= 1;
        let sent = sealer.client.post(format!("http://{at}{url}")).body(body).send().await?;
        Ok(code_of(&sent.bytes().await?))
    };
    bench.expect(refusal("tampered write", "seal_broken"), tampered).await?;
    let oversized = async {
        let long = Write { body: vec![b' '; 8 * 1024 * 1024], ..sealer.write(life, 1002) };
        let (url, body) = write::seal(&sealer.keys, &long, &storebox::env::random());
        post_too_much(at, &url, &body).await
    };
    bench.expect(refusal("oversized write", "too_large"), oversized).await?;
    bench.shop.store.ask(&["seal", "remove", "--site", "0007", "--scope", "tills"])?;
    let wanted = refusal("revoked ring", "seal_key_unknown");
    bench.expect(wanted, sealer.read(&sealer.keys)).await?;

    // The same till where nothing is taken in the open.
    let config = bench.folder.join("store-1/storebox.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, format!("{text}[seal]\nrequired = [\"tills\"]\n"))?;
    bench.shop.store.stop();
    bench.shop.open = bench.shop.store.start().await?;
    let attempt = ask_open(bench.shop.open, "/v1/models", Some(&sealer.token));
    bench.expect(refusal("downgraded to the open", "seal_required"), attempt).await
}
