//! Newcomers at the door.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use storebox::secrets::Vault;
use storebox::trust::call::Connection;
use storebox::trust::client::Way;
use storebox_proto::trust::words::Ask;
use storebox_proto::trust::{Kind, Secret, Slip, joiner};

use super::{Bench, code_of, complaint, refusal};

async fn post(at: std::net::SocketAddr, path: &str, body: Vec<u8>) -> anyhow::Result<String> {
    let mut connection = Connection::open(at, &Way::proven_later(), None).await?;
    let json = [("content-type", "application/json")];
    Ok(code_of(&connection.send(Method::POST, path, &json, body).await?.body))
}

async fn refused(bench: &Bench) -> anyhow::Result<u64> {
    let status = bench.shop.store.control("GET", "/v1/status", None).await?;
    status["trust"]["refused"].as_u64().context("a number")
}

/// A slip that was opened in time and is shown too late.
async fn expired_slip(bench: &mut Bench) -> anyhow::Result<String> {
    let slip = bench.shop.store.ask(&["enrol", "slip", "--by", "manager"])?;
    bench.shop.store.stop();
    let data = bench.shop.store.data();
    let kept = Vault::open(&data, Path::new(""))?.get("slips").context("slips in the vault")?;
    let mut slips: Value = serde_json::from_str(&kept)?;
    let past = storebox::env::believable().unix_ms() - 5_000;
    let past = storebox_proto::time::Timestamp::from_unix_ms(past).to_string();
    for one in slips.as_array_mut().context("slips")? {
        one["until"] = json!(past);
    }
    // As an earlier release left them; the box takes them into its vault.
    let file = data.join("trust/slips.json");
    fs::write(&file, slips.to_string())?;
    bench.shop.open = bench.shop.store.start().await?;
    ensure!(!file.exists(), "the slips do not stay in the open");
    bench.shop.secure = storebox_tests::chain::secure(&bench.shop.store)?;
    Ok(slip)
}

pub(super) async fn try_all(bench: &mut Bench) -> anyhow::Result<()> {
    let late = expired_slip(bench).await?;
    let before = refused(bench).await?;
    let at = bench.shop.secure;
    let to = at.to_string();
    let open = |bench: &Bench| bench.shop.store.ask(&["enrol", "slip", "--by", "manager"]);
    let (used, closed) = (open(bench)?, open(bench)?);
    bench.shop.chain.join("till-1", &["--slip", &used, "--address", &to])?;
    bench.shop.store.ask(&["enrol", "close", "--by", "manager"])?;
    let guessed = open(bench)?;
    let mut guessed: Slip = guessed.parse()?;
    guessed.secret = Secret::new([7; 16]);
    for (what, code, slip) in [
        ("expired slip", "enrolment_expired", late.clone()),
        ("revoked slip", "enrolment_closed", closed),
        ("replayed slip", "enrolment_closed", used.clone()),
        ("tampered slip", "enrolment_proof", guessed.text()),
    ] {
        let secret = slip.split(':').nth(4).context("a secret")?;
        bench.secrets.push(secret.to_owned());
        let chain = storebox_tests::chain::Chain::at(crate::box_of::executable(), &bench.folder);
        let way = ["--slip", &slip, "--address", &to];
        let attempt = async { complaint(chain.join("till-2", &way)) };
        bench.expect(refusal(what, code), attempt).await?;
    }
    let member = storebox::trust::join::Membership::open(&bench.shop.chain.papers_of("till-1"))?;
    let ask = Ask { kind: Kind::Terminal, name: "till-3".parse()?, key: member.public() };
    // A slip of another site's box, at this one; an honest newcomer would not even show it.
    let foreign: Slip = Slip { id: storebox_proto::trust::slip::SlipId([1; 4]), ..late.parse()? };
    let attempt = async {
        let mut connection = Connection::open(at, &Way::proven_later(), None).await?;
        let (message, _) = joiner::by_slip(&foreign, ask.clone(), connection.channel());
        let json = [("content-type", "application/json")];
        let body = serde_json::to_vec(&message)?;
        let answer = connection.send(Method::POST, "/enrol/v1/slip", &json, body).await?;
        Ok(code_of(&answer.body))
    };
    bench.expect(refusal("foreign-site slip", "enrolment_closed"), attempt).await?;
    let proof = json!({"ask": &ask, "proof": "00".repeat(32)}).to_string();
    let attempt = post(at, "/enrol/v1/code/proof", proof.into_bytes());
    bench.expect(refusal("re-ordered exchange", "enrolment_closed"), attempt).await?;
    let attempt = post(at, "/enrol/v1/slip", vec![b' '; 20_000]);
    bench.expect(refusal("oversized message", "too_large"), attempt).await?;
    ensure!(refused(bench).await? == before + 7, "each is in the number of the door too");
    let share = json!({"share": "00".repeat(32)});
    let url = format!("http://{}/enrol/v1/code/share", bench.shop.open);
    let attempt = async {
        let answer = reqwest::Client::new().post(url).json(&share).send().await?;
        Ok(code_of(&answer.bytes().await?))
    };
    bench.expect(super::disbelief("downgraded enrolment", "tls_required"), attempt).await
}
