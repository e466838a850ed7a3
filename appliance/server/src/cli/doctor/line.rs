//! The line to head office, as far as it gets: name, address, answer, key, clock, token.
//!
//! The first thing that is missing is told and nothing behind it is guessed.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

use super::{bad, good};
use crate::client;
use crate::config::Main;
use crate::env;
use crate::logging;
use crate::status::{Finding, Level};
use crate::trust::proxy::Proxy;

/// One question takes no longer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Further apart than this, a person compares receipts and wonders.
const CLOCKS_APART_MAX_S: i64 = 60;
/// Bytes of a status that are read.
const STATUS_BYTES_MAX: usize = 1024 * 1024;

/// Looks along the line.
pub(super) async fn look(main: &Main) -> Vec<Finding> {
    let mut found = Vec::new();
    match walk(main, &mut found).await {
        Ok(()) => {}
        Err(end) => found.push(*end),
    }
    found
}

/// Looks whether the proxy leads to head office.
pub(super) async fn look_at(proxy: &Proxy, main: &Main) -> Vec<Finding> {
    let url = Url::parse(&main.url).ok();
    let place = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let Some((host, port)) = place else { return Vec::new() };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if !proxy.leads_to(bare) {
        return look(main).await;
    }
    let begun = env::instant();
    match proxy.tunnel(bare, port).await {
        Ok(_) => {
            let took = env::instant().saturating_duration_since(begun).as_millis();
            let text = format!("{} connects to {host} port {port}, after {took} ms", proxy.url());
            vec![good("proxy", text)]
        }
        Err(error) => {
            let advice = "Ask whoever looks after the shop's network whether it runs and lets this box out; selling goes on meanwhile.";
            let code = if error.is_beyond() { "line_down" } else { "proxy_down" };
            vec![bad(code, logging::chain(&*error)).advise(advice)]
        }
    }
}

async fn walk(main: &Main, found: &mut Vec<Finding>) -> Result<(), Box<Finding>> {
    let wrong = |text: String| {
        Box::new(
            bad("line_address", text)
                .advise("Correct [main] url, such as https://main.example:7443."),
        )
    };
    let url =
        Url::parse(&main.url).map_err(|_| wrong(format!("{:?} is not an address", main.url)))?;
    let host = url.host_str().ok_or_else(|| wrong(format!("{url} names no host")))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    resolve(&bare, port, found).await?;
    if url.scheme() == "https" {
        // Certificates are the running box's business: it has the papers, and its own findings tell what it saw.
        return connect(&bare, port, found).await;
    }
    let client = client::builder()
        .timeout(ANSWER_MAX)
        .build()
        .map_err(|error| wrong(logging::chain(&error)))?;
    let status = reach(&client, &url, found).await?;
    key(main, &status, found);
    token(&client, &url, main, found).await;
    Ok(())
}

async fn resolve(host: &str, port: u16, found: &mut Vec<Finding>) -> Result<(), Box<Finding>> {
    let begun = env::instant();
    let looked = tokio::time::timeout(ANSWER_MAX, tokio::net::lookup_host((host, port))).await;
    let took = env::instant().saturating_duration_since(begun).as_millis();
    let addresses: Vec<_> = match looked {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip().to_string()).collect(),
        Ok(Err(error)) => return Err(nameless(host, &error.to_string())),
        Err(_) => return Err(nameless(host, "no answer in time")),
    };
    if addresses.is_empty() {
        return Err(nameless(host, "it has no address"));
    }
    found.push(good("dns", format!("{host} is {} (found in {took} ms)", addresses.join(", "))));
    Ok(())
}

