//! A day of a busy shop, told as loudly as a box can; none of the secrets that it used is told.

use std::path::Path;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use storebox::trust::call::Connection;
use storebox_tests::chain::secure;

use crate::box_of::visible;
use crate::people::{PASSWORD, Shop, log_in};

const SITE_SECRET: &str = "planted-secret-of-the-store-2718";
const VAULT: &str = "7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c";

/// The lines of a key file that are the key.
fn key_lines(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| line.len() > 20 && !line.starts_with("-----"));
    Ok(lines.map(str::to_owned).collect())
}

async fn open(folder: &Path) -> anyhow::Result<Shop> {
    std::fs::write(folder.join("site.secret"), SITE_SECRET)?;
    std::fs::write(folder.join("vault.key"), VAULT)?;
    let at = folder.display();
    let settings = format!(
        "[secrets]\nkey_file = \"{at}/vault.key\"\n[peers]\nsecret_file = \"{at}/site.secret\"\n\
         [log]\nlevel = \"trace\"\n"
    );
    Shop::open(folder, "0007", &settings).await
}

/// What tills and people do all day, rightly and wrongly; the secrets that were used.
async fn work(shop: &Shop) -> anyhow::Result<Vec<String>> {
    let mut used = Vec::new();
    let to = shop.secure.to_string();
    let slip = shop.store.ask(&["enrol", "slip", "--by", "manager"])?;
    used.push(slip.split(':').nth(4).context("a secret")?.to_owned());
    let till = shop.chain.join("till-1", &["--slip", &slip, "--address", &to])?;
    ensure!(shop.chain.join("till-2", &["--slip", &slip, "--address", &to]).is_err());
    let code = shop.store.ask(&["enrol", "code", "--by", "manager", "--minutes", "5"])?;
    let code = code.split("   ").next().context("a code")?.to_owned();
    ensure!(shop.chain.join("till-3", &["--code", "0000 0000", "--address", &to]).is_err());
    shop.chain.join("till-2", &["--code", &code, "--address", &to])?;
    used.extend([code.replace(' ', ""), code]);

    let mut connection = till.connect(shop.secure).await?;
    let token = log_in(&mut connection, "ann").await?;
    let wrong = json!({"user": "ann", "password": format!("{PASSWORD}x")});
    ensure!(connection.post::<Value>("/v1/session", &wrong).await.is_err());
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let renewed = connection.send(Method::POST, "/v1/session/renew", &headers, "").await?;
    let renewed: Value = renewed.json()?;
    let next = renewed["token"].as_str().context("a token")?.to_owned();
    let in_url = format!("/v1/models?token={token}");
    connection.send(Method::GET, &in_url, &[], "").await?;
    for number in 1..20 {
        let sale = json!({
            "key": format!("0192d3a4-5b6c-7000-8000-{number:012x}"), "kind": "Order", "terminal": "till-1",
            "epoch": 1, "sequence": number, "lane": format!("ticket:{number}"),
            "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible", "payload": {"id": number}
        });
        connection.send(Method::POST, "/v1/transactions", &headers, sale.to_string()).await?;
        connection.send(Method::GET, "/v1/models/Product/records/P1", &headers, "").await?;
    }
    let plain = shop.store.ask(&["terminal", "add", "till-9"])?.trim().to_owned();
    let client = reqwest::Client::new();
    for bad in [plain.clone(), format!("{plain}0"), next.clone()] {
        let url = format!("http://{}/v1/models", shop.open);
        client.get(url).bearer_auth(&bad).send().await?;
    }
    used.extend([token, next, plain]);
    Ok(used)
}

/// Rings that came from head office and were sealed with, and a store's neighbour that shows its secret.
async fn seal(shop: &Shop) -> anyhow::Result<Vec<String>> {
    let mut used = Vec::new();
    for scope in ["boxes", "tills"] {
        shop.store.ask(&["seal", "new", "--site", "0007", "--scope", scope])?;
        let ring = shop.store.ask(&["seal", "show", "--site", "0007", "--scope", scope])?;
        let ring: Value = serde_json::from_str(&ring)?;
        used.extend(
            ["chain", "storage"].map(|key| ring[key].as_str().unwrap_or("none").to_owned()),
        );
    }
    let neighbour = shop.chain.papers_of("till-1");
    let address = shop.secure.to_string();
    let dir = neighbour.to_string_lossy();
    shop.chain.run(&["enrol", "renew", "--dir", &dir, "--address", &address])?;
    used.extend(key_lines(&neighbour.join("member.key"))?);
    Ok(used)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_days_log_shows_none_of_the_secrets_that_were_used() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut shop = open(folder.path()).await?;
    let mut used = work(&shop).await?;
    used.extend(seal(&shop).await?);
    // A restart tells a lot about what is read.
    shop.store.stop();
    shop.open = shop.store.start().await?;
    shop.secure = secure(&shop.store)?;
    Connection::open(shop.secure, &storebox::trust::client::Way::proven_later(), None).await?;
    let data = shop.store.data();
    used.extend(
        ["box.key", "door.key"]
            .map(|name| key_lines(&data.join("trust").join(name)))
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?
            .concat(),
    );
    used.push(std::fs::read_to_string(data.join("node.key"))?.trim().to_owned());
    used.extend([PASSWORD, VAULT, SITE_SECRET].map(str::to_owned));
    let mut seen = visible(&shop.store, &shop.open.to_string()).await?;
    seen.push_str(&std::fs::read_to_string(shop.main.data().with_file_name("log"))?);
    seen.push_str(&shop.store.ask(&["enrol", "audit"])?);
    for wanted in ["enrolment refused", "login_refused", "token_in_url", "TRACE"] {
        ensure!(seen.contains(wanted), "the day was not told loudly: {wanted:?} is missing");
    }
    ensure!(used.len() > 15, "{} secrets", used.len());
    for secret in &used {
        ensure!(secret.len() >= 8, "{secret:?} is a secret");
        ensure!(
            !seen.contains(secret.as_str()),
            "a secret that begins with {} is told",
            &secret[..4]
        );
    }
    eprintln!("{} secrets in {} bytes of what the box tells: none", used.len(), seen.len());
    Ok(())
}
