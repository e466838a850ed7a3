//! As much of PostgreSQL's protocol as a prepared statement needs.

use anyhow::{bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const INSERT: &str =
    "insert into tickets (key, body) values ($1::text::uuid, $2::text::jsonb)";
/// As a range, because a prepared `like` has no prefix that an index could be used for.
pub(crate) const SEARCH: &str = "select body from product where name ~>=~ $1::text \
     and name ~<~ ($1::text || '~') order by name using ~<~ limit 20";

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// Comes in and prepares the statement.
pub(crate) async fn greet(
    stream: &mut TcpStream,
    answer: &mut [u8],
    statement: &str,
) -> anyhow::Result<()> {
    let body = [&196_608_u32.to_be_bytes()[..], b"user\0postgres\0database\0postgres\0\0"].concat();
    stream.write_all(&message(0, &body)[1..]).await?;
    answered(stream, answer).await?;
    let parse = message(b'P', &[b"s\0", statement.as_bytes(), b"\0\0\0"].concat());
    stream.write_all(&[parse, message(b'S', b"")].concat()).await?;
    answered(stream, answer).await
}

/// Binds these texts to the statement, runs it and commits.
pub(crate) fn execute(values: &[&str]) -> Vec<u8> {
    let mut bind = b"\0s\0\0\0".to_vec();
    bind.extend(u16::try_from(values.len()).unwrap_or(0).to_be_bytes());
    for value in values {
        bind.extend(u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
        bind.extend(value.as_bytes());
    }
    bind.extend([0, 0]);
    [message(b'B', &bind), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
}

/// Reads until it is ready again; an error is one.
pub(crate) async fn answered(stream: &mut TcpStream, answer: &mut [u8]) -> anyhow::Result<()> {
    let mut length = 0;
    loop {
        match stream.read(&mut answer[length..]).await? {
            0 => bail!("PostgreSQL closed"),
            more => length += more,
        }
        let mut at = 0;
        while length >= at + 5 {
            let size = [answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4]];
            let end = at + 1 + usize::try_from(u32::from_be_bytes(size))?;
            if end > length {
                break;
            }
            ensure!(answer[at] != b'E', "{}", String::from_utf8_lossy(&answer[at..end]));
            if answer[at] == b'Z' {
                return Ok(());
            }
            at = end;
        }
    }
}
