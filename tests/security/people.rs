//! A shop with people: a chain with certificates, and users whose passwords the shop's own box can judge.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox::trust::call::Connection;
use storebox_tests::chain::{Chain, LISTEN, await_level};

use crate::box_of::executable;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "planted-password-31415";

/// Head office and a shop of a site, with people.
pub(crate) struct Shop {
    pub(crate) chain: Chain,
    pub(crate) main: Process,
    pub(crate) store: Process,
    pub(crate) open: SocketAddr,
    pub(crate) secure: SocketAddr,
}

impl Shop {
    /// The till `till-1` belongs to a channel in which `web` may only read; `ann` is manager, `nil` has no right at all.
    pub(crate) async fn open(folder: &Path, site: &str, settings: &str) -> anyhow::Result<Self> {
        let chain = Chain::found(executable(), folder)?;
        let (main, section) = chain.main("").await?;
        let settings = format!(
            "{section}{LISTEN}[discovery]\nannounce = false\nsite = \"{site}\"\n{settings}"
        );
        let (store, open, secure) = chain.shop("store-1", site, &settings).await?;
        let body = json!({"password": PASSWORD});
        let hash = store.control("POST", "/v1/logins/hash", Some(&body)).await?["hash"].clone();
        chain.import(&main, &people(&hash))?;
        await_level(&main, &store).await?;
        Ok(Self { chain, main, store, open, secure })
    }
}

fn people(hash: &Value) -> Vec<(&'static str, String)> {
    let lines =
        |records: &[Value]| records.iter().map(|record| format!("{record}\n")).collect::<String>();
    let user = |id: &str, roles: &[&str]| json!({"id": id, "searchKey": id, "name": id, "password": hash, "roles": roles});
    let all = ["sell", "print", "weigh", "drawer", "manage"];
    let access = |id: &str, role: &str, right: &str| json!({"id": id, "channelId": "shop", "roleId": role, "right": right});
    vec![
        (
            "User",
            lines(&[user("ann", &["manager"]), user("web", &["reader"]), user("nil", &["guest"])]),
        ),
        (
            "Role",
            lines(&[
                json!({"id": "manager", "rights": all}),
                json!({"id": "reader", "rights": all}),
                json!({"id": "guest", "rights": []}),
            ]),
        ),
        ("Channel", lines(&[json!({"id": "shop", "name": "Shop", "type": "kiosk"})])),
        (
            "ChannelService",
            lines(&[
                json!({"id": "customer", "channelId": "shop", "type": "customer"}),
                json!({"id": "query", "channelId": "shop", "type": "query"}),
            ]),
        ),
        (
            "Access",
            lines(&[
                access("a1", "manager", "write"),
                access("a2", "reader", "read-only"),
                access("a3", "guest", "write"),
            ]),
        ),
        (
            "Terminal",
            lines(&[
                json!({"id": "till-1", "channelId": "shop", "roleId": "manager"}),
                json!({"id": "till-2", "channelId": "shop", "roleId": "manager"}),
            ]),
        ),
        ("Product", lines(&[json!({"id": "P1", "barcode": "4001", "name": "Marmalade"})])),
    ]
}

/// Logs somebody in over a till's connection; the token.
pub(crate) async fn log_in(connection: &mut Connection, user: &str) -> anyhow::Result<String> {
    let body = json!({"user": user, "password": PASSWORD});
    let session: Value = connection.post("/v1/session", &body).await?;
    let token = session["token"].as_str().context("a token")?.to_owned();
    ensure!(token.starts_with("v4.public."), "{session}");
    Ok(token)
}
