//! How a box may be entered and what leads out of the cabinet: the promises that no journey of a sale touches.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox::config::{Http, Tls};
use storebox::demo::process::Process;
use storebox_image::steward::announce::{PAIRING, pairing_line};
use storebox_tests::chain::{Chain, LISTEN};
use storebox_tests::skip;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{PATIENCE, executable};

/// The ports on which a process takes connections, as its kernel has them.
fn ports(process: &Process) -> anyhow::Result<BTreeSet<u16>> {
    const LISTENS: &str = "0A";
    let proc = format!("/proc/{}", process.id().context("it runs")?);
    let links = fs::read_dir(format!("{proc}/fd"))?.flatten();
    let held: Vec<_> = links.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("{proc}/net/{table}"))?.lines().skip(1) {
            let columns: Vec<_> = line.split_whitespace().collect();
            let socket = format!("socket:[{}]", columns[9]);
            if columns[3] == LISTENS && held.iter().any(|link| link.as_os_str() == &*socket) {
                let (_, port) = columns[1].rsplit_once(':').context("an address and a port")?;
                ports.insert(u16::from_str_radix(port, 16)?);
            }
        }
    }
    Ok(ports)
}

/// Everything that comes back for a request in the open.
async fn in_the_open(to: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // A connection that is reset has brought nothing either.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_served_where_the_configuration_says_so_and_nowhere_else()
-> anyhow::Result<()> {
    let unsaid = Http::default().listen;
    ensure!(unsaid.iter().all(|at| at.ip().is_loopback()), "without a word: {unsaid:?}");
    ensure!(Tls::default().listen.is_empty(), "without a word");
    let folder = tempfile::tempdir()?;
    let chain = Chain::found(executable(), folder.path())?;
    let (store, open, secure) = chain.shop("store-1", "0007", "").await?;
    ensure!(ports(&store)? == BTreeSet::from([open.port(), secure.port()]), "another door");
    let status = store.control("GET", "/v1/status", None).await?;
    let listed: Vec<_> = status["listeners"].as_array().context("listeners")?.iter().collect();
    let is = |one: &&Value, tls: bool| one["tls"] == tls && one["exposed"] == false;
    ensure!(listed.len() == 2 && is(&listed[0], false) && is(&listed[1], true), "{listed:?}");
    ensure!(in_the_open(open).await?.starts_with(b"HTTP/1.1 200"), "where it says so");
    let answer = in_the_open(secure).await?;
    let text = String::from_utf8_lossy(&answer);
    ensure!(!text.contains("HTTP/"), "an answer in the open where TLS is spoken: {text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_on_the_announcement_lets_the_first_till_in() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::found(executable(), folder.path())?;
    let (store, _, secure) = chain.shop("store-1", "0007", "").await?;
    let line = pairing_line(&store.ask(&PAIRING)?);
    let words: Vec<_> = line.split_whitespace().collect();
    let ["a", "till", first, second, "until", _] = words[..] else {
        anyhow::bail!("no code in {line:?}");
    };
    // In two halves, as a person types it.
    let code = format!("{first} {second}");
    chain.join("till-1", &["--code", &code, "--address", &secure.to_string()])?;
    let audit = store.ask(&["enrol", "audit"])?;
    ensure!(audit.contains("announcement") && !audit.contains(&code), "{audit}");
    // A box without papers has nothing to let a till in with, and announces no code.
    let mut bare = Process::lay_out(
        executable(),
        folder.path(),
        "bare",
        &format!("role = \"store\"\n{LISTEN}"),
    )?;
    bare.start().await?;
    ensure!(bare.ask(&PAIRING).is_err());
    Ok(())
}

/// Runs the program where there is no network at all, not even this machine's own.
fn cut_off(arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let alone = |flags: &[&str], program: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).arg("--net").arg(program).args(arguments).stdin(Stdio::null()).output()
    };
    // Root needs no user of its own for it, and some machines allow none.
    let ways: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    let routes = ["/proc/self/net/route", "/proc/self/net/if_inet6"];
    let tried = ways.iter().find_map(|flags| {
        let output = alone(flags, "cat", &routes).ok().filter(|output| output.status.success())?;
        Some((flags, output.stdout))
    });
    let Some((flags, interfaces)) = tried else {
        return Ok(skip("no network namespace can be made here"));
    };
    let interfaces = String::from_utf8(interfaces)?;
    ensure!(interfaces.lines().count() <= 1, "a way out: {interfaces}");
    let output = alone(flags, &executable().to_string_lossy(), arguments)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(String::from_utf8(output.stdout)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_of_the_chain_and_papers_are_made_where_there_is_no_network() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let chain = Chain::at(executable(), folder.path());
    let office = chain.office();
    if cut_off(&["site", "new", "--office", &office, "head-office"])?.is_none() {
        return Ok(());
    }
    cut_off(&["site", "new", "--office", &office, "0007"])?;
    let mut store = Process::lay_out(
        executable(),
        folder.path(),
        "store-1",
        &format!("role = \"store\"\n{LISTEN}"),
    )?;
    let (request, papers) = (chain.file("store-1", "request"), chain.file("store-1", "papers"));
    fs::write(&request, store.ask(&["site", "request", "store-1"])?)?;
    let issued = cut_off(&["site", "issue", "--office", &office, "0007", &request])?;
    fs::write(&papers, issued.context("papers")?)?;
    store.ask(&["site", "adopt", &papers])?;
    store.start().await?;
    let secure = storebox_tests::chain::secure(&store)?;
    chain.join_by_slip(&store, secure, "till-1")?;
    Ok(())
}
