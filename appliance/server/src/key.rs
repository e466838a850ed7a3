//! The key pair of this box: it signs receipts, and on a main server masterdata too.
//!
//! The secret half is the credential `node.key` of the service manager, else it is made at the first start and
//! never leaves `<data_dir>/node.key`.
//! The public half is kept beside it in `node.pub`, with a hash of its own: a digit of the secret that the disk has
//! changed would make another box of this one.
//! It is a file of its own because the version before reads `node.key`, too, after a release that came back.

use std::io;
use std::path::Path;

use ed25519_dalek::SigningKey;
use storebox_proto::ids::Hash32;
use zeroize::Zeroizing;

use crate::secrets::SecretError;
use crate::{env, files, secrets};

/// Its name within the data directory.
pub const FILE: &str = "node.key";
/// The public half beside it.
const PUBLIC_FILE: &str = "node.pub";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{file}: cannot be used")]
    File {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The credential cannot be read.
    #[error(transparent)]
    Credential(#[from] SecretError),
    /// The file holds something else; making a new key would silently change who this box is.
    #[error("{file}: does not hold 64 hexadecimal digits; restore it from a backup or remove it")]
    Content {
        /// Which file.
        file: String,
    },
    /// The two halves do not belong together.
    #[error(
        "{file}: is damaged, or of another box than {PUBLIC_FILE} beside it; restore it from a backup, \
         or remove {PUBLIC_FILE} if the key was exchanged on purpose"
    )]
    Halves {
        /// Which file.
        file: String,
    },
}

/// Reads the key of the box, or makes it at the first start.
pub fn open(data_dir: &Path) -> Result<SigningKey, KeyError> {
    if let Some(text) = secrets::credential(FILE)? {
        let mut secret = Zeroizing::new([0; 32]);
        let file = format!("credential {FILE}");
        hex::decode_to_slice(text.reveal(), &mut *secret)
            .map_err(|_| KeyError::Content { file })?;
        return Ok(SigningKey::from_bytes(&secret));
    }
    let path = data_dir.join(FILE);
    let file = path.display().to_string();
    let key = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let (text, mut secret) = (Zeroizing::new(text), Zeroizing::new([0; 32]));
            let content = KeyError::Content { file: file.clone() };
            hex::decode_to_slice(text.trim(), &mut *secret).map_err(|_| content)?;
            SigningKey::from_bytes(&secret)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(data_dir),
        // What is no text is damaged too.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(KeyError::Content { file });
        }
        Err(source) => return Err(KeyError::File { file, source }),
    };
    match noted(data_dir) {
        Some(public) if public != public_text(&key) => Err(KeyError::Halves { file }),
        Some(_) | None => Ok(key),
    }
}

/// The same for the service, which notes the public half where it is missing or damaged.
///
/// A command notes nothing: run by somebody else, it would leave a file that the service cannot replace.
/// A disk that has no room for it keeps no box from starting; the next start tries again.
pub fn open_to_serve(data_dir: &Path) -> Result<SigningKey, KeyError> {
    let key = open(data_dir)?;
    if secrets::credential(FILE)?.is_none()
        && noted(data_dir).is_none()
        && let Err(error) = note(data_dir, &key)
    {
        tracing::warn!(%error, file = PUBLIC_FILE, "the public half of the key is not kept beside it");
    }
    Ok(key)
}

fn make(data_dir: &Path) -> Result<SigningKey, KeyError> {
    let secret = Zeroizing::new(env::random::<32>());
    let (key, path) = (SigningKey::from_bytes(&secret), data_dir.join(FILE));
    let text = Zeroizing::new(format!("{}\n", hex::encode(*secret)));
    // The one of a key that is gone would speak against this one.
    let failed = |path: &Path, source| KeyError::File { file: path.display().to_string(), source };
    note(data_dir, &key).map_err(|source| failed(&data_dir.join(PUBLIC_FILE), source))?;
    files::replace(&path, text.as_bytes(), files::PRIVATE)
        .map_err(|source| failed(&path, source))?;
    Ok(key)
}

/// The public half as it was noted; nothing if it was not, or is damaged.
fn noted(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join(PUBLIC_FILE)).ok()?;
    let (public, hash) = text.trim().split_once(' ')?;
    (Hash32::of(public.as_bytes()).to_string() == hash).then(|| public.to_owned())
}

fn note(data_dir: &Path, key: &SigningKey) -> io::Result<()> {
    let public = public_text(key);
    let text = format!("{public} {}\n", Hash32::of(public.as_bytes()));
    files::replace(&data_dir.join(PUBLIC_FILE), text.as_bytes(), files::PUBLIC)
}

/// The public half as text.
pub fn public_text(key: &SigningKey) -> String {
    hex::encode(key.verifying_key().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(data_dir: &Path) -> Result<String, KeyError> {
        open_to_serve(data_dir).map(|key| public_text(&key))
    }

    #[test]
    fn the_key_survives_a_restart_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = served(dir.path()).unwrap();
        assert_eq!(served(dir.path()).unwrap(), first);
        std::fs::write(dir.path().join(FILE), "damaged").unwrap();
        assert!(matches!(served(dir.path()), Err(KeyError::Content { .. })));
    }

    #[test]
    fn no_changed_byte_makes_another_box_of_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = served(dir.path()).unwrap();
        for name in [FILE, PUBLIC_FILE] {
            let file = dir.path().join(name);
            let whole = std::fs::read(&file).unwrap();
            for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                std::fs::write(&file, &damaged).unwrap();
                match served(dir.path()) {
                    Ok(key) => assert_eq!(key, first, "{name}: byte {at}, bit {bit}"),
                    Err(error) => {
                        assert!(name == FILE && error.to_string().contains(FILE), "{error}")
                    }
                }
            }
            std::fs::write(&file, &whole).unwrap();
        }
    }

    #[test]
    fn a_key_of_a_version_before_stays_as_it_is_and_its_public_half_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let (file, before) = (dir.path().join(FILE), format!("{}\n", "07".repeat(32)));
        std::fs::write(&file, &before).unwrap();
        let public = public_text(&open(dir.path()).unwrap());
        assert_eq!(noted(dir.path()), None, "a command notes nothing");
        assert_eq!(served(dir.path()).unwrap(), public);
        assert_eq!(noted(dir.path()), Some(public.clone()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
        // As on a disk without room: where the file is written before it gets its name, nothing can be.
        std::fs::remove_file(dir.path().join(PUBLIC_FILE)).unwrap();
        std::fs::create_dir(dir.path().join("node.new")).unwrap();
        assert_eq!(served(dir.path()).unwrap(), public);
        std::fs::remove_dir(dir.path().join("node.new")).unwrap();
        // A key that a person removes is made anew, and is the one that is noted.
        std::fs::remove_file(&file).unwrap();
        let anew = served(dir.path()).unwrap();
        assert_eq!(noted(dir.path()), Some(anew));
    }
}
