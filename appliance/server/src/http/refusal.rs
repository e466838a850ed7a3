//! What the framework refuses, said in our words: every refusal leaves the box as RFC 9457.

use axum::body::{Body, to_bytes};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use storebox_proto::problem::Code;

use super::problem::Refusal;

/// The framework's own explanations are shorter than this.
const TEXT_BYTES_MAX: usize = 4096;

/// A refusal as an answer.
pub(super) fn answer(code: Code, detail: impl Into<String>) -> Response<Body> {
    Refusal::new(code, detail).into_response()
}

/// Lets answers through and turns bare refusals into problems.
pub(super) async fn complete(response: Response<Body>, has_body: bool) -> Response<Body> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    if kind.is_some_and(|kind| !kind.starts_with(b"text/plain")) {
        return response;
    }
    let (head, body) = response.into_parts();
    let text = to_bytes(body, TEXT_BYTES_MAX).await.unwrap_or_default();
    let code = code_of(status, has_body);
    let detail = match text.is_empty() {
        true => status.canonical_reason().unwrap_or_default().to_owned(),
        false => String::from_utf8_lossy(&text).into_owned(),
    };
    let mut refused = answer(code, detail);
    if let Some(methods) = head.headers.get(header::ALLOW) {
        refused.headers_mut().insert(header::ALLOW, methods.clone());
    }
    refused
}

fn code_of(status: StatusCode, has_body: bool) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::PathUnknown,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::MediaTypeUnsupported,
        StatusCode::UNPROCESSABLE_ENTITY => Code::FieldInvalid,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::Forbidden,
        status if status.is_server_error() => Code::Internal,
        _ if has_body => Code::BodyMalformed,
        _ => Code::ParameterInvalid,
    }
}
