//! Where storage is, parsed once: an address, and what opens it.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use crate::trust::line::LineError;

/// An address with what belongs to it, as it is configured.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `file:`, `http(s):`, `dav(s):`, `ftp(s):` or `s3:`, or a path.
    pub url: String,
    /// The user, or the id of the access key.
    pub user: String,
    /// The password, or the secret of the access key.
    pub secret: String,
    /// Where the bucket's service is, such as `https://s3.eu-central-003.backblazeb2.com`.
    pub endpoint: String,
    /// The service's region.
    pub region: String,
    /// For TLS: who vouches for the server; empty: the authorities of this machine.
    pub ca_file: PathBuf,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why an address is refused.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Not an address of storage.
    #[error(
        "{url:?} is not storage such as s3://bucket/feeds, ftp://host/feeds or file:///media/stick"
    )]
    Address {
        /// What was given.
        url: String,
    },
    /// A user or password stands in the address, where logs would show it.
    #[error("the address of {host} holds a password: it belongs into a file of its own")]
    Secret {
        /// The host.
        host: String,
    },
    /// Something that this kind of storage needs is not there.
    #[error("{url}: {what} is needed")]
    Missing {
        /// The address.
        url: String,
        /// What is missing.
        what: &'static str,
    },
    /// A name would break the protocol.
    #[error("{url}: a line break in a name or password")]
    LineBreak {
        /// The address.
        url: String,
    },
    /// The HTTP client does not start.
    #[error("start the HTTP client")]
    Client(#[source] reqwest::Error),
    /// Its server cannot be reached over TLS.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// Storage of one kind.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory of this machine.
    Folder(PathBuf),
    /// A web server that is read.
    Web {
        /// Its address.
        url: Url,
    },
    /// A web server that is written to by WebDAV.
    Dav {
        /// Its address.
        url: Url,
        /// The user; empty: none.
        user: String,
        /// The password.
        secret: String,
    },
    /// A bucket.
    S3(Bucket),
    /// An FTP server.
    Ftp(FtpServer),
}

/// A bucket of an S3-compatible service.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The service.
    pub endpoint: Url,
    /// The bucket.
    pub bucket: String,
    /// What the names in it begin with; empty or ending in a slash.
    pub prefix: String,
    /// The region.
    pub region: String,
    /// The id of the access key.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
}

/// An FTP server.
#[derive(Clone, PartialEq, Eq)]
pub struct FtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is spoken to over TLS only.
    pub secure: bool,
    /// The directory, without slashes at its ends.
    pub root: String,
    /// The user.
    pub user: String,
    /// The password.
    pub secret: String,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Without any secret.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(root) => write!(f, "file://{}", root.display()),
            Self::Web { url } | Self::Dav { url, .. } => {
                f.write_str(url.as_str().trim_end_matches('/'))
            }
            Self::S3(Bucket { bucket, prefix, .. }) => {
                write!(f, "s3://{bucket}/{}", prefix.trim_end_matches('/'))
            }
            Self::Ftp(FtpServer { host, port, secure, root, .. }) => {
                let scheme = if *secure { "ftps" } else { "ftp" };
                write!(f, "{scheme}://{host}:{port}/{root}")
            }
        }
    }
}

impl Place {
    /// The place that these settings name.
    pub fn parse(settings: Settings) -> Result<Self, PlaceError> {
        if settings.url.starts_with('/') {
            return Ok(Self::Folder(PathBuf::from(settings.url)));
        }
        let named: String = settings.url.chars().take(200).collect();
        let refuse = || PlaceError::Address { url: named.clone() };
        let url = Url::parse(&settings.url).map_err(|_| refuse())?;
        if !url.username().is_empty() || url.password().is_some() {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(PlaceError::Secret { host });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse());
        }
        match url.scheme() {
            "file" => url.to_file_path().map(Self::Folder).map_err(|()| refuse()),
            "http" | "https" => Ok(Self::Web { url }),
            "dav" | "davs" => dav(settings, refuse),
            "s3" => bucket(&url, settings).map(Self::S3),
            "ftp" | "ftps" => ftp(&url, settings).map(Self::Ftp),
            _ => Err(refuse()),
        }
    }
}

fn dav(settings: Settings, refuse: impl Fn() -> PlaceError) -> Result<Place, PlaceError> {
    let rest = settings.url.strip_prefix("dav").ok_or_else(&refuse)?;
    let url = Url::parse(&format!("http{rest}")).map_err(|_| refuse())?;
    Ok(Place::Dav { url, user: settings.user, secret: settings.secret })
}

fn bucket(url: &Url, settings: Settings) -> Result<Bucket, PlaceError> {
    let missing = |what| Err(PlaceError::Missing { url: url.to_string(), what });
    let bucket = url.host_str().unwrap_or_default().to_owned();
    if bucket.is_empty() {
        return missing("a bucket");
    }
    if settings.endpoint.is_empty() {
        return missing("the endpoint of the service");
    }
    if settings.user.is_empty() || settings.secret.is_empty() {
        return missing("an access key and its secret");
    }
    let endpoint = Url::parse(&settings.endpoint).ok();
    let endpoint = endpoint.filter(|url| matches!(url.scheme(), "http" | "https"));
    let endpoint = endpoint.ok_or(PlaceError::Address { url: settings.endpoint.clone() })?;
    let prefix = url.path().trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let region = Some(settings.region).filter(|region| !region.is_empty());
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    let (key_id, secret) = (settings.user, settings.secret);
    Ok(Bucket { endpoint, bucket, prefix, region, key_id, secret })
}

fn ftp(url: &Url, settings: Settings) -> Result<FtpServer, PlaceError> {
    let Settings { user, secret, .. } = settings;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(PlaceError::Missing { url: url.to_string(), what: "a host" });
    }
    let root = url.path().trim_matches('/').to_owned();
    let user = if user.is_empty() { "anonymous".to_owned() } else { user };
    if [&user, &secret, &root].iter().any(|text| text.contains(['\r', '\n', '\0'])) {
        return Err(PlaceError::LineBreak { url: url.to_string() });
    }
    let (port, secure) = (url.port().unwrap_or(21), url.scheme() == "ftps");
    Ok(FtpServer { host, port, secure, root, user, secret })
}
