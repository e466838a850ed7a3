//! The key of the simulated main server, made once: signing is dear, making keys dearer.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;

static MAIN: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));

pub(crate) fn main() -> &'static SigningKey {
    &MAIN
}
