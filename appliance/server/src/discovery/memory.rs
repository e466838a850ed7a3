//! The endpoints that answered last, kept over a restart, so that a box is found with multicast dead.
//!
//! What is kept is a hint: losing or damaging the file costs one search and nothing else.
//! Link-local addresses are not kept, because the number of their interface may change.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::NodeId;
use storebox_proto::limits::BOOK_REMEMBERED_MAX;
use storebox_proto::sync::book::{Claim, Hint, Source};
use tokio::io::AsyncReadExt;

/// Of the file; a full one has about 2 KiB.
const FILE_BYTES_MAX: u64 = 16 * 1024;
const VERSION: u32 = 1;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct File {
    version: u32,
    boxes: Vec<Known>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    endpoint: SocketAddr,
    node: Option<NodeId>,
    priority: Option<u16>,
}

/// Where the book is kept, and what is there already.
pub(super) struct Memory {
    path: PathBuf,
    written: Vec<u8>,
}

impl Memory {
    /// Reads the hints; a file that is missing or makes no sense has none.
    pub(super) async fn open(path: PathBuf) -> (Self, Vec<Hint>) {
        let written = read(&path).await.unwrap_or_default();
        let file: File = serde_json::from_slice(&written).unwrap_or_default();
        let known = if file.version == VERSION { file.boxes } else { Vec::new() };
        let hints = known.into_iter().take(BOOK_REMEMBERED_MAX).map(Known::hint).collect();
        (Self { path, written }, hints)
    }

    /// Writes what is remembered, if it differs from what is there.
    pub(super) async fn keep(&mut self, remembered: Vec<(SocketAddr, Option<Claim>)>) {
        let mut boxes: Vec<Known> = remembered.into_iter().filter_map(Known::of).collect();
        boxes.sort_by_key(|known| known.endpoint);
        let file = File { version: VERSION, boxes };
        let Ok(bytes) = serde_json::to_vec(&file) else { return };
        if bytes == self.written {
            return;
        }
        match replace(&self.path, &bytes).await {
            Ok(()) => self.written = bytes,
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "boxes not kept"),
        }
    }
}

impl Known {
    fn of((endpoint, claim): (SocketAddr, Option<Claim>)) -> Option<Self> {
        let link_local = matches!(endpoint.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        let (node, priority) = claim.map(|claim| (claim.node, claim.priority)).unzip();
        (!link_local).then_some(Self { endpoint, node, priority })
    }

    fn hint(self) -> Hint {
        let claim = self.node.zip(self.priority);
        let claim = claim.map(|(node, priority)| Claim { node, priority });
        Hint { endpoint: self.endpoint, source: Source::LastKnown, claim }
    }
}

async fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await.ok()?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).await.ok()?;
    Some(bytes)
}

/// In one step; not synced, because an old or lost file does no harm.
async fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    tokio::fs::write(&new, bytes).await?;
    tokio::fs::rename(&new, path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(endpoint: &str) -> (SocketAddr, Option<Claim>) {
        let claim = Claim { node: "box-1".parse().unwrap(), priority: 3 };
        (endpoint.parse().unwrap(), Some(claim))
    }

    #[tokio::test]
    async fn what_answered_is_a_hint_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boxes.json");
        let (mut memory, hints) = Memory::open(path.clone()).await;
        assert_eq!(hints, []);
        let (v4, link_local) = (remembered("10.0.0.1:80"), remembered("[fe80::1%2]:80"));
        memory.keep(vec![v4.clone(), link_local]).await;
        let (_, hints) = Memory::open(path).await;
        let hint = Hint { endpoint: v4.0, source: Source::LastKnown, claim: v4.1 };
        assert_eq!(hints, [hint]);
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boxes.json");
        for text in
            ["", "{", r#"{"version":2,"boxes":[]}"#, r#"{"version":1,"boxes":[{"endpoint":7}]}"#]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Memory::open(path.clone()).await.1, [], "{text}");
        }
    }
}
