//! The vault: one small sealed file for what the box makes or is given while it runs.
//!
//! Its key comes from the credential `vault.key` (bound to the TPM by the service manager), else from the file that
//! the configuration names, else it is made at the first start and lies beside the vault: then the vault protects
//! against a stray copy, and disk encryption has to protect against a stolen disk ([`Guard`] says which it is).
//! A vault that does not open is never replaced: the shop sells on without what is inside, the status says so, and
//! the file waits for its key.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use super::source::{self, SecretError};
use crate::{env, files};

/// Its name within the data directory.
const FILE: &str = "vault";
/// The credential that opens it, and the file that holds its key if nothing better does.
const KEY: &str = "vault.key";
/// Begins the file: format and version.
const MAGIC: &[u8; 4] = b"SBV1";
const NONCE_BYTES: usize = 24;
/// All of it; rings of keys and peppers are far smaller.
const VAULT_BYTES_MAX: u64 = 1024 * 1024;

/// What keeps the key of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The service manager, which decrypted it for this process.
    Credential,
    /// A file that the configuration names.
    File,
    /// A file beside the vault: whoever copies the directory has both.
    Beside,
}

impl Guard {
    /// In words, for the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::File => "file",
            Self::Beside => "beside",
        }
    }

    /// Where the key is, for who has to find it.
    fn place(self, data_dir: &Path, key_file: &Path) -> String {
        match self {
            Self::Credential => format!("credential {KEY}"),
            Self::File => key_file.display().to_string(),
            Self::Beside => data_dir.join(KEY).display().to_string(),
        }
    }
}

/// Why the vault cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file cannot be read or written.
    #[error("{file}: cannot be used")]
    File {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// The key is no key.
    #[error("{place}: is no secret key, which has 64 hexadecimal digits")]
    KeyShape {
        /// Which file, credential or entry of the vault.
        place: String,
    },
    /// The vault does not open with this key.
    #[error("{file}: does not open with its key; it is left as it is")]
    Locked {
        /// Which file.
        file: String,
    },
    /// More than fits.
    #[error("the vault is full")]
    Full,
}

type Contents = BTreeMap<String, Zeroizing<String>>;

/// The vault of a box; cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    key: Zeroizing<[u8; 32]>,
    guard: Guard,
    /// Nothing: the vault is locked.
    contents: Mutex<Option<Contents>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} …)", self.path.display())
    }
}

impl Vault {
    /// The vault of the box in this directory, open or locked; `key_file` is what the configuration names.
    pub fn open(data_dir: &Path, key_file: &Path) -> Result<Self, VaultError> {
        let (key, guard) = key(data_dir, key_file)?;
        let path = data_dir.join(FILE);
        let contents = match read(&path, &key) {
            Ok(contents) => Some(contents),
            Err(VaultError::Locked { file }) => {
                // Which of the two is damaged cannot be told.
                let key = guard.place(data_dir, key_file);
                tracing::error!(
                    file,
                    key,
                    "the vault does not open with its key: sealing and logins stay away"
                );
                None
            }
            Err(error) => return Err(error),
        };
        let inner = Inner { path, key, guard, contents: Mutex::new(contents) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What keeps its key.
    pub fn guard(&self) -> Guard {
        self.inner.guard
    }

    /// Whether what is inside cannot be read.
    pub fn is_locked(&self) -> bool {
        self.lock().is_none()
    }

    /// A secret by its name.
    pub fn get(&self, name: &str) -> Option<Zeroizing<String>> {
        self.lock().as_ref()?.get(name).cloned()
    }

    /// Keeps a secret under a name; on disk when this returns.
    pub fn put(&self, name: &str, secret: Zeroizing<String>) -> Result<(), VaultError> {
        let mut contents = self.lock();
        let locked = || VaultError::Locked { file: self.inner.path.display().to_string() };
        let known = contents.as_ref().ok_or_else(locked)?;
        let mut changed = known.clone();
        changed.insert(name.to_owned(), secret);
        write(&self.inner, &changed)?;
        *contents = Some(changed);
        Ok(())
    }

    /// A secret of 32 bytes that is made when it is first asked for.
    pub fn key(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        if let Some(text) = self.get(name) {
            return parse_key(&text, || format!("{name} in the vault"));
        }
        let made = Zeroizing::new(env::random::<32>());
        self.put(name, Zeroizing::new(hex::encode(*made)))?;
        Ok(made)
    }

    /// What is behind the lock is replaced whole, so it is whole even if a thread died while holding it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Contents>> {
        self.inner.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key of 32 bytes in a file or credential.
pub fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    parse_key(source::read(path)?.reveal(), || path.display().to_string())
}

fn key(data_dir: &Path, key_file: &Path) -> Result<(Zeroizing<[u8; 32]>, Guard), VaultError> {
    if let Some(text) = source::credential(KEY)? {
        let key = parse_key(text.reveal(), || Guard::Credential.place(data_dir, key_file))?;
        return Ok((key, Guard::Credential));
    }
    if !key_file.as_os_str().is_empty() {
        return Ok((read_key(key_file)?, Guard::File));
    }
    let path = data_dir.join(KEY);
    match source::read(&path) {
        Ok(text) => {
            let key = parse_key(text.reveal(), || path.display().to_string())?;
            Ok((key, Guard::Beside))
        }
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
            let made = Zeroizing::new(env::random::<32>());
            let text = Zeroizing::new(format!("{}\n", hex::encode(*made)));
            let file = path.display().to_string();
            files::replace(&path, text.as_bytes(), files::PRIVATE)
                .map_err(|source| VaultError::File { file, source })?;
            Ok((made, Guard::Beside))
        }
        Err(error) => Err(error.into()),
    }
}

fn parse_key(
    text: &str,
    place: impl FnOnce() -> String,
) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let mut key = Zeroizing::new([0; 32]);
    let decoded = hex::decode_to_slice(text.trim(), &mut *key);
    decoded.map_err(|_| VaultError::KeyShape { place: place() })?;
    Ok(key)
}

