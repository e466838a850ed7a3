//! Refusals as RFC 9457 answers.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use storebox_proto::problem::{Code, Problem};

/// Seconds after which a caller that was told to wait may try again.
const RETRY_AFTER_S: &str = "1";

/// The error type of every handler.
#[derive(Debug, Clone)]
pub struct Refusal(pub Problem);

impl Refusal {
    /// A refusal with its explanation.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status)
            .expect("a test holds every code's status between 400 and 599");
        let body = serde_json::to_vec(&self.0).expect("a problem is plain text and numbers");
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let wait = header::HeaderValue::from_static(RETRY_AFTER_S);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if self.0.code == Code::RateExceeded {
            let wait = header::HeaderValue::from_static(RETRY_AFTER_S);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        // For the counters and the log of the listeners.
        response.extensions_mut().insert(self.0.code);
        response
    }
}
