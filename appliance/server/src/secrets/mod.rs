//! Secrets: where they come from, how they rest, and that they are never shown.
//!
//! - What systemd hands over (`LoadCredentialEncrypted=`, bound to the TPM where there is one) is read from
//!   `$CREDENTIALS_DIRECTORY`; a file name without a folder in the configuration means such a credential.
//! - What the box makes or is given while it runs rests in the [`Vault`], sealed.
//! - In memory a secret is wiped when it is dropped, and its `Debug` shows nothing.

mod source;
mod vault;

pub use source::{SecretError, SecretText, credential, read};
pub use vault::{Guard, Vault, VaultError, read_key};
