//! Names of contents, so that a client which has it already gets 304 instead.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

/// Hexadecimal digits of an ETag; 128 bits never meet by chance.
const DIGITS: usize = 32;

/// The ETag of these bytes.
pub(super) fn of(bytes: &[u8]) -> HeaderValue {
    let hash = blake3::hash(bytes);
    let mut text = [b'"'; DIGITS + 2];
    hex::encode_to_slice(&hash.as_bytes()[..DIGITS / 2], &mut text[1..=DIGITS])
        .expect("the buffer has two digits for each byte");
    HeaderValue::from_bytes(&text).expect("hexadecimal digits in quotes are a header value")
}

/// What the client says it has: a handler that asks for this leaves the other headers uncopied.
#[derive(Debug)]
pub(super) struct Known(Option<HeaderValue>);

impl Known {
    fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(header::IF_NONE_MATCH).cloned())
    }

    /// Whether the client has this content (RFC 9110, weak comparison).
    pub(super) fn has(&self, etag: &HeaderValue) -> bool {
        let Some(known) = self.0.as_ref().and_then(|known| known.to_str().ok()) else {
            return false;
        };
        let wanted = etag.as_bytes();
        known
            .split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == wanted)
    }
}

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_content_is_recognised_in_every_form() {
        let etag = of(b"{}");
        let text = etag.to_str().unwrap();
        for (sent, known) in [
            (text.to_owned(), true),
            (format!("W/{text}"), true),
            (format!("\"other\", {text}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, sent.parse().unwrap());
            assert_eq!(Known::of(&headers).has(&etag), known, "{sent}");
        }
        assert!(!Known::of(&HeaderMap::new()).has(&etag));
    }
}
