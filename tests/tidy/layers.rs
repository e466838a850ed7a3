//! Imports go one way: what is left of another in ARCHITECTURE.md never uses it.

use crate::source::{self, Source};

/// The modules of the box from the bottom to the top; a row may use what is above it, and itself.
const SERVER: &[(&str, u8, Siblings)] = &[
    ("blocking", 0, Siblings::Apart),
    ("env", 0, Siblings::Apart),
    ("client", 0, Siblings::Apart),
    ("files", 0, Siblings::Apart),
    ("room", 0, Siblings::Apart),
    ("http::identity", 0, Siblings::Apart),
    ("pass", 1, Siblings::Apart),
    ("pause", 1, Siblings::Apart),
    ("valve", 1, Siblings::Apart),
    ("config", 1, Siblings::Together),
    ("key", 1, Siblings::Together),
    ("secrets", 1, Siblings::Together),
    ("signal", 1, Siblings::Together),
    ("journal", 2, Siblings::Apart),
    ("db", 2, Siblings::Apart),
    ("discovery", 2, Siblings::Apart),
    ("seal", 2, Siblings::Apart),
    ("trust", 2, Siblings::Apart),
    ("tiers", 2, Siblings::Apart),
    ("logging", 3, Siblings::Together),
    ("notify", 3, Siblings::Together),
    ("spans", 3, Siblings::Together),
    ("status", 3, Siblings::Together),
    ("supervise", 3, Siblings::Together),
    ("wire", 3, Siblings::Apart),
    ("database", 4, Siblings::Apart),
    ("webhook", 4, Siblings::Apart),
    ("replica", 4, Siblings::Apart),
    ("uplink", 4, Siblings::Apart),
    ("terminal", 4, Siblings::Apart),
    ("masterdata", 5, Siblings::Apart),
    ("chronicle", 6, Siblings::Apart),
    ("login", 6, Siblings::Apart),
    ("sink", 5, Siblings::Apart),
    ("intake", 5, Siblings::Apart),
    ("devices", 6, Siblings::Apart),
    ("channel", 6, Siblings::Apart),
    ("drill", 6, Siblings::Apart),
    ("settings", 6, Siblings::Apart),
    ("visit", 6, Siblings::Apart),
    ("fleet", 6, Siblings::Apart),
    ("update", 6, Siblings::Apart),
    ("http", 7, Siblings::Apart),
    ("metrics", 8, Siblings::Apart),
    ("role", 9, Siblings::Apart),
    ("node", 10, Siblings::Apart),
    ("args", 11, Siblings::Together),
    ("cli", 11, Siblings::Together),
    ("demo", 11, Siblings::Together),
    ("bench", 11, Siblings::Together),
    ("selftest", 11, Siblings::Together),
    ("lib", 12, Siblings::Apart),
    ("main", 12, Siblings::Together),
    ("storebox", 12, Siblings::Together),
];

/// The modules of the protocol crate likewise.
const PROTO: &[(&str, u8, Siblings)] = &[
    ("limits", 0, Siblings::Together),
    ("order", 1, Siblings::Apart),
    ("ids", 0, Siblings::Together),
    ("time", 0, Siblings::Together),
    ("problem", 0, Siblings::Together),
    ("skew", 0, Siblings::Together),
    ("beacon", 1, Siblings::Apart),
    ("chronicle", 1, Siblings::Apart),
    ("feed", 1, Siblings::Apart),
    ("ticket", 1, Siblings::Apart),
    ("token", 1, Siblings::Apart),
    ("drill", 2, Siblings::Apart),
    ("heartbeat", 2, Siblings::Apart),
    ("query", 1, Siblings::Apart),
    ("rings", 1, Siblings::Together),
    ("release", 2, Siblings::Apart),
    ("estate", 3, Siblings::Apart),
    ("seal", 1, Siblings::Apart),
    ("settings", 1, Siblings::Together),
    ("sync", 2, Siblings::Apart),
    ("trust", 2, Siblings::Apart),
    ("visit", 2, Siblings::Apart),
    ("lib", 4, Siblings::Apart),
];

/// Effects that the protocol crate must not know.
const EFFECTS: [&str; 10] = [
    "tokio",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "SystemTime",
    "rand::rng()",
    "getrandom",
];

#[derive(Clone, Copy, PartialEq)]
enum Siblings {
    Apart,
    Together,
}

#[test]
fn modules_of_the_box_use_only_what_is_below_them() {
    check("appliance/server/src/", SERVER);
}

#[test]
fn modules_of_the_protocol_use_only_what_is_below_them() {
    check("appliance/proto/src/", PROTO);
}

#[test]
fn the_protocol_knows_no_effect() {
    let mut offences = Vec::new();
    for source in source::ending(".rs") {
        if !source.path.starts_with("appliance/proto/src/") {
            continue;
        }
        for (number, line) in source.lines() {
            let code = line.split("//").next().unwrap_or_default();
            for effect in EFFECTS.iter().filter(|effect| code.contains(*effect)) {
                offences.push(format!("{}:{number} names {effect}", source.path));
            }
        }
    }
    source::expect_none("the protocol crate decides, it does not act", offences);
}

