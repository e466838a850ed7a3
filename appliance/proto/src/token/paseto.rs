//! PASETO v4.public (<https://github.com/paseto-standard/paseto-spec>), of which this is all: Ed25519 over a message
//! whose parts have their lengths before them.
//!
//! Written here because a library would bring a second Ed25519 with it; held against the standard's own vectors.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::{PREFIX, TOKEN_BYTES_MAX, TokenError};

/// Ties a token to what it is for; a token made for anything else does not verify.
pub(super) const PURPOSE: &[u8] = b"storebox-login-v1";
const SIGNATURE_BYTES: usize = 64;

/// A token with this payload; the footer names the key and is readable by everybody.
pub fn sign(key: &SigningKey, payload: &[u8], footer: &[u8], implicit: &[u8]) -> String {
    let signature = key.sign(&encode(&[PREFIX.as_bytes(), payload, footer, implicit]));
    let body = URL_SAFE_NO_PAD.encode([payload, &signature.to_bytes()].concat());
    match footer.is_empty() {
        true => format!("{PREFIX}{body}"),
        false => format!("{PREFIX}{body}.{}", URL_SAFE_NO_PAD.encode(footer)),
    }
}

/// The payload and footer of a token that this key signed.
pub fn open(
    key: &VerifyingKey,
    token: &str,
    implicit: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), TokenError> {
    let (body, footer) = split(token)?;
    let at = body.len().checked_sub(SIGNATURE_BYTES).ok_or(TokenError::Broken)?;
    let (payload, signature) = body.split_at(at);
    let signature = Signature::from_slice(signature).map_err(|_| TokenError::Broken)?;
    let signed = encode(&[PREFIX.as_bytes(), payload, &footer, implicit]);
    key.verify_strict(&signed, &signature).map_err(|_| TokenError::Broken)?;
    Ok((payload.to_vec(), footer))
}

/// What the footer says before anything is verified: good for finding the key, and for nothing else.
pub fn peek_key(token: &str) -> Result<String, TokenError> {
    let (_, footer) = split(token)?;
    String::from_utf8(footer).map_err(|_| TokenError::Broken)
}

fn split(token: &str) -> Result<(Vec<u8>, Vec<u8>), TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Broken);
    }
    let rest = token.strip_prefix(PREFIX).ok_or(TokenError::Broken)?;
    let (body, footer) = rest.split_once('.').unwrap_or((rest, ""));
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Broken);
    Ok((decode(body)?, decode(footer)?))
}

/// The standard's pre-authentication encoding.
fn encode(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = (parts.len() as u64).to_le_bytes().to_vec();
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAYLOAD: &str =
        "{\"data\":\"this is a signed message\",\"exp\":\"2022-01-01T00:00:00+00:00\"}";
    const FOOTER: &str = "{\"kid\":\"zVhMiPBP9fRf2snEcT7gFTioeA9COcNy9DfgL1W60haN\"}";

    fn key() -> SigningKey {
        let seed = "b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774";
        SigningKey::from_bytes(&hex::decode(seed).unwrap().try_into().unwrap())
    }

    /// If this fails, do not change the test: these are 4-S-1, 4-S-2 and 4-S-3 of the standard.
    #[test]
    fn the_vectors_of_the_standard_are_made_and_read() {
        let head = "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9";
        let tail = ".eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9";
        for (footer, implicit, signature, end) in [
            (
                "",
                "",
                "bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA",
                "",
            ),
            (
                FOOTER,
                "",
                "v3Jt8mx_TdM2ceTGoqwrh4yDFn0XsHvvV_D0DtwQxVrJEBMl0F2caAdgnpKlt4p7xBnx1HcO-SPo8FPp214HDw",
                tail,
            ),
            (
                FOOTER,
                "{\"test-vector\":\"4-S-3\"}",
                "NPWciuD3d0o5eXJXG5pJy-DiVEoyPYWs1YSTwWHNJq6DZD3je5gf-0M4JR9ipdUSJbIovzmBECeaWmaqcaP0DQ",
                tail,
            ),
        ] {
            let token = format!("{head}{signature}{end}");
            let made = sign(&key(), PAYLOAD.as_bytes(), footer.as_bytes(), implicit.as_bytes());
            assert_eq!(made, token);
            let opened = open(&key().verifying_key(), &token, implicit.as_bytes()).unwrap();
            assert_eq!(opened, (PAYLOAD.as_bytes().to_vec(), footer.as_bytes().to_vec()));
            assert_eq!(peek_key(&token).unwrap(), footer);
            assert!(open(&key().verifying_key(), &token, b"other").is_err());
        }
    }

    proptest! {
        #[test]
        fn any_changed_bit_of_a_token_is_refused(bit in any::<usize>(), payload in any::<Vec<u8>>()) {
            let payload = &payload[..payload.len().min(200)];
            let mut token = sign(&key(), payload, b"kid", PURPOSE).into_bytes();
            let bit = bit % (token.len() * 8);
            token[bit / 8] ^= 1 << (bit % 8);
            if let Ok(token) = String::from_utf8(token) {
                prop_assert!(open(&key().verifying_key(), &token, PURPOSE).is_err());
            }
        }

        #[test]
        fn any_text_is_no_token_and_never_panics(text in ".{0,300}") {
            prop_assert!(open(&key().verifying_key(), &text, PURPOSE).is_err());
            let text = format!("{PREFIX}{text}");
            prop_assert!(open(&key().verifying_key(), &text, PURPOSE).is_err());
        }
    }
}