/// Whether anybody listens behind TLS; who it is, the running box judges.
async fn connect(host: &str, port: u16, found: &mut Vec<Finding>) -> Result<(), Box<Finding>> {
    let begun = env::instant();
    let tried = tokio::time::timeout(ANSWER_MAX, tokio::net::TcpStream::connect((host, port)));
    let why = match tried.await {
        Ok(Ok(_)) => {
            let took = env::instant().saturating_duration_since(begun).as_millis();
            let text = format!("{host} port {port} takes connections, after {took} ms");
            found.push(good("line", text));
            return Ok(());
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    Err(down(&format!("{host} port {port}"), &why))
}

fn down(whom: &str, why: &str) -> Box<Finding> {
    let text = format!("{whom} does not answer: {why}");
    let advice = "Check the line to the internet and whether a firewall lets this port out; selling goes on meanwhile.";
    Box::new(bad("line_down", text).advise(advice))
}

fn nameless(host: &str, why: &str) -> Box<Finding> {
    let text = format!("The name {host} leads nowhere: {why}");
    let advice = "Check the cable to the router, then the DNS server that DHCP gave; selling goes on meanwhile.";
    Box::new(bad("dns", text).advise(advice))
}

/// Asks for the public part of the other side's status.
async fn reach(
    client: &Client,
    url: &Url,
    found: &mut Vec<Finding>,
) -> Result<Value, Box<Finding>> {
    let begun = env::instant();
    let response = client.get(at(url, "v1/status")).send().await;
    let response =
        response.map_err(|error| down(url.as_str(), &logging::chain(&error.without_url())))?;
    let took = env::instant().saturating_duration_since(begun).as_millis();
    let date =
        response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    let code = response.status();
    let status = read(response).await.filter(|_| code.is_success());
    let Some(status) = status.filter(|status| status["node"].is_string()) else {
        let text = format!("{url} answers {code} and is no Storebox");
        let advice =
            "Something else listens there: a portal of the provider, a proxy, or a wrong port.";
        return Err(Box::new(bad("line_stranger", text).advise(advice)));
    };
    let (node, version) = (text(&status["node"]), text(&status["version"]));
    found.push(good("line", format!("{node}, storebox {version}, answers in {took} ms")));
    clocks(date.as_deref(), found);
    Ok(status)
}

fn clocks(date: Option<&str>, found: &mut Vec<Finding>) {
    let format = &time::format_description::well_known::Rfc2822;
    let Some(theirs) = date.and_then(|date| {
        // HTTP says GMT where RFC 2822 wants an offset.
        time::OffsetDateTime::parse(&date.replace("GMT", "+0000"), format).ok()
    }) else {
        return;
    };
    let apart = env::timestamp().unix_ms() / 1000 - theirs.unix_timestamp();
    found.push(if apart.abs() > CLOCKS_APART_MAX_S {
        let word = if apart > 0 { "ahead of" } else { "behind" };
        let text = format!("The clock is {} s {word} head office's", apart.abs());
        let advice = "Let the box reach a time server (NTP, UDP port 123); the order of sales does not depend on it.";
        Finding::new(Level::Notice, "clocks_apart", text).advise(advice)
    } else {
        good("clocks", format!("The clocks are {} s apart", apart.abs()))
    });
}

fn key(main: &Main, status: &Value, found: &mut Vec<Finding>) {
    let theirs = text(&status["publicKey"]);
    let ours = String::from(main.public_key.clone());
    found.push(if ours.is_empty() {
        let text = "The public key of head office is not configured";
        let advice = "Set [main] public_key to what `storebox key` prints there; without it masterdata is not believed.";
        bad("key_missing", text).advise(advice)
    } else if ours != theirs {
        let text = format!("Head office has the public key {theirs}, configured is {ours}");
        let advice = "Ask head office by telephone for its key; do not take over the one that was sent.";
        bad("key_differs", text).advise(advice)
    } else {
        good("key", "Head office has the key that is configured")
    });
}

async fn token(client: &Client, url: &Url, main: &Main, found: &mut Vec<Finding>) {
    let file = main.token_file.display().to_string();
    let token = match std::fs::read_to_string(&main.token_file) {
        Ok(token) => token,
        Err(error) => {
            let text = format!("The token in {file:?} cannot be read: {error}");
            let advice = "`storebox node add NAME` prints one at head office; put it there, readable by the service.";
            found.push(bad("token_unreadable", text).advise(advice));
            return;
        }
    };
    let asked = client.get(at(url, "sync/v1/feeds")).bearer_auth(token.trim()).send().await;
    let status = asked.map(|response| response.status());
    found.push(match status {
        Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            let text = format!("Head office does not let this box in with the token in {file}");
            let advice = "It was revoked or is another box's: make a new one there with `storebox node add`.";
            bad("token_refused", text).advise(advice)
        }
        Ok(code) if code.is_success() => good("token", "Head office lets this box in"),
        Ok(code) => {
            let text = format!("Head office answers {code} for its feeds");
            let advice = "Look at head office's own log: the line, the key and the token are well.";
            Finding::new(Level::Notice, "feeds_odd", text).advise(advice)
        }
        Err(error) => {
            let text = format!("The line broke while the token was tried: {}", logging::chain(&error.without_url()));
            let advice = "Run this again; if it comes and goes, look for a bad cable or a full line.";
            Finding::new(Level::Notice, "line_unsteady", text).advise(advice)
        }
    });
}

fn at(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(80).collect()
}

/// The body as JSON, unless it is too long.
async fn read(mut response: Response) -> Option<Value> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > STATUS_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_far_apart_are_told() {
        let mut found = Vec::new();
        clocks(Some("Sun, 01 Nov 2020 10:00:00 GMT"), &mut found);
        assert_eq!(found[0].code, "clocks_apart");
        assert!(found[0].text.contains("ahead of"), "{}", found[0].text);
        clocks(Some("not a date"), &mut found);
        assert_eq!(found.len(), 1);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_a_line_that_is_down() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let main = Main { url: format!("http://{address}"), ..Main::default() };
        let found = look(&main).await;
        let codes: Vec<_> = found.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, ["dns", "line_down"]);
        let main = Main { url: format!("https://{address}"), ..Main::default() };
        assert_eq!(look(&main).await[1].code, "line_down");
        let main = Main { url: "nonsense".to_owned(), ..Main::default() };
        assert_eq!(look(&main).await[0].code, "line_address");
    }

    #[tokio::test]
    async fn a_proxy_that_is_switched_off_is_named_with_whom_to_ask() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = crate::config::ProxyUrl(Some((address.ip().to_string(), address.port())));
        let settings = crate::config::Proxy { url, direct: vec!["127.0.0.1".to_owned()] };
        let proxy = Proxy::of(&settings).unwrap();
        let main = Main { url: "https://main.example".to_owned(), ..Main::default() };
        let found = look_at(&proxy, &main).await;
        assert_eq!(found[0].code, "proxy_down");
        assert!(found[0].text.contains(&address.to_string()), "{}", found[0].text);
        let main = Main { url: format!("http://{address}"), ..Main::default() };
        assert_eq!(look_at(&proxy, &main).await[1].code, "line_down", "reached without it");
    }
}