fn read(path: &Path, key: &[u8; 32]) -> Result<Contents, VaultError> {
    let file = path.display().to_string();
    let sealed = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > VAULT_BYTES_MAX => {
            return Err(VaultError::Locked { file });
        }
        Ok(_) => {
            std::fs::read(path).map_err(|source| VaultError::File { file: file.clone(), source })?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::new()),
        Err(source) => return Err(VaultError::File { file, source }),
    };
    open(&sealed, key).ok_or(VaultError::Locked { file })
}

fn open(sealed: &[u8], key: &[u8; 32]) -> Option<Contents> {
    let rest = sealed.strip_prefix(MAGIC)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload { msg: sealed, aad: MAGIC };
    let plain = XChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), payload).ok()?;
    let plain = Zeroizing::new(plain);
    let contents: BTreeMap<String, String> = serde_json::from_slice(&plain).ok()?;
    Some(contents.into_iter().map(|(name, text)| (name, Zeroizing::new(text))).collect())
}

fn write(inner: &Inner, contents: &Contents) -> Result<(), VaultError> {
    let texts: BTreeMap<&str, &str> =
        contents.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let plain = serde_json::to_vec(&texts).expect("names and texts are JSON");
    let plain = Zeroizing::new(plain);
    if plain.len() as u64 > VAULT_BYTES_MAX / 2 {
        return Err(VaultError::Full);
    }
    let nonce = env::random::<NONCE_BYTES>();
    let payload = Payload { msg: &plain, aad: MAGIC };
    let sealed = XChaCha20Poly1305::new((&*inner.key).into())
        .encrypt((&nonce).into(), payload)
        .expect("a vault is far shorter than the cipher's 256 GB");
    let file = inner.path.display().to_string();
    files::replace(&inner.path, &[&MAGIC[..], &nonce, &sealed].concat(), files::PRIVATE)
        .map_err(|source| VaultError::File { file, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn a_secret_survives_a_restart_and_is_not_on_the_disk_in_the_open() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path(), Path::new("")).unwrap();
        assert_eq!(vault.guard(), Guard::Beside);
        vault.put("pepper", text("planted-secret")).unwrap();
        let key = vault.key("made").unwrap();
        let again = Vault::open(dir.path(), Path::new("")).unwrap();
        assert_eq!(again.get("pepper").unwrap().as_str(), "planted-secret");
        assert_eq!(again.key("made").unwrap(), key);
        let bytes = std::fs::read(dir.path().join(FILE)).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"planted-secret"));
        assert!(!format!("{again:?}").contains("planted"));
    }

    #[test]
    fn a_vault_under_another_key_is_locked_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("provisioned.key");
        std::fs::write(&key_file, hex::encode([1; 32])).unwrap();
        let vault = Vault::open(dir.path(), &key_file).unwrap();
        assert_eq!(vault.guard(), Guard::File);
        vault.put("pepper", text("x")).unwrap();
        let before = std::fs::read(dir.path().join(FILE)).unwrap();
        std::fs::write(&key_file, hex::encode([2; 32])).unwrap();
        let locked = Vault::open(dir.path(), &key_file).unwrap();
        assert!(locked.is_locked() && locked.get("pepper").is_none());
        assert!(matches!(locked.put("pepper", text("y")), Err(VaultError::Locked { .. })));
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), before);
    }

    #[test]
    fn a_damaged_key_is_told_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        for file in [dir.path().join(KEY), dir.path().join("provisioned.key")] {
            std::fs::write(&file, "no key").unwrap();
            let key_file = if file.ends_with(KEY) { Path::new("") } else { &*file };
            let refused = Vault::open(dir.path(), key_file).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{}: ", file.display())), "{refused}");
        }
    }

    #[test]
    fn a_changed_byte_locks_the_vault() {
        let dir = tempfile::tempdir().unwrap();
        Vault::open(dir.path(), Path::new("")).unwrap().put("a", text("b")).unwrap();
        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(Vault::open(dir.path(), Path::new("")).unwrap().is_locked(), "byte {at}");
            bytes[at] ^= 1;
        }
    }
}
