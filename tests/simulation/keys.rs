//! The author's key, made once: making keys is dear.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;

static AUTHOR: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));

pub(crate) fn author() -> &'static SigningKey {
    &AUTHOR
}
