//! A source that lies: between a box and head office, it changes, cuts short, keeps back or mixes up what it is asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storebox_tests::wait;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::network::FIRST;

const PORT: u16 = 9900;
/// A request that is longer is none of a box's.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// How long an answer that never ends is not ended.
const SILENCE: Duration = Duration::from_secs(3);

/// What is wrong with what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It is not there.
    Away,
    /// One bit of each answer is another.
    Bit,
    /// The second half is missing.
    Half,
    /// What it once said to this question.
    Old,
    /// What it last said to another question.
    Other,
    /// Nothing, for long.
    Silent,
    /// Bytes without sense.
    Noise,
}

pub(crate) const LIES: [Lie; 6] =
    [Lie::Bit, Lie::Half, Lie::Old, Lie::Other, Lie::Silent, Lie::Noise];

#[derive(Default)]
struct Mind {
    lie: AtomicU8,
    asked: AtomicUsize,
    /// Lies of this kind.
    told: AtomicUsize,
    /// First answers by request, and the last of all.
    once: Mutex<HashMap<String, Vec<u8>>>,
    last: Mutex<Vec<u8>>,
}

pub(crate) struct Liar {
    address: String,
    mind: Arc<Mind>,
    _serving: JoinSet<()>,
}

impl Liar {
    /// One that speaks for the server at this address.
    pub(crate) async fn open(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((FIRST, PORT)).await?;
        let mind = Arc::new(Mind::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server.to_owned(), Arc::clone(&mind)));
        Ok(Self { address: format!("{FIRST}:{PORT}"), mind, _serving: serving })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on it lies like this, and counts from nothing.
    pub(crate) fn tell(&self, lie: Lie) {
        let number = LIES.iter().position(|one| *one == lie).map_or(0, |at| at + 1);
        self.mind.lie.store(u8::try_from(number).unwrap_or(0), Ordering::Relaxed);
        self.mind.told.store(0, Ordering::Relaxed);
    }

    /// How many answers were not what the server had said.
    pub(crate) fn told(&self) -> usize {
        self.mind.told.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, server: String, mind: Arc<Mind>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let (server, mind) = (server.clone(), Arc::clone(&mind));
        connections.spawn(async move {
            let _ = answer(stream, &server, &mind).await;
        });
    }
}

/// One request for each connection.
async fn answer(mut stream: TcpStream, server: &str, mind: &Mind) -> io::Result<()> {
    let lie = match mind.lie.load(Ordering::Relaxed) {
        0 => Lie::Away,
        number => LIES[usize::from(number) - 1],
    };
    if lie == Lie::Away {
        return Ok(());
    }
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    // Without what the asker has already: who says what is old says it whatever that is.
    let asked = String::from_utf8_lossy(&request);
    let question = asked.split([' ', '?', '\r']).take(2).collect::<Vec<_>>().join(" ");
    let text = String::from_utf8_lossy(&request).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut behind = TcpStream::connect(server).await?;
    behind.write_all(text.as_bytes()).await?;
    let mut truth = Vec::new();
    behind.take(ANSWER_BYTES_MAX).read_to_end(&mut truth).await?;
    let number = mind.asked.fetch_add(1, Ordering::Relaxed);
    let said = twist(lie, truth.clone(), &question, number, mind);
    if lie == Lie::Silent {
        wait::moment(SILENCE).await;
    }
    stream.write_all(&said).await?;
    mind.told.fetch_add(usize::from(said != truth), Ordering::Relaxed);
    Ok(())
}

fn twist(lie: Lie, mut truth: Vec<u8>, question: &str, number: usize, mind: &Mind) -> Vec<u8> {
    let mut once = mind.once.lock().unwrap_or_else(PoisonError::into_inner);
    let first = once.entry(question.to_owned()).or_insert_with(|| truth.clone()).clone();
    let mut last = mind.last.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *last, truth.clone());
    let head = truth.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let body = truth.len() - head;
    match lie {
        Lie::Away => {}
        Lie::Bit if body > 0 => truth[head + number * 7919 % body] ^= 1 << (number % 8),
        Lie::Bit => {}
        Lie::Half => truth.truncate(head + body / 2),
        Lie::Old => truth = first,
        Lie::Other => truth = before,
        Lie::Silent => truth.clear(),
        Lie::Noise => truth[head..].fill_with(|| number.to_le_bytes()[0].wrapping_mul(167)),
    }
    truth
}
