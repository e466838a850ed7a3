//! Tokens of persons.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use serde_json::json;
use storebox_proto::time::Timestamp;
use storebox_proto::token::{Claims, Confirmation, TOKEN_BYTES_MAX};
use storebox_proto::trust::Fingerprint;
use storebox_tests::chain::await_level;

use super::{Bench, ask, ask_open, refusal};
use crate::people::log_in;

const HOUR_MS: i64 = 3_600_000;

/// What a token says, whoever has signed it.
fn claims_of(token: &str) -> anyhow::Result<Claims> {
    let body = token.split('.').nth(2).context("a token")?;
    let bytes = URL_SAFE_NO_PAD.decode(body)?;
    Ok(serde_json::from_slice(&bytes[..bytes.len() - 64])?)
}

pub(super) async fn try_all(bench: &mut Bench) -> anyhow::Result<()> {
    // Another box of the site, whose tokens are believed here, so that any claim can be tried.
    let key = SigningKey::from_bytes(&[77; 32]);
    let public = key.verifying_key();
    let record = json!({"id": Claims::key_id(&public), "node": "store-2",
                        "publicKey": hex(public.as_bytes())});
    bench.shop.chain.import(&bench.shop.main, &[("TokenKey", record.to_string())])?;
    await_level(&bench.shop.main, &bench.shop.store).await?;
    let (secure, open) = (bench.shop.secure, bench.shop.open);
    let till = bench.shop.chain.join_by_slip(&bench.shop.store, secure, "till-1")?;
    let other = bench.shop.chain.join_by_slip(&bench.shop.store, secure, "till-2")?;
    let own = log_in(&mut till.connect(secure).await?, "ann").await?;
    let good = Claims { iss: "store-2".parse()?, ..claims_of(&own)? };
    let bound = good.cnf.map(|cnf: Confirmation| Fingerprint(cnf.spki.0));
    anyhow::ensure!(bound == Some(till.public().fingerprint()), "bound to the key of the till");
    let signed = |change: &dyn Fn(&mut Claims)| {
        let mut claims = good.clone();
        change(&mut claims);
        claims.sign(&key)
    };
    let at = |claims: &Claims, ms: i64| Timestamp::from_unix_ms(claims.iat.unix_ms() + ms);
    let mut broken = own.clone().into_bytes();
    broken[60] ^= 1;
    let tampered = String::from_utf8(broken).context("base64 stays text")?;
    let path = "/v1/models";
    let fine = ask(till.connect(secure).await, path, Some(&signed(&|_| {}))).await;
    anyhow::ensure!(fine.is_empty(), "the good one is believed: {fine}");
    let cases = [
        ("expired token", "token_expired", signed(&|claims| claims.exp = at(claims, -1))),
        ("revoked token", "token_outdated", signed(&|claims| claims.uv += 1)),
        (
            "foreign-site token",
            "token_foreign",
            signed(&|claims| claims.site = "0008".parse().expect("a site")),
        ),
        ("tampered token", "token_broken", tampered),
        (
            "re-ordered token, from a time to come",
            "token_expired",
            signed(&|claims| claims.iat = at(claims, HOUR_MS)),
        ),
        ("oversized token", "token_broken", format!("{own}{}", "A".repeat(TOKEN_BYTES_MAX))),
    ];
    for (what, code, token) in cases {
        bench.secrets.push(token.clone());
        let connection = till.connect(secure).await;
        bench
            .expect(refusal(what, code), async { Ok(ask(connection, path, Some(&token)).await) })
            .await?;
    }
    bench.secrets.push(own.clone());
    let elsewhere = other.connect(secure).await;
    let replayed = refusal("replayed token, at another till", "token_foreign");
    bench.expect(replayed, async { Ok(ask(elsewhere, path, Some(&own)).await) }).await?;
    let downgraded = refusal("downgraded token, in the open", "token_foreign");
    bench.expect(downgraded, ask_open(open, path, Some(&own))).await?;
    let in_url = refusal("downgraded token, in the URL", "token_in_url");
    let leaky = format!("{path}?token={own}");
    bench.expect(in_url, ask_open(open, &leaky, None)).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
