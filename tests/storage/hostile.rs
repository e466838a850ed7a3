//! Sources that mean no good: each is known by name, the next one is used, and no refresh is stuck.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use storebox_proto::feed::segment::Segment;

use crate::chain::{Chain, await_fault};

/// A server that treats every connection like this, for as long as the test runs.
fn serve(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("bound");
    let treat = Arc::new(treat);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let treat = treat.clone();
            std::thread::spawn(move || treat(stream));
        }
    });
    address
}

/// Reads the head of a request and gives its path.
fn requested(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    Some(path)
}

/// A box whose first source is this one and whose second is head office reaches it all the same.
async fn passes_over(chain: &Chain, url: &str, fault: &str) -> anyhow::Result<()> {
    let settings = format!(
        "{}[[source]]\nid = \"bad\"\nkind = \"storage\"\npriority = 1\nurl = {url:?}\n",
        chain.main_section("store-1")?
    );
    let store = chain.store("store-1", &settings).await?;
    await_fault(&store, "bad", fault).await?;
    chain.await_level(&store).await
}

/// A folder to which all was published.
fn published(chain: &Chain) -> anyhow::Result<PathBuf> {
    let root = chain.folder.join("published");
    fs::create_dir_all(&root)?;
    chain.main.ask(&["publish", "--to", &root.to_string_lossy()])?;
    Ok(root)
}

fn objects(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for dir in fs::read_dir(root.join("v1/objects"))? {
        for file in fs::read_dir(dir?.path())? {
            found.push(file?.path());
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ftp_server_that_hangs() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let silent = serve(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    passes_over(&chain, &format!("ftp://{silent}/feeds"), "does not answer").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ftp_server_that_sends_to_another_host() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let evil = serve(|mut stream| {
        let _ = stream.write_all(b"220 welcome\r\n");
        let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
        for line in lines.map_while(Result::ok) {
            let answer: &[u8] = match line.split(' ').next() {
                Some("PASV") => b"227 Entering passive mode (10,0,0,1,0,22)\r\n",
                Some("EPSV") => b"500 what?\r\n",
                Some("SIZE") => b"213 10\r\n",
                _ => b"200 yes\r\n",
            };
            let _ = stream.write_all(answer);
        }
    });
    let fault = "sends elsewhere, which is not followed";
    passes_over(&chain, &format!("ftp://{evil}/feeds"), fault).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_redirects_into_the_lan() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let (knocked, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let inside = knocked.clone();
    let target = serve(move |_| drop(inside.fetch_add(1, Ordering::Relaxed).to_string()));
    let asked = count.clone();
    let evil = serve(move |mut stream| {
        while requested(&stream).is_some() {
            asked.fetch_add(1, Ordering::Relaxed);
            let head = format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{target}/admin\r\ncontent-length: 0\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let fault = "sends elsewhere, which is not followed";
    passes_over(&chain, &format!("http://{evil}/feeds"), fault).await?;
    anyhow::ensure!(count.load(Ordering::Relaxed) > 0 && knocked.load(Ordering::Relaxed) == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_without_an_end() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let root = published(&chain)?;
    let bomb = serve(move |mut stream| {
        while let Some(path) = requested(&stream) {
            if path.contains("/objects/") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
                while stream.write_all(&[b'x'; 65_536]).is_ok() {}
                return;
            }
            let found = fs::read(root.join(path.trim_start_matches('/')));
            let status = if found.is_ok() { "200 OK" } else { "404 Not Found" };
            let body = found.unwrap_or_default();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    passes_over(&chain, &format!("http://{bomb}"), "gave something forged or damaged").await
}

/// Deflate of as many bytes as there is room for, and without an end: a zero, then copies of the 258 bytes before.
fn without_end(bytes: usize) -> Vec<u8> {
    let (first, copy) =
        ([1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    let bits: Vec<u8> = first.into_iter().chain(copy.into_iter().cycle()).take(bytes * 8).collect();
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

/// The eight bytes that stand behind what they sum up.
fn sum(bytes: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(bytes);
    std::array::from_fn(|at| hash.as_bytes()[at])
}

/// A segment of this length in which everything is right but that its one block unpacks to whatever there is room for.
fn bomb(length: usize) -> anyhow::Result<Vec<u8>> {
    let (model, id, raw) = ("ProductPrice", "PL1-000000", 60_000_u32);
    let header = 10 + 1 + model.len() + 8 + 4 + 4 + 2 + (4 + 4 + 2 + 1 + id.len() + 8) + 8;
    let packed = without_end(length.saturating_sub(header));
    let mut bytes = b"SBXS\x01\x00".to_vec();
    bytes.extend_from_slice(&u32::try_from(header)?.to_le_bytes());
    bytes.push(u8::try_from(model.len())?);
    bytes.extend_from_slice(model.as_bytes());
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&raw.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(packed.len())?.to_le_bytes());
    bytes.extend_from_slice(&raw.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.push(u8::try_from(id.len())?);
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&sum(&packed));
    let sum = sum(&bytes);
    bytes.extend_from_slice(&sum);
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn small_segments_that_unpack_without_an_end() -> anyhow::Result<()> {
    let refused = Segment::parse(bomb(8000)?.into())?.block(0).map(|_| ()).unwrap_err();
    anyhow::ensure!(refused.to_string() == "block 0 cannot be used", "{refused}");
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let root = published(&chain)?;
    let mut replaced = 0;
    for object in objects(&root)? {
        let bytes = fs::read(&object)?;
        if bytes.starts_with(b"SBXS") && bytes.len() > 1000 {
            fs::write(&object, bomb(bytes.len())?)?;
            replaced += 1;
        }
    }
    anyhow::ensure!(replaced > 0);
    let url = root.to_string_lossy().into_owned();
    passes_over(&chain, &url, "gave something forged or damaged").await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_publication() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let root = published(&chain)?;
    for object in objects(&root)? {
        fs::remove_file(object)?;
    }
    let url = root.to_string_lossy().into_owned();
    passes_over(&chain, &url, "does not have what its head names").await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_cut_in_the_middle() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let root = published(&chain)?;
    for object in objects(&root)? {
        let bytes = fs::read(&object)?;
        fs::write(&object, &bytes[..bytes.len() / 2])?;
    }
    let url = root.to_string_lossy().into_owned();
    passes_over(&chain, &url, "gave something forged or damaged").await?;
    let head = root.join("v1/heads/catalogue");
    let bytes = fs::read(&head)?;
    fs::write(&head, &bytes[..bytes.len() / 2])?;
    let published = chain.main.ask(&["publish", "--to", &url])?;
    let published: serde_json::Value = serde_json::from_str(&published)?;
    anyhow::ensure!(published["objects"].as_u64() > Some(0), "mended: {published}");
    let settings = format!("[[source]]\nid = \"s\"\nkind = \"storage\"\nurl = {url:?}\n");
    let store = chain.store("store-2", &settings).await?;
    chain.await_level(&store).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_publication() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let root = published(&chain)?;
    chain.prices(3001, 2)?;
    let settings = format!(
        "{}[[source]]\nid = \"old\"\nkind = \"storage\"\nurl = {root:?}\n",
        chain.main_section("store-1")?
    );
    let store = chain.store("store-1", &settings).await?;
    chain.await_level(&store).await?;
    let mut main = chain.main;
    main.stop();
    store.ask(&["refresh"])?;
    await_fault(&store, "old", "offers older masterdata than is here").await
}
