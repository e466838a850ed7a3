//! Lines to other servers: straight for an http URL, through a bridge for an https one, or where a proxy is on the way.
//!
//! Clients are given an address of plain HTTP and, where TLS is wanted, the socket that leads there; so what speaks over
//! a line knows nothing of certificates, and no https URL is ever reached without them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Client, ClientBuilder};
use rustls::pki_types::ServerName;
use storebox_proto::ids::SiteId;

use super::authorities::{self, AuthoritiesError};
use super::bridge::{Bridge, Far, Tls};
use super::house::House;
use super::proxy::Proxy;

/// Where the sockets are, in the data directory; short, because the name of a socket is.
const FOLDER: &str = "lines";

/// Of a socket that nobody opens.
const CLOSED: &str = "closed";

/// What a server behind an https URL is believed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believed<'a> {
    /// The certificate that head office has given to boxes of this site; this box shows its own.
    Site(&'a SiteId),
    /// The same for boxes of this box's own site.
    Home,
    /// Authorities in a file; an empty name: those of this machine.
    Authorities(&'a Path),
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The URL has no host.
    #[error("{0:?} is not a URL such as https://main.example:8443")]
    Address(String),
    /// Only a member of the chain believes its certificates.
    #[error(
        "{0} is https, but this box was not adopted by head office, and ca_file names no other authority"
    )]
    NotAdopted(String),
    /// The authorities cannot be used.
    #[error("believe {url}")]
    Authorities {
        /// Whom.
        url: String,
        /// Why not.
        #[source]
        source: AuthoritiesError,
    },
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The socket cannot be made.
    #[error("make the socket {path}")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where clients of one server connect; its bridge stands as long as this or a copy of it.
#[derive(Debug, Clone)]
pub struct Line {
    url: String,
    bridge: Option<Arc<Bridge>>,
    /// Where nobody answers.
    closed: Option<PathBuf>,
}

impl Line {
    /// A line without TLS.
    pub fn straight(url: &str) -> Self {
        Self { url: url.to_owned(), bridge: None, closed: None }
    }

    /// The address that clients use, always of plain HTTP.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The socket that they connect to, if it is not the address itself.
    pub fn socket(&self) -> Option<&Path> {
        self.bridge.as_ref().map(|bridge| bridge.socket()).or(self.closed.as_deref())
    }

    /// A client that goes this way; it must not outlive the line.
    pub fn client(&self, builder: ClientBuilder) -> Result<Client, reqwest::Error> {
        match self.socket() {
            Some(socket) => builder.unix_socket(socket),
            None => builder,
        }
        .build()
    }
}

/// Opens lines; cheap to clone.
#[derive(Clone)]
pub struct Lines {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    house: Option<Arc<House>>,
    proxy: Option<Proxy>,
    opened: AtomicU64,
}

impl Lines {
    /// Lines of the box that keeps everything in this directory.
    pub fn new(data_dir: &Path, house: Option<Arc<House>>) -> Self {
        Self::through(None, data_dir, house)
    }

