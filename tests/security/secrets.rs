//! Secrets are planted in every place where a box gets one; none is in a log, a status or a number afterwards.

use anyhow::ensure;
use serde_json::json;
use storebox::demo::process::Process;

use crate::box_of::{executable, visible};

const PEPPER: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const VAULT: &str = "6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b";
const PASSWORD: &str = "planted-password-31415";

#[tokio::test(flavor = "multi_thread")]
async fn no_planted_secret_is_seen_anywhere() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    std::fs::write(folder.join("pepper"), PEPPER)?;
    std::fs::write(folder.join("vault.key"), VAULT)?;
    let settings = format!(
        "role = \"main\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[secrets]\nkey_file = \"{at}/vault.key\"\n\
         [login]\npepper_file = \"{at}/pepper\"\n[log]\nlevel = \"trace\"\n",
        at = folder.display()
    );
    let mut office = Process::lay_out(executable(), folder, "head-office", &settings)?;
    let address = office.start().await?.to_string();
    let till = office.ask(&["terminal", "add", "till-1"])?;
    office.ask(&["seal", "new", "--site", "store-7", "--scope", "tills"])?;
    let ring: serde_json::Value = serde_json::from_str(
        &office.ask(&["seal", "show", "--site", "store-7", "--scope", "tills"])?,
    )?;
    let body = json!({"password": PASSWORD});
    let hash = office.control("POST", "/v1/logins/hash", Some(&body)).await?;
    let hash = hash["hash"].as_str().unwrap_or_default().to_owned();
    ensure!(hash.starts_with("$argon2id$"), "{hash}");
    let dir = folder.join("import");
    std::fs::create_dir(&dir)?;
    let user = json!({"id": "u1", "searchKey": "ann", "password": hash, "roles": []});
    std::fs::write(dir.join("User.ndjson"), user.to_string())?;
    office.ask(&["import", &dir.to_string_lossy()])?;

    let (token, half) = use_logins(&address, till.trim()).await?;
    let seen = visible(&office, &address).await?;
    ensure!(seen.contains("login_refused"), "the refusals were logged or counted");
    let secret = |field: &str| ring[field].as_str().unwrap_or("none").to_owned();
    let data = office.data();
    let node_key = std::fs::read_to_string(data.join("node.key"))?;
    for planted in [
        PEPPER,
        VAULT,
        PASSWORD,
        till.trim(),
        &token,
        &half,
        &hash,
        node_key.trim(),
        &secret("chain"),
        &secret("storage"),
    ] {
        ensure!(planted.len() > 10, "{planted:?} is a secret");
        ensure!(!seen.contains(planted), "a secret that begins with {} is visible", &planted[..6]);
    }
    let vault = std::fs::read(data.join("vault"))?;
    let chain = secret("chain");
    ensure!(!vault.windows(chain.len()).any(|window| window == chain.as_bytes()));
    Ok(())
}

/// Logs in rightly and wrongly, and sends tokens where they do not belong; returns a good token and a broken one.
async fn use_logins(address: &str, till: &str) -> anyhow::Result<(String, String)> {
    let client = reqwest::Client::new();
    let log_in = |password: &str| {
        let body = json!({"user": "ann", "password": password});
        client.post(format!("http://{address}/v1/session")).bearer_auth(till).json(&body)
    };
    storebox_tests::wait::until(
        "the user has arrived",
        std::time::Duration::from_secs(30),
        || async { Ok(log_in(PASSWORD).send().await?.status() == 200) },
    )
    .await?;
    let session: serde_json::Value = log_in(PASSWORD).send().await?.json().await?;
    let token = session["token"].as_str().unwrap_or_default().to_owned();
    ensure!(token.starts_with("v4.public."), "{session}");
    log_in(&format!("{PASSWORD}x")).send().await?;
    let in_url = format!("http://{address}/v1/models?token={}", till);
    ensure!(client.get(in_url).send().await?.status() == 400);
    let half = format!("{}x", &token[..token.len() - 1]);
    client.get(format!("http://{address}/v1/models")).bearer_auth(&half).send().await?;
    client.get(format!("http://{address}/v1/models")).bearer_auth(&token).send().await?;
    client
        .post(format!("http://{address}/v1/session"))
        .bearer_auth(till)
        .body(PASSWORD)
        .send()
        .await?;

    Ok((token, half))
}
