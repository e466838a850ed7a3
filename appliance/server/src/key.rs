//! The key pair of this box: it signs receipts, and on a main server masterdata too.
//!
//! The secret half is the credential `node.key` of the service manager, else it is made at the first start and
//! never leaves `<data_dir>/node.key`.

use std::io;
use std::path::Path;

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::secrets::SecretError;
use crate::{env, files, secrets};

/// Its name within the data directory.
pub const FILE: &str = "node.key";

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
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let (text, mut secret) = (Zeroizing::new(text), Zeroizing::new([0; 32]));
            hex::decode_to_slice(text.trim(), &mut *secret)
                .map_err(|_| KeyError::Content { file })?;
            Ok(SigningKey::from_bytes(&secret))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = Zeroizing::new(env::random::<32>());
            let text = Zeroizing::new(format!("{}\n", hex::encode(*secret)));
            files::replace(&path, text.as_bytes(), files::PRIVATE)
                .map_err(|source| KeyError::File { file, source })?;
            Ok(SigningKey::from_bytes(&secret))
        }
        Err(source) => Err(KeyError::File { file, source }),
    }
}

/// The public half as text.
pub fn public_text(key: &SigningKey) -> String {
    hex::encode(key.verifying_key().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_survives_a_restart_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = public_text(&open(dir.path()).unwrap());
        assert_eq!(public_text(&open(dir.path()).unwrap()), first);
        std::fs::write(dir.path().join(FILE), "damaged").unwrap();
        assert!(matches!(open(dir.path()), Err(KeyError::Content { .. })));
    }
}
