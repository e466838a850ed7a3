//! Persons at tills: logins, tokens from here and elsewhere, rights, and everything that is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::seal::read::{self, Query};
use storebox_proto::token::{Claims, Right};

use super::*;
use crate::env;
use crate::login::What;

/// What makes a good token a bad one.
type Change<'a> = &'a dyn Fn(&mut Claims);

/// The key of another box of the site.
fn elsewhere() -> SigningKey {
    SigningKey::from_bytes(&[77; 32])
}

async fn people(required: &[Right]) -> Plan {
    let dir = tempfile::tempdir().unwrap();
    let hashing = logins(dir.path(), "box-1", config::Login::default());
    let pin = hashing.hash(Zeroizing::new("4711".to_owned())).await.unwrap();
    let public = elsewhere().verifying_key();
    let estate = vec![
        (
            "User",
            json!({"id": "u1", "searchKey": "ann", "name": "Ann", "password": pin, "roles": ["cashier"]}),
        ),
        (
            "User",
            json!({"id": "u2", "searchKey": "bob", "name": "Bob", "password": pin, "roles": ["manager"]}),
        ),
        (
            "User",
            json!({"id": "u3", "searchKey": "eve", "password": pin, "active": false, "roles": ["manager"]}),
        ),
        ("User", json!({"id": "u4", "searchKey": "far", "password": pin, "sites": ["store-9"]})),
        (
            "User",
            json!({"id": "u5", "searchKey": "old", "password": pin, "validUntil": "2020-01-01T00:00:00Z"}),
        ),
        (
            "User",
            json!({"id": "u6", "searchKey": "web", "name": "Web", "password": pin, "roles": ["reader"]}),
        ),
        ("Role", json!({"id": "cashier", "rights": ["sell", "print"]})),
        ("Role", json!({"id": "reader", "rights": ["sell"]})),
        ("Role", json!({"id": "manager", "rights": ["sell", "print", "drawer", "manage"]})),
        (
            "TokenKey",
            json!({"id": Claims::key_id(&public), "node": "box-2",
                            "publicKey": hex::encode(public.as_bytes())}),
        ),
        ("Terminal", json!({"id": "till-1", "channelId": "shop"})),
        ("Access", json!({"id": "a1", "channelId": "shop", "roleId": "cashier", "right": "write"})),
        ("Access", json!({"id": "a2", "channelId": "shop", "roleId": "manager", "right": "write"})),
        (
            "Access",
            json!({"id": "a3", "channelId": "shop", "roleId": "reader", "right": "read-only"}),
        ),
    ];
    let login = config::Login { required: required.to_vec(), ..config::Login::default() };
    Plan { estate, login, ..Site::plan(1, Http::default()) }
}

impl Site {
    async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let method = method.parse().unwrap();
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let response = request.bearer_auth(token).json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    async fn log_in(&self, user: &str, password: &str) -> (u16, Value) {
        let body = json!({"user": user, "password": password});
        self.call("POST", "/v1/session", &self.token, body).await
    }

    async fn token_of(&self, user: &str) -> String {
        let (status, session) = self.log_in(user, "4711").await;
        assert_eq!(status, 200, "{session}");
        session["token"].as_str().unwrap().to_owned()
    }

    async fn code_for(&self, token: &str, method: &str, path: &str) -> Option<Code> {
        let (_, answer) = self.call(method, path, token, json!({})).await;
        serde_json::from_value::<Problem>(answer).ok().map(|problem| problem.code)
    }
}

fn claims_of(token: &str) -> Claims {
    let body = token.split('.').nth(2).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(body).unwrap();
    serde_json::from_slice(&bytes[..bytes.len() - 64]).unwrap()
}

#[tokio::test]
async fn a_cashier_logs_in_without_head_office_and_works_with_the_token() {
    let site = people(&[]).await.open().await;
    let (status, session) = site.log_in("ann", "4711").await;
    assert_eq!((status, &session["rights"]), (200, &json!(["sell", "print"])), "{session}");
    assert_eq!((&session["channel"], &session["till"]), (&json!("write"), &json!("till-1")));
    let token = session["token"].as_str().unwrap();
    let (status, who) = site.call("GET", "/v1/session", token, json!({})).await;
    assert_eq!((status, &who["name"], who.get("token")), (200, &json!("Ann"), None));
    assert_eq!(site.code_for(token, "GET", "/v1/models").await, None);
    let (status, renewed) = site.call("POST", "/v1/session/renew", token, json!({})).await;
    assert_eq!(status, 200, "{renewed}");
    let renewed = claims_of(renewed["token"].as_str().unwrap());
    assert_eq!(renewed.login, claims_of(token).login, "the shift goes on");
    let (status, _) = site.call("DELETE", "/v1/session", token, json!({})).await;
    assert_eq!(status, 204);
    let what: Vec<_> = site.logins.audit().iter().map(|entry| entry.what).collect();
    assert_eq!(what, [What::Out, What::In]);
    assert_eq!(site.code_for(&site.token, "GET", "/v1/session").await, Some(Code::PersonRequired));
}