    /// The same, where the way out of the shop leads through a proxy.
    pub fn through(proxy: Option<Proxy>, data_dir: &Path, house: Option<Arc<House>>) -> Self {
        let (folder, opened) = (data_dir.join(FOLDER), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { folder, house, proxy, opened }) }
    }

    /// The proxy on the way out of the shop.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.inner.proxy.as_ref()
    }

    /// The line to a server.
    pub fn open(&self, url: &str, by: Believed<'_>) -> Result<Line, LineError> {
        let Some(far) = self.far(url, by)? else { return Ok(Line::straight(url)) };
        let number = self.inner.opened.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.folder.join(number.to_string());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.inner.folder);
        let bridge = made.and_then(|()| Bridge::open(path.clone(), far));
        let bridge = bridge.map_err(|source| LineError::Socket { path, source })?;
        let url = url.replacen("https://", "http://", 1);
        Ok(Line { url, bridge: Some(Arc::new(bridge)), closed: None })
    }

    /// A line that leads nowhere, for a server that this box cannot be believed by.
    pub fn closed(&self, url: &str) -> Line {
        let url = url.replacen("https://", "http://", 1);
        Line { url, bridge: None, closed: Some(self.inner.folder.join(CLOSED)) }
    }

    /// What a bridge is needed for: TLS, or a proxy that stands before this server.
    fn far(&self, url: &str, by: Believed<'_>) -> Result<Option<Far>, LineError> {
        let is_tls = url.starts_with("https://");
        let beyond = self.inner.proxy.clone().filter(|_| !matches!(by, Believed::Home));
        if !is_tls && beyond.is_none() {
            return Ok(None);
        }
        // What is no http address either is for others to refuse.
        let Some((host, port)) = target(url) else {
            return if is_tls { Err(LineError::Address(url.to_owned())) } else { Ok(None) };
        };
        let proxy = beyond.filter(|proxy| proxy.leads_to(&host));
        let tls = if is_tls { Some(self.tls(url, &host, by)?) } else { None };
        Ok((is_tls || proxy.is_some()).then_some(Far { host, port, proxy, tls }))
    }

    fn tls(&self, url: &str, host: &str, by: Believed<'_>) -> Result<Tls, LineError> {
        let house = || {
            let house = self.inner.house.as_ref();
            house.ok_or_else(|| LineError::NotAdopted(url.to_owned()))
        };
        let site = match by {
            Believed::Site(site) => site.clone(),
            Believed::Home => house()?.member.site.clone(),
            Believed::Authorities(file) => {
                let refused = |source| LineError::Authorities { url: url.to_owned(), source };
                let config = authorities::config(file).map_err(refused)?;
                let name = ServerName::try_from(host.to_owned());
                let name = name.map_err(|_| LineError::Address(url.to_owned()))?;
                return Ok(Tls { name, config });
            }
        };
        let (way, credentials) = house()?.way_to(site);
        let (config, name) = (Arc::new(way.config(Some(credentials))?), way.server_name());
        Ok(Tls { name, config })
    }
}

/// Host and port of a URL.
pub(super) fn target(url: &str) -> Option<(String, u16)> {
    let (rest, port) = match url.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (url.strip_prefix("http://")?, 80),
    };
    let authority = rest.split('/').next().filter(|authority| !authority.contains('@'))?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        Some(_) | None => (authority, port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_a_url_is_its_host_and_port() {
        let is = |url: &str, host: &str, port| {
            assert_eq!(target(url), Some((host.to_owned(), port)), "{url}");
        };
        is("https://main.example:8443", "main.example", 8443);
        is("https://main.example/", "main.example", 443);
        is("https://[fe80::1]:8443/", "fe80::1", 8443);
        is("https://[fe80::1]", "fe80::1", 443);
        is("http://main.example", "main.example", 80);
        for bad in ["main.example", "https://", "https://a@b:1", "https://a:99999"] {
            assert_eq!(target(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_box_that_was_not_adopted_reaches_no_member_over_tls() {
        let dir = tempfile::tempdir().unwrap();
        let lines = Lines::new(dir.path(), None);
        let site: SiteId = "head-office".parse().unwrap();
        let refused = lines.open("https://main.example:8443", Believed::Site(&site)).unwrap_err();
        assert!(refused.to_string().contains("was not adopted"), "{refused}");
        let closed = lines.closed("https://main.example:8443");
        assert_eq!(closed.url(), "http://main.example:8443");
        assert!(!closed.socket().expect("a line over TLS has one").exists());
        let plain = lines.open("http://main.example:8443", Believed::Site(&site)).unwrap();
        assert_eq!((plain.url(), plain.socket()), ("http://main.example:8443", None));
    }

    #[tokio::test]
    async fn a_proxy_stands_before_servers_beyond_the_shop_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let url = crate::config::ProxyUrl(Some(("10.0.0.9".to_owned(), 3128)));
        let direct = vec!["near.example".to_owned()];
        let proxy = Proxy::of(&crate::config::Proxy { url, direct });
        let lines = Lines::through(proxy, dir.path(), None);
        let site: SiteId = "head-office".parse().unwrap();
        let far = lines.open("http://main.example:8443", Believed::Site(&site)).unwrap();
        assert!(far.socket().is_some_and(Path::exists), "in the open, and yet through a tunnel");
        assert_eq!(far.url(), "http://main.example:8443");
        let is_straight = |url: &str, by: Believed<'_>| {
            assert_eq!(lines.open(url, by).unwrap().socket(), None, "{url}");
        };
        is_straight("http://near.example:8443", Believed::Site(&site));
        is_straight("http://10.0.0.5:8080", Believed::Home);
        is_straight("", Believed::Site(&site));
    }
}
