//! By which everything about one request is found: taken from the caller, else minted where it matters, and given back.
//!
//! It goes into logs and onto other programs' desks, so what a caller brings is taken only if it is short and plain.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::env;

/// The header, of requests and of answers.
pub(super) const HEADER: HeaderName = HeaderName::from_static("storebox-correlation");
/// The longest that a caller may bring.
const BYTES_MAX: usize = 64;

/// What the caller brought, if it may be used.
pub(super) fn brought(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_good = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=BYTES_MAX).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
    };
    headers.get(HEADER).filter(is_good)
}

/// What the caller brought, or a new one.
pub(super) fn of(headers: &HeaderMap) -> String {
    let text = brought(headers).and_then(|value| value.to_str().ok());
    text.map_or_else(|| hex::encode(env::random::<12>()), str::to_owned)
}

/// Gives it back, unless whoever answered has done so.
pub(super) fn give_back(headers: &mut HeaderMap, value: HeaderValue) {
    headers.entry(HEADER).or_insert(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_and_plain_is_taken_and_everything_else_is_replaced() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            of(&headers)
        };
        assert_eq!(with("web-7.1:a_B"), "web-7.1:a_B");
        for bad in ["", "two words", "a\"b", "ü", &"x".repeat(BYTES_MAX + 1)] {
            let minted = with(bad);
            assert!(minted.len() == 24 && minted != *bad, "{bad:?}: {minted}");
        }
        assert_eq!(of(&HeaderMap::new()).len(), 24);
    }
}
