//! Load over loopback: connections that each send the next request when the last answer is read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Error;
use crate::env;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A request, and what its answer must contain.
pub(super) struct Question {
    pub(super) request: String,
    pub(super) expected: String,
}

/// Asks the questions in turn over so many connections; the time of each answer.
pub(super) async fn ask(
    address: SocketAddr,
    questions: &Arc<Vec<Question>>,
    connections: usize,
    work: Duration,
) -> Result<Vec<Duration>, Error> {
    let mut running = JoinSet::new();
    for connection in 0..connections {
        let from = connection * questions.len() / connections;
        running.spawn(converse(address, Arc::clone(questions), from, work));
    }
    let mut times = Vec::new();
    while let Some(done) = running.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

async fn converse(
    address: SocketAddr,
    questions: Arc<Vec<Question>>,
    from: usize,
    work: Duration,
) -> Result<Vec<Duration>, Error> {
    let broken = |source| Error::System { what: "talk to the box", source };
    let mut stream = TcpStream::connect(address).await.map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    let mut times = Vec::new();
    let begun = env::instant();
    for question in questions.iter().cycle().skip(from) {
        if begun.elapsed() >= work {
            break;
        }
        let asked = env::instant();
        stream.write_all(question.request.as_bytes()).await.map_err(broken)?;
        let len = answer(&mut stream, &mut buffer).await.map_err(broken)?;
        times.push(asked.elapsed());
        let text = String::from_utf8_lossy(&buffer[..len]);
        if !text.starts_with("HTTP/1.1 200 ") || !text.contains(&question.expected) {
            return Err(Error::Wrong(question.expected.clone()));
        }
    }
    Ok(times)
}

/// Reads one answer; how long it is with its head.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    loop {
        match stream.read(&mut buffer[len..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => len += more,
        }
        if whole(&buffer[..len]) == Some(len) {
            return Ok(len);
        }
    }
}

/// How long the answer will be, once its head is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    Some(head + 4 + length.parse::<usize>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\netag: \"x\"\r\n\r\n{}";
        assert_eq!(whole(answer), Some(answer.len()));
        assert_eq!(whole(&answer[..answer.len() - 2]), Some(answer.len()));
        assert_eq!(whole(&answer[..30]), None);
    }
}
