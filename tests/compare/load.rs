//! Producers that each wait for their answer, over three protocols with one loop: transactions over HTTP, messages of
//! JetStream, commands of Redis, rows of PostgreSQL.
//!
//! `tests/benchmarks` calls it: PROTOCOL ADDRESS PRODUCERS SECONDS and the tokens of as many tills, or a file with
//! paths (`get`) or words (`search`). It prints how many answers came in a second, and their median and 99th percentile.

mod postgres;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// About what a small ticket is.
const NOTE_BYTES: usize = 600;
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[expect(clippy::disallowed_methods, reason = "this measures time")]
fn now() -> Instant {
    Instant::now()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Transactions,
    JetStream,
    Redis,
    Rows,
    Get,
    Search,
}

/// What one producer needs.
struct Producer {
    protocol: Protocol,
    address: String,
    number: usize,
    token: String,
    words: Vec<String>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run())) {
        Ok(told) => {
            say(&told);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("storebox-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}

async fn run() -> anyhow::Result<String> {
    let mut words = std::env::args().skip(1);
    let mut next = |what: &'static str| words.next().context(what);
    let protocol = match next("a protocol")?.as_str() {
        "transactions" => Protocol::Transactions,
        "jetstream" => Protocol::JetStream,
        "redis" => Protocol::Redis,
        "rows" => Protocol::Rows,
        "get" => Protocol::Get,
        "search" => Protocol::Search,
        other => bail!("no protocol {other}"),
    };
    let address = next("an address")?;
    let producers: usize = next("producers")?.parse()?;
    let length = Duration::from_secs_f64(next("seconds")?.parse()?);
    let rest: Vec<String> = words.collect();
    let mut working = JoinSet::new();
    for number in 0..producers {
        let word = |at: usize| rest.get(at).or_else(|| rest.first()).cloned().unwrap_or_default();
        let (words, token) = match protocol {
            Protocol::Get | Protocol::Search => (lines(&word(0), number)?, word(1)),
            Protocol::Transactions | Protocol::JetStream | Protocol::Redis | Protocol::Rows => {
                (Vec::new(), word(number))
            }
        };
        let producer = Producer { protocol, address: address.clone(), number, token, words };
        working.spawn(producer.work(length));
    }
    let mut times = Vec::new();
    while let Some(done) = working.join_next().await {
        times.extend(done??);
    }
    times.sort_unstable();
    ensure!(!times.is_empty(), "nothing was answered");
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    let rate = times.len() as f64 / length.as_secs_f64();
    Ok(format!("{{\"rate\": {rate:.1}, \"median_us\": {:.1}, \"p99_us\": {:.1}}}", at(50), at(99)))
}

/// The lines of a file, each producer from another place.
fn lines(path: &str, number: usize) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "{path} is empty");
    let count = lines.len();
    lines.rotate_left(number * 7919 % count);
    Ok(lines)
}

impl Producer {
    async fn work(self, length: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        self.greet(&mut stream, &mut answer).await?;
        let mut times = Vec::new();
        let begun = now();
        let mut sequence = 0;
        while begun.elapsed() < length {
            sequence += 1;
            let request = self.request(sequence);
            let asked = now();
            stream.write_all(&request).await?;
            self.answered(&mut stream, &mut answer).await?;
            times.push(asked.elapsed());
        }
        Ok(times)
    }

    async fn greet(&self, stream: &mut TcpStream, answer: &mut [u8]) -> anyhow::Result<()> {
        match self.protocol {
            Protocol::JetStream => {
                let hello = format!(
                    "CONNECT {{\"verbose\":false}}\r\nSUB _INBOX.l{} 1\r\nPING\r\n",
                    self.number
                );
                stream.write_all(hello.as_bytes()).await?;
                until(stream, answer, |bytes| bytes.ends_with(b"PONG\r\n")).await?;
            }
            Protocol::Rows | Protocol::Search => {
                let statement = match self.protocol {
                    Protocol::Rows => postgres::INSERT,
                    Protocol::Transactions
                    | Protocol::JetStream
                    | Protocol::Redis
                    | Protocol::Get
                    | Protocol::Search => postgres::SEARCH,
                };
                postgres::greet(stream, answer, statement).await?;
            }
            Protocol::Transactions | Protocol::Redis | Protocol::Get => {}
        }
        Ok(())
    }

    fn request(&self, sequence: usize) -> Vec<u8> {
        let word = self.words.get(sequence % self.words.len().max(1)).map_or("", String::as_str);
        match self.protocol {
            Protocol::Transactions => {
                let body = self.ticket(sequence);
                let length = body.len();
                let token = &self.token;
                format!(
                    "POST /v1/transactions HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .into_bytes()
            }
            Protocol::JetStream => {
                let body = self.ticket(sequence);
                // Each producer has an inbox of its own, so that it hears its own answers only.
                format!(
                    "PUB load.{} _INBOX.l{} {}\r\n{body}\r\n",
                    self.number,
                    self.number,
                    body.len()
                )
                .into_bytes()
            }
            Protocol::Redis => {
                let (key, body) = (self.key(sequence), self.ticket(sequence));
                format!(
                    "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{body}\r\n",
                    key.len(),
                    body.len()
                )
                .into_bytes()
            }
            Protocol::Rows => postgres::execute(&[&self.key(sequence), &self.ticket(sequence)]),
            Protocol::Search => postgres::execute(&[word]),
            Protocol::Get => {
                let token = &self.token;
                format!("GET {word} HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {token}\r\n\r\n")
                    .into_bytes()
            }
        }
    }

    async fn answered(&self, stream: &mut TcpStream, answer: &mut [u8]) -> anyhow::Result<()> {
        let bytes = match self.protocol {
            Protocol::Transactions | Protocol::Get => {
                let length = until(stream, answer, whole_http).await?;
                ensure!(
                    answer.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&answer[..length.min(400)])
                );
                return Ok(());
            }
            // A PING of the server's may come before the answer or behind it.
            Protocol::JetStream => {
                until(stream, answer, |bytes| bytes.windows(3).any(|three| three == b"}\r\n"))
                    .await?
            }
            Protocol::Redis => until(stream, answer, |bytes| bytes.ends_with(b"\r\n")).await?,
            Protocol::Rows | Protocol::Search => return postgres::answered(stream, answer).await,
        };
        let is_well = match self.protocol == Protocol::JetStream {
            true => !answer[..bytes].windows(7).any(|seven| seven == b"\"error\""),
            false => answer.starts_with(b"+OK"),
        };
        ensure!(is_well, "{}", String::from_utf8_lossy(&answer[..bytes.min(400)]));
        Ok(())
    }

    fn key(&self, sequence: usize) -> String {
        // Another run is another time, so that no key comes twice.
        let run = std::process::id();
        format!(
            "0192d3a4-{:04x}-7{:03x}-8{:03x}-{sequence:012x}",
            run >> 12,
            run & 0xfff,
            self.number
        )
    }

    fn ticket(&self, sequence: usize) -> String {
        let (key, number) = (self.key(sequence), self.number + 1);
        let note = "x".repeat(NOTE_BYTES);
        let epoch = std::process::id();
        format!(
            "{{\"key\":\"{key}\",\"kind\":\"Order\",\"terminal\":\"till-{number}\",\"epoch\":{epoch},\
             \"sequence\":{sequence},\"lane\":\"ticket:{epoch}-{number}-{sequence}\",\
             \"occurredAt\":\"2026-11-22T10:02:00Z\",\"clock\":\"plausible\",\
             \"payload\":{{\"id\":\"{sequence}\",\"gross\":\"12.30\",\"note\":\"{note}\"}}}}"
        )
    }
}

/// Reads until what there is is whole; how much that is.
async fn until(
    stream: &mut TcpStream,
    answer: &mut [u8],
    is_whole: impl Fn(&[u8]) -> bool,
) -> anyhow::Result<usize> {
    let mut length = 0;
    while length == 0 || !is_whole(&answer[..length]) {
        match stream.read(&mut answer[length..]).await? {
            0 => bail!("closed after {}", String::from_utf8_lossy(&answer[..length.min(400)])),
            more => length += more,
        }
    }
    Ok(length)
}

fn whole_http(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&bytes[..head]);
    let mut fields = text.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
    bytes.len() >= head + 4 + length
}
