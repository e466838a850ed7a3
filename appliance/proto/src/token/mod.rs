//! Tokens of persons: signed by the box where somebody logged in, believed by every box of the site.
//!
//! - [`paseto`] is the envelope: PASETO v4.public, which has no algorithm to choose and none to confuse.
//! - [`Claims`] say who, where, in which roles and until when; [`Claims::check`] is the one place that judges them.
//! - [`Attempts`] locks out who guesses.
//!
//! No box keeps a session: whoever has the public key of the box that signed can judge a token alone.

mod attempts;
mod claims;
mod paseto;
mod right;

pub use attempts::{Attempts, Locked};
pub use claims::{Bearer, Claims, Confirmation, Grounds, TokenError};
pub use paseto::{open, peek_key, sign};
pub use right::{Right, Rights};

/// Begins every token of a person.
pub const PREFIX: &str = "v4.public.";
/// A token, as it stands in a header.
pub const TOKEN_BYTES_MAX: usize = 2048;
