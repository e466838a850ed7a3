//! The one page that shows a person how the box is; it is part of the program and needs no other host.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use utoipa_axum::router::OpenApiRouter;

#[derive(RustEmbed)]
#[folder = "console"]
struct Console;

/// Nothing but what the page itself brings may run or load.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The routes of this file.
pub fn routes() -> OpenApiRouter {
    OpenApiRouter::new().route("/", get(index))
}

async fn index() -> Response {
    let page = Console::get("index.html").expect("the page is embedded when the program is built");
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page.data.into_owned()).into_response()
}