#[tokio::test]
async fn who_may_not_work_here_is_refused_and_nobody_learns_why() {
    let site = people(&[]).await.open().await;
    let mut details = std::collections::BTreeSet::new();
    for (user, password) in [
        ("ann", "4712"),
        ("nobody", "4711"),
        ("eve", "4711"),
        ("far", "4711"),
        ("old", "4711"),
        ("ann", ""),
    ] {
        let (status, refused) = site.log_in(user, password).await;
        assert_eq!((status, &refused["code"]), (401, &json!("login_refused")), "{user}");
        details.insert(refused["detail"].to_string());
    }
    assert_eq!(details.len(), 1, "one answer for all: {details:?}");
    let long = "9".repeat(1000);
    assert_eq!(site.log_in("bob", &long).await.0, 401);
    let refused = site.call("GET", "/v1/models/User/records", &site.token, json!({})).await;
    assert_eq!(refused.1["code"], "forbidden", "hashes are not for tills");
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_around_the_table() {
    let site = people(&[]).await.open().await;
    let ann = site.token_of("ann").await;
    for path in [
        "/v1/models/%55ser/records",
        "/v1/models/Use%72/records/u1",
        "/v1/models/User/recor%64s",
        "/v1/%6dodels/User/records",
        "/v1/models/Product/records/P%2D1",
    ] {
        for token in [&site.token, &ann] {
            let code = site.code_for(token, "GET", path).await;
            assert_eq!(code, Some(Code::ParameterInvalid), "{path}");
        }
        let keys = site.till_keys();
        let sealed = read::seal(&keys, &Query::new(path, Vec::new()).unwrap());
        let response = site.client.get(format!("http://{}{sealed}", site.address)).send().await;
        let problem: Problem = response.unwrap().json().await.unwrap();
        let refused = [Code::ParameterInvalid, Code::SealNotShared];
        assert!(refused.contains(&problem.code), "{path}, sealed: {problem:?}");
    }
    let (status, found) = site.get("/v1/models/Product/records/a%20b").await;
    assert_eq!((status, found["code"].as_str()), (404, Some("record_unknown")), "what needs it");
}

#[tokio::test]
async fn names_that_nobody_has_cost_no_memory() {
    let site = people(&[]).await.open().await;
    for _ in 0..10 {
        let (status, refused) = site.log_in(&"x".repeat(300), "4711").await;
        assert_eq!((status, &refused["code"]), (401, &json!("login_refused")), "never locked");
    }
    assert!(site.logins.audit().is_empty(), "nor is it written down");
    let (status, refused) = site.log_in(&"x".repeat(5000), "4711").await;
    assert_eq!((status, &refused["code"]), (413, &json!("too_large")));
}

#[tokio::test]
async fn who_guesses_is_locked_out_at_this_till_and_it_is_written_down() {
    let site = people(&[]).await.open().await;
    for _ in 0..5 {
        assert_eq!(site.log_in("ann", "0000").await.0, 401);
    }
    let request = site.client.post(format!("http://{}/v1/session", site.address));
    let request =
        request.bearer_auth(&site.token).json(&json!({"user": "ann", "password": "4711"}));
    let locked = request.send().await.unwrap();
    assert_eq!(locked.status(), 429);
    let wait: u64 = locked.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((20..=30).contains(&wait), "{wait}");
    assert_eq!(locked.json::<Problem>().await.unwrap().code, Code::LoginLocked);
    assert_eq!(site.log_in("bob", "4711").await.0, 200, "a colleague works on");
    let audit = site.logins.audit();
    assert_eq!(audit[1].what, What::Locked);
    assert_eq!(audit.iter().filter(|entry| entry.what == What::Refused).count(), 5);
    let refusals = site.traffic.refusals();
    assert!(
        refusals.contains(&(Code::LoginRefused, 5)) && refusals.contains(&(Code::LoginLocked, 1))
    );
}

#[tokio::test]
async fn a_token_of_another_box_of_the_site_is_believed_and_each_bad_one_has_its_code() {
    let site = people(&[]).await.open().await;
    let mut good = claims_of(&site.token_of("ann").await);
    good.iss = "box-2".parse().unwrap();
    let signed = |change: &dyn Fn(&mut Claims)| {
        let mut claims = good.clone();
        change(&mut claims);
        claims.sign(&elsewhere())
    };
    let at = |claims: &Claims, ms: i64| Timestamp::from_unix_ms(claims.iat.unix_ms() + ms);
    let cases: [(Change<'_>, Option<Code>); 8] = [
        (&|_| {}, None),
        (&|claims| claims.exp = at(claims, -1), Some(Code::TokenExpired)),
        (&|claims| claims.iat = at(claims, 600_000), Some(Code::TokenExpired)),
        (&|claims| claims.login = at(claims, -13 * 3_600_000), Some(Code::TokenExpired)),
        (&|claims| claims.site = "store-8".parse().unwrap(), Some(Code::TokenForeign)),
        (&|claims| claims.uv += 1, Some(Code::TokenOutdated)),
        (&|claims| claims.sub = "u3".to_owned(), Some(Code::TokenOutdated)),
        (&|claims| claims.iss = "box-1".parse().unwrap(), Some(Code::TokenBroken)),
    ];
    for (index, (change, wanted)) in cases.into_iter().enumerate() {
        assert_eq!(
            site.code_for(&signed(change), "GET", "/v1/models").await,
            wanted,
            "case {index}"
        );
    }
    let stranger = good.sign(&SigningKey::from_bytes(&[78; 32]));
    assert_eq!(site.code_for(&stranger, "GET", "/v1/models").await, Some(Code::TokenForeign));
    let mut flipped = signed(&|_| {}).into_bytes();
    flipped[40] ^= 1;
    let flipped = String::from_utf8(flipped).unwrap();
    assert_eq!(site.code_for(&flipped, "GET", "/v1/models").await, Some(Code::TokenBroken));
    let in_url = format!("/v1/models?token={}", signed(&|_| {}));
    assert_eq!(site.code_for(&site.token, "GET", &in_url).await, Some(Code::TokenInUrl));
    site.access.revoke(Kind::Terminal, "till-1", env::timestamp()).unwrap();
    assert_eq!(site.code_for(&signed(&|_| {}), "GET", "/v1/models").await, Some(Code::Revoked));
}

#[tokio::test]
async fn roles_and_channels_decide_what_a_person_may_do() {
    let site = people(&[]).await.open().await;
    let (ann, bob, web) =
        (site.token_of("ann").await, site.token_of("bob").await, site.token_of("web").await);
    let drawer = "/v1/drawers/drawer-1/open";
    // Whoever passes finds no drawer here.
    assert_eq!(site.code_for(&ann, "POST", drawer).await, Some(Code::RightMissing));
    assert_eq!(site.code_for(&bob, "POST", drawer).await, Some(Code::PathUnknown));
    assert_eq!(site.code_for(&site.token, "POST", drawer).await, Some(Code::PathUnknown));
    assert_eq!(site.code_for(&ann, "POST", "/v1/transactions").await, Some(Code::PathUnknown));
    assert_eq!(site.code_for(&web, "POST", "/v1/transactions").await, Some(Code::ReadOnly));
    assert_eq!(site.code_for(&web, "GET", "/v1/models").await, None);
    assert_eq!(site.code_for(&bob, "GET", "/v1/terminals").await, Some(Code::Forbidden));
}

#[tokio::test]
async fn where_a_person_is_needed_the_till_alone_does_not_open_the_drawer() {
    let site = people(&[Right::Drawer]).await.open().await;
    let drawer = "/v1/drawers/drawer-1/open";
    assert_eq!(site.code_for(&site.token, "POST", drawer).await, Some(Code::PersonRequired));
    let bob = site.token_of("bob").await;
    assert_eq!(site.code_for(&bob, "POST", drawer).await, Some(Code::PathUnknown));
    assert_eq!(
        site.code_for(&site.token, "POST", "/v1/transactions").await,
        Some(Code::PathUnknown)
    );
}

#[tokio::test]
async fn a_flood_of_logins_is_told_to_wait_and_the_shop_sells_on() {
    let site = people(&[]).await.open().await;
    let flood = (0..60).map(|number| {
        let body = json!({"user": format!("x{number}"), "password": "1"});
        let request = site.client.post(format!("http://{}/v1/session", site.address));
        request.bearer_auth(&site.token).json(&body).send()
    });
    let flood = futures_util::future::join_all(flood);
    let selling = async {
        let mut waits = Vec::new();
        for _ in 0..20 {
            let begun = env::instant();
            assert_eq!(
                site.code_for(&site.token, "GET", "/v1/models/Product/records/P00000").await,
                None
            );
            waits.push(begun.elapsed());
        }
        waits.into_iter().max().unwrap()
    };
    let (answers, slowest) = tokio::join!(flood, selling);
    let busy =
        answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 503).count();
    assert!(busy > 0, "some were told to wait");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert_eq!(site.log_in("ann", "4711").await.0, 200);
}
