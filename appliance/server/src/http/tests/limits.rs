//! What is too much, too often or not meant to be, and that each refusal is counted under its code.

use std::io::{Read, Write};

use storebox_proto::problem::{Code, Problem};

use super::*;

async fn code_of(request: reqwest::RequestBuilder) -> (u16, Option<Code>) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json::<Problem>().await.ok().map(|problem| problem.code))
}

#[tokio::test]
async fn each_bound_has_its_code_and_its_count() {
    let limits = Http { body_bytes_max: 4 * 1024 * 1024, ..Http::default() };
    let site = Site::open(1, limits).await;
    let at = |path: &str| format!("http://{}{path}", site.address);
    let login = || site.client.post(at("/v1/terminal/login")).bearer_auth(&site.token);
    let compressed = login().header("content-encoding", "gzip").body(vec![0x1f, 0x8b, 8, 0]);
    assert_eq!(code_of(compressed).await, (415, Some(Code::MediaTypeUnsupported)));
    let large =
        login().header("content-type", "application/json").body(vec![b' '; 5 * 1024 * 1024]);
    assert_eq!(code_of(large).await, (413, Some(Code::TooLarge)));
    let in_url = site.client.get(at(&format!("/v1/models?t={}", site.token)));
    assert_eq!(code_of(in_url).await, (400, Some(Code::TokenInUrl)));
    let stranger = site.client.get(at("/v1/models")).bearer_auth("sbt_00");
    assert_eq!(code_of(stranger).await, (401, Some(Code::Unauthenticated)));
    for code in
        [Code::MediaTypeUnsupported, Code::TooLarge, Code::TokenInUrl, Code::Unauthenticated]
    {
        assert!(site.traffic.refusals().contains(&(code, 1)), "{code} is counted once");
    }
}

#[tokio::test]
async fn a_till_in_a_loop_gets_429_and_a_time_to_wait() {
    let limits = Http { requests_per_s_max: 5, ..Http::default() };
    let site = Site::open(1, limits).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let response = site.ask("/v1/models/Product/records/P00000", None).await;
        if response.status() == 429 {
            assert_eq!(response.headers()["retry-after"], "1");
            assert_eq!(response.json::<Problem>().await.unwrap().code, Code::RateExceeded);
            statuses.push(429);
        } else {
            statuses.push(200);
        }
    }
    assert!(statuses[..10].iter().all(|status| *status == 200), "a burst passes: {statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_page_that_was_turned_here_gains_nothing_by_sending_a_token() {
    let site = Site::open(1, Http::default()).await;
    let at = |path: &str| format!("http://{}{path}", site.address);
    let turned = |path: &str| site.client.get(at(path)).header("host", "evil.example");
    for token in ["Bearer", "Bearer sbt_00", "Basic eDp4"] {
        for path in ["/v1/whoami", "/v1/models", "/openapi.json"] {
            let code = code_of(turned(path).header("authorization", token)).await;
            assert_eq!(code, (421, Some(Code::HostUnknown)), "{path} with {token:?}");
        }
    }
    for _ in 0..60 {
        let guess = turned("/v1/models").header("authorization", "Bearer sbt_00");
        assert_eq!(code_of(guess).await.1, Some(Code::HostUnknown));
    }
    assert_eq!(site.get("/v1/models").await.0, 200, "the address is not blamed for it");
    let till = turned("/v1/models").bearer_auth(&site.token);
    assert_eq!(till.send().await.unwrap().status(), 200, "a till may dial any name");
}

#[tokio::test]
async fn a_head_without_bounds_is_cut_off() {
    let site = Site::open(1, Http::default()).await;
    let address = site.address;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n");
        for number in 0..2000 {
            if stream.write_all(format!("x-{number}: {}\r\n", "y".repeat(60)).as_bytes()).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // It is counted when the connection has ended on our side too.
    while site.traffic.odd_connections() == 0 {
        tokio::task::yield_now().await;
    }
}