#[test]
fn every_call_of_the_box_begins_with_the_same_client() {
    let begun = ["Client::builder()", "ClientBuilder::new()", "Client::new()"];
    let mut offences = Vec::new();
    for source in source::ending(".rs") {
        let is_tests = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
        let is_the_one = source.path == "appliance/server/src/client.rs";
        if is_tests || is_the_one || !source.path.starts_with("appliance/server/src/") {
            continue;
        }
        let code = source.lines().take_while(|(_, line)| *line != "#[cfg(test)]");
        let named = code.filter(|(_, line)| begun.iter().any(|words| line.contains(words)));
        offences.extend(named.map(|(number, _)| format!("{}:{number}", source.path)));
    }
    source::expect_none("a client is made by crate::client::builder", offences);
}

#[test]
fn crates_depend_in_one_direction() {
    let forbidden = [
        ("appliance/proto/Cargo.toml", vec!["tokio", "sled", "axum", "reqwest", "storebox."]),
        ("peripherals/Cargo.toml", vec!["tokio", "sled", "axum", "storebox."]),
        ("image/Cargo.toml", vec!["tokio", "sled", "axum", "storebox."]),
        ("appliance/server/Cargo.toml", vec!["storebox-tests"]),
    ];
    let mut offences = Vec::new();
    for (manifest, names) in forbidden {
        let text = std::fs::read_to_string(source::root().join(manifest)).unwrap();
        for line in text.lines() {
            for name in names.iter().filter(|name| line.starts_with(*name)) {
                offences.push(format!("{manifest} depends on {name}"));
            }
        }
    }
    source::expect_none("a crate is a promise about its dependencies", offences);
}

fn check(folder: &str, ranks: &[(&str, u8, Siblings)]) {
    let mut offences = Vec::new();
    for source in source::ending(".rs") {
        let Some(inside) = source.path.strip_prefix(folder) else { continue };
        if inside.contains("/tests/") || inside.ends_with("tests.rs") {
            continue;
        }
        let own = inside.split(['/', '.']).next().unwrap();
        match rank(ranks, own) {
            Some(rank) => offences.extend(upward_uses(&source, own, rank, ranks)),
            None => offences.push(format!("{} has no place in the order of layers", source.path)),
        }
    }
    source::expect_none("the left may not use the right", offences);
}

fn rank(ranks: &[(&str, u8, Siblings)], name: &str) -> Option<(u8, Siblings)> {
    ranks.iter().find(|row| row.0 == name).map(|row| (row.1, row.2))
}

fn upward_uses(
    source: &Source,
    own: &str,
    (own_rank, own_siblings): (u8, Siblings),
    ranks: &[(&str, u8, Siblings)],
) -> Vec<String> {
    let mut offences = Vec::new();
    for (number, line) in source.lines() {
        let code = line.split("//").next().unwrap_or_default();
        for used in modules_named(code) {
            let top = used.split("::").next().unwrap_or(used);
            let Some((used_rank, _)) = rank(ranks, used).or_else(|| rank(ranks, top)) else {
                continue;
            };
            let together = used_rank == own_rank && own_siblings == Siblings::Together;
            if top != own && used_rank >= own_rank && !together {
                offences.push(format!("{}:{number} uses {used}", source.path));
            }
        }
    }
    offences
}

/// Every `x::y` of `crate::x::y`, and every `x` of `crate::{x, y}` on one line.
fn modules_named(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split(',').map(|item| path(item.trim(), 1))),
            None => found.push(path(rest, 2)),
        }
    }
    found
}

/// The first names of a path.
fn path(code: &str, names: usize) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut end = 0;
    for _ in 0..names {
        let start = if end == 0 { 0 } else { end + 2 };
        let Some(rest) = code.get(start..) else { break };
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if length == 0 || (end > 0 && !code[end..].starts_with("::")) {
            break;
        }
        end = start + length;
    }
    &code[..end]
}

#[test]
fn paths_are_read_as_far_as_they_matter() {
    assert_eq!(modules_named("use crate::http::identity::Identity;"), ["http::identity"]);
    assert_eq!(modules_named("use crate::{env, files};"), ["env", "files"]);
    assert_eq!(modules_named("crate::env::instant() + crate::key"), ["env::instant", "key"]);
}

/// The order of layers as ARCHITECTURE.md shows it, from the bottom to the top.
fn drawn() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(source::root().join("ARCHITECTURE.md")).unwrap();
    let (_, behind) = text.split_once("where the left may not use the right:\n\n```\n").unwrap();
    let (drawn, _) = behind.split_once("```").unwrap();
    let words = |group: &str| group.split_whitespace().map(str::to_owned).collect();
    drawn.split('│').map(words).collect()
}

#[test]
fn the_architecture_draws_the_layers_as_they_are() {
    let drawn = drawn();
    let place = |name: &str| drawn.iter().position(|group| group.iter().any(|own| own == name));
    // The door's own words, and what only begins the program, are not modules of the map.
    let modules = SERVER.iter().filter(|(name, ..)| !name.contains("::"));
    let modules = modules.filter(|(name, ..)| !["lib", "storebox"].contains(name));
    let mut offences = Vec::new();
    for (name, rank, _) in modules.clone() {
        let Some(at) = place(name) else {
            offences.push(format!("{name} is not drawn"));
            continue;
        };
        let lower = modules.clone().filter(|(_, other, _)| other < rank);
        let right = lower.filter(|(other, ..)| place(other).is_some_and(|other| other > at));
        offences.extend(right.map(|(other, ..)| format!("{name} is drawn left of {other}")));
    }
    let known = |name: &&String| rank(SERVER, name).is_none();
    offences.extend(drawn.iter().flatten().filter(known).map(|name| format!("{name} is gone")));
    source::expect_none("ARCHITECTURE.md draws the order of layers", offences);
}
