//! Names and files that point at a box where no announcement reaches: resolved at every look around.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use storebox_proto::beacon::{Place, Pointer};
use storebox_proto::limits::BOX_ADDRESSES_MAX;
use storebox_proto::sync::book::{Hint, Source};
use tokio::io::AsyncReadExt;

/// How long a name may take.
pub(super) const RESOLVE_MAX: Duration = Duration::from_secs(3);

/// Of the file of a DHCP client, so much is read.
const LEASE_BYTES_MAX: u64 = 16 * 1024;

/// Hints without a claim.
pub(super) fn hints(endpoints: impl IntoIterator<Item = SocketAddr>, source: Source) -> Vec<Hint> {
    let hint = |endpoint| Hint { endpoint, source, claim: None };
    endpoints.into_iter().take(BOX_ADDRESSES_MAX).map(hint).collect()
}

/// The addresses of a name, by the system's resolver.
pub(super) async fn by_dns(host: String, port: u16) -> Vec<SocketAddr> {
    let looked_up = tokio::net::lookup_host((host.as_str(), port));
    match tokio::time::timeout(RESOLVE_MAX, looked_up).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// The addresses of a `.local` name; link-local ones lack their interface here and are left out.
pub(super) async fn by_mdns(
    answer: impl Future<Output = Vec<IpAddr>>,
    port: u16,
) -> Vec<SocketAddr> {
    let usable = |ip: &IpAddr| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let mut found: Vec<SocketAddr> =
        answer.await.into_iter().filter(usable).map(|ip| SocketAddr::new(ip, port)).collect();
    found.sort();
    found
}

/// The places in the file into which the DHCP client writes what it was given; none if there is no such
/// file or no sense in it.
pub(super) async fn from_file(path: &Path, port: u16) -> Vec<Place> {
    let Ok(file) = tokio::fs::File::open(path).await else { return Vec::new() };
    let mut text = String::new();
    if file.take(LEASE_BYTES_MAX).read_to_string(&mut text).await.is_err() {
        return Vec::new();
    }
    match Pointer::from_lease(&text, port) {
        Ok(pointer) => pointer.places,
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "pointer passed over");
            Vec::new()
        }
    }
}
