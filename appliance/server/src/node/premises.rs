//! The data directory, taken by one process at a time, and the listeners.

use std::fs::{DirBuilder, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use nix::fcntl::{Flock, FlockArg};
use storebox_proto::beacon::{FIXED_NAME, Label};
use storebox_proto::ids::Hash32;
use tokio::net::{TcpListener, UnixListener};

use crate::config::Config;
use crate::files;
use crate::terminal::next_door::Card;
use crate::trust::places::places;

/// The operator's way in, within the data directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// The addresses that are really served, one a line, within the data directory.
const ADDRESS_FILE: &str = "http.addr";
/// The same of those over TLS.
const TLS_ADDRESS_FILE: &str = "https.addr";
/// Held by the running box, within the data directory.
const LOCK_FILE: &str = "lock";
/// The directory is the box's own.
const DIR_MODE: u32 = 0o700;

/// Why a box has no place to be.
#[derive(Debug, thiserror::Error)]
pub enum PremisesError {
    /// Something under the data directory cannot be used.
    #[error("use {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another box lives there.
    #[error("{path} is in use by another running storebox")]
    Taken {
        /// Which directory.
        path: String,
    },
    /// An address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct Premises {
    dir: PathBuf,
    _lock: Flock<File>,
}

impl Premises {
    /// Makes the directory if need be and takes it.
    pub fn enter(dir: &Path) -> Result<Self, PremisesError> {
        let fail = |source| PremisesError::File { path: dir.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).map_err(fail)?;
        let path = dir.join(LOCK_FILE);
        let file = File::create(&path)
            .map_err(|source| PremisesError::File { path: path.display().to_string(), source })?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                Err(PremisesError::Taken { path: dir.display().to_string() })
            }
            Err((_, errno)) => Err(fail(errno.into())),
        }
    }

    /// Listens on all addresses, or on none.
    pub async fn listen(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<Vec<TcpListener>, PremisesError> {
        let mut listeners = Vec::with_capacity(addresses.len());
        for &address in addresses {
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.map_err(|source| PremisesError::Listen { address, source })?);
        }
        Ok(listeners)
    }

    /// Listens for the operator; a socket that a killed process left behind is replaced.
    pub fn control(&self) -> Result<UnixListener, PremisesError> {
        let path = self.dir.join(CONTROL_SOCKET);
        let fail = |source| PremisesError::File { path: path.display().to_string(), source };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path).map_err(fail)?;
        let mode = std::fs::Permissions::from_mode(files::PRIVATE);
        std::fs::set_permissions(&path, mode).map_err(fail)?;
        Ok(listener)
    }

    /// Writes down which addresses are served, and returns them as text.
    pub fn announce(&self, listeners: &[TcpListener]) -> Result<String, PremisesError> {
        self.write_down(ADDRESS_FILE, listeners)
    }

    /// The same for listeners over TLS.
    pub fn announce_tls(&self, listeners: &[TcpListener]) -> Result<String, PremisesError> {
        self.write_down(TLS_ADDRESS_FILE, listeners)
    }

    fn write_down(&self, file: &str, listeners: &[TcpListener]) -> Result<String, PremisesError> {
        let path = self.dir.join(file);
        let fail = |source| PremisesError::File { path: path.display().to_string(), source };
        let addresses: io::Result<Vec<_>> =
            listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect();
        let addresses = addresses.map_err(fail)?;
        let text = format!("{}\n", addresses.join("\n"));
        files::replace(&path, text.as_bytes(), files::PUBLIC).map_err(fail)?;
        Ok(addresses.join(", "))
    }
}

/// What the box says of itself next door: where it is found as its interfaces are now, and what its pages are called.
pub(super) fn card(
    config: &Config,
    key: &SigningKey,
    plain: &[TcpListener],
    secure: &[TcpListener],
) -> impl Fn() -> Card + Send + Sync + 'static {
    let label = Label::of_key(&Hash32::of(key.verifying_key().as_bytes()));
    let own = label.host();
    let names = [FIXED_NAME.to_owned(), own.trim_end_matches('.').to_owned()];
    let names: Vec<String> = names.into_iter().chain(config.browser.hosts.clone()).collect();
    let (node, domain) = (config.node.clone(), config.tls.domain.clone());
    let listen = [plain, secure].map(|listeners| -> Vec<SocketAddr> {
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    });
    move || {
        let [plain, secure] = reached(&listen);
        Card::new(node.clone(), &plain, &secure, &domain, &names)
    }
}

/// Where others reach these listeners.
///
/// Loopback is said only by a box that listens on nothing else (a demonstration, or programs on one machine): one that
/// has no address yet has none to say.
fn reached(listen: &[Vec<SocketAddr>; 2]) -> [Vec<SocketAddr>; 2] {
    match listen.iter().flatten().all(|at| at.ip().is_loopback()) {
        true => listen.clone(),
        false => [places(&listen[0]), places(&listen[1])],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_box_does_not_enter() {
        let dir = tempfile::tempdir().unwrap();
        let first = Premises::enter(dir.path()).unwrap();
        assert!(matches!(Premises::enter(dir.path()), Err(PremisesError::Taken { .. })));
        drop(first);
        assert!(Premises::enter(dir.path()).is_ok());
    }

    #[test]
    fn loopback_is_said_only_where_nothing_else_is_listened_on() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let local = [vec![at("127.0.0.1:7")], vec![at("[::1]:8")]];
        assert_eq!(reached(&local), local);
        let both = [vec![at("10.0.0.12:80"), at("127.0.0.1:80")], vec![at("127.0.0.1:8443")]];
        assert_eq!(reached(&both), [vec![at("10.0.0.12:80")], vec![]]);
        // A machine without an address yet has none to say, and says those that it has later.
        let everywhere = [vec![at("0.0.0.0:80"), at("127.0.0.1:80")], vec![]];
        let found = reached(&everywhere);
        assert!(found.iter().flatten().all(|at| !at.ip().is_loopback()), "{found:?}");
        assert_eq!(found[0], places(&[at("0.0.0.0:80")]), "as the interfaces are now");
    }

    #[tokio::test]
    async fn the_real_port_is_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let premises = Premises::enter(dir.path()).unwrap();
        let listeners = premises.listen(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let text = premises.announce(&listeners).unwrap();
        let address: SocketAddr = text.parse().unwrap();
        assert_ne!(address.port(), 0);
        let file = std::fs::read_to_string(dir.path().join(ADDRESS_FILE)).unwrap();
        assert_eq!(file.trim(), text);
    }

    #[tokio::test]
    async fn a_stale_control_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let premises = Premises::enter(dir.path()).unwrap();
        drop(premises.control().unwrap());
        let _listener = premises.control().unwrap();
        let meta = std::fs::metadata(dir.path().join(CONTROL_SOCKET)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, files::PRIVATE);
    }
}
