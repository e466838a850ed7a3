//! Reading secrets that somebody else keeps: credentials of the service manager, and files.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

/// Where systemd puts what it decrypted for this service alone.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Tokens and keys are far shorter; a file with more is not one.
const SECRET_BYTES_MAX: u64 = 4096;

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read the secret {path}")]
pub struct SecretError {
    /// Where it should be.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A secret as text; wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the header or cipher that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The secret at a path; a bare name is a credential of the service manager.
pub fn read(path: &Path) -> Result<SecretText, SecretError> {
    let place = place(path, std::env::var_os(CREDENTIALS).as_deref());
    read_file(&place).map_err(|source| SecretError { path: place, source })
}

/// A credential by its name, if the service manager gave one.
pub fn credential(name: &str) -> Result<Option<SecretText>, SecretError> {
    let Some(folder) = std::env::var_os(CREDENTIALS) else { return Ok(None) };
    let path = Path::new(&folder).join(name);
    match read_file(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SecretError { path, source }),
    }
}

fn place(path: &Path, credentials: Option<&OsStr>) -> PathBuf {
    let mut parts = path.components();
    let is_bare = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    match credentials.filter(|_| is_bare) {
        Some(folder) => Path::new(folder).join(path),
        None => path.to_owned(),
    }
}

fn read_file(path: &Path) -> io::Result<SecretText> {
    let file = std::fs::File::open(path)?;
    // Reserved beforehand: growing would leave unwiped copies behind.
    let capacity = usize::try_from(SECRET_BYTES_MAX).unwrap_or(usize::MAX);
    let mut text = Zeroizing::new(String::with_capacity(capacity + 1));
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other("too large for a secret"));
    }
    Ok(SecretText::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_credential_and_a_path_is_a_path() {
        let given = Some(OsStr::new("/run/credentials/storebox.service"));
        let credential = Path::new("/run/credentials/storebox.service/main.token");
        assert_eq!(place(Path::new("main.token"), given), credential);
        assert_eq!(place(Path::new("/etc/main.token"), given), Path::new("/etc/main.token"));
        assert_eq!(place(Path::new("../main.token"), given), Path::new("../main.token"));
        assert_eq!(place(Path::new("main.token"), None), Path::new("main.token"));
    }

    #[test]
    fn a_secret_is_trimmed_bounded_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "sbn_0123\n").unwrap();
        let secret = read(&path).unwrap();
        assert_eq!(secret.reveal(), "sbn_0123");
        assert_eq!(format!("{secret:?}"), "…");
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(read(&path).is_err());
        assert!(read(&dir.path().join("nowhere")).is_err());
    }
}
