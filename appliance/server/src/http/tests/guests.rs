//! Guests of a box next door pay for what is wrong like everybody else.

use axum::http::{HeaderMap, HeaderValue, Method};
use storebox_proto::problem::Code;

use super::*;
use crate::env;
use crate::http::auth::Ask;
use crate::http::identity::Identity;
use crate::http::server::Peer;
use crate::terminal::next_door::Hello;

/// What the door says to this token, from this address.
fn let_in(server: &Server, token: &str, from: &str) -> Result<Option<Identity>, Code> {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    let headers = HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, value)]);
    let ask = Ask {
        method: &Method::GET,
        path: "/v1/models",
        headers: &headers,
        claim: None,
        peer: Peer::Network(format!("{from}:5").parse().unwrap()),
        shown: None,
        now: env::timestamp(),
    };
    let caller = server.let_in(&ask).map_err(|refusal| refusal.0.code)?;
    assert!(caller.person.is_none());
    Ok(caller.identity)
}

#[tokio::test]
async fn a_guest_comes_in_and_who_guesses_the_token_of_one_is_shut_out_for_a_while() {
    let site = Site::open(1, Http::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let beside = Access::open(dir.path()).unwrap();
    let token = beside.add(Kind::Terminal, "till-9", [9; 32], env::timestamp()).unwrap();
    let operator = beside.add(Kind::Operator, "anna", [8; 32], env::timestamp()).unwrap();
    Hello::of("store-9", beside.terminals()).say(&site.access, env::timestamp()).unwrap();
    let limits = Http::default();
    let server = Server {
        access: site.access.clone(),
        router: axum::Router::new(),
        traffic: Traffic::default(),
        sealing: Sealing::new(site.seals.clone(), &config::Seal::default()),
        logins: site.logins.clone(),
        rates: Rates::new(&limits),
        limits,
        gate: Gate::default(),
        secure: None,
    };
    let guest = Identity::Terminal("till-9".parse().unwrap());
    assert_eq!(let_in(&server, &token, "192.0.2.1"), Ok(Some(guest.clone())));
    assert_eq!(let_in(&server, &operator, "192.0.2.1"), Err(Code::Unauthenticated));
    let wrong = token.replace("09", "0a");
    assert_eq!(let_in(&server, &wrong, "192.0.2.2"), Err(Code::Unauthenticated));
    for _ in 0..100 {
        let_in(&server, &wrong, "192.0.2.2").unwrap_err();
    }
    assert_eq!(let_in(&server, &token, "192.0.2.2"), Err(Code::RateExceeded));
    assert_eq!(let_in(&server, &token, "192.0.2.1"), Ok(Some(guest)));
    site.close().await;
}
