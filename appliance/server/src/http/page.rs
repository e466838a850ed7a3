//! The console, the reference till and the client module (`/client/storebox.js`): files that are part of the program and need no other host.
//!
//! A file is named by its path and by the hash of what is sent of it: a browser asks again each time and is answered 304.
//! No page may run, load or send anything but what this box serves (the policy below), and none may frame one.

use std::borrow::Cow;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;

use super::problem::Refusal;

#[derive(RustEmbed)]
#[folder = "console"]
struct Console;

/// Nothing but what the box itself brings may run or load; pictures of receipts are made of its answers.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
/// The till also talks to the other boxes of its shop.
///
/// Their addresses cannot stand here: a policy is fixed when the page is loaded, which may be kept by a service worker
/// for weeks, and boxes are found, typed and moved while it lives. Which of them the till speaks to is its own list's
/// matter; which pages a box answers is that box's (`gate`), and nothing that could be sent travels by itself.
const TILL_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                           connect-src 'self' http: https:; manifest-src 'self'; worker-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of this file.
pub fn routes() -> OpenApiRouter {
    let console =
        |Path(path): Path<String>, headers: HeaderMap| async move { file(&path, POLICY, &headers) };
    let till = |Path(path): Path<String>, headers: HeaderMap| async move {
        file(&format!("till/{path}"), TILL_POLICY, &headers)
    };
    let client = |Path(path): Path<String>, headers: HeaderMap| async move {
        let mut response = file(&format!("client/{path}"), POLICY, &headers)?;
        // The module holds nothing of this box; pages of other hosts may import it.
        let anybody = HeaderValue::from_static("*");
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
        Ok::<_, Refusal>(response)
    };
    let index = |headers: HeaderMap| async move { file("index.html", POLICY, &headers) };
    let till_index =
        |headers: HeaderMap| async move { file("till/index.html", TILL_POLICY, &headers) };
    OpenApiRouter::new()
        .route("/", get(index))
        .route("/console/{*path}", get(console))
        .route("/client/{*path}", get(client))
        // The service worker looks after what is below the folder.
        .route("/till", get(|| async { Redirect::permanent("/till/") }))
        .route("/till/", get(till_index))
        .route("/till/{*path}", get(till))
}

fn file(path: &str, policy: &'static str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let unknown = || Refusal::new(Code::PathUnknown, "no such page; the console is at /");
    let file = Console::get(path).ok_or_else(unknown)?;
    let body = sent(path, &file.data);
    let etag = match &body {
        Cow::Borrowed(_) => etag(&file.metadata.sha256_hash()),
        Cow::Owned(body) => etag(&Sha256::digest(body)),
    };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == etag);
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type(path))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::ETAG, etag),
    ];
    Ok(match known {
        true => (StatusCode::NOT_MODIFIED, fixed).into_response(),
        false => (fixed, body.into_owned()).into_response(),
    })
}

/// What programs of others load as it is in the source: its comments say what it takes and gives.
const OF_OTHERS: [&str; 1] = ["client/storebox.js"];

/// What is sent of a file: our scripts go without comments on lines of their own, which are for whoever reads the
/// source.
fn sent<'a>(path: &str, data: &'a [u8]) -> Cow<'a, [u8]> {
    if !path.ends_with(".js") || path.starts_with("vendor/") || OF_OTHERS.contains(&path) {
        return Cow::Borrowed(data);
    }
    let mut is_inside = false;
    let is_code = |line: &&[u8]| {
        let line = line.trim_ascii();
        let is_comment = is_inside || line.starts_with(b"//") || line.starts_with(b"/**");
        if is_inside || line.starts_with(b"/**") {
            is_inside = !line.ends_with(b"*/");
        }
        !is_comment
    };
    let lines = data.split_inclusive(|byte| *byte == b'\n');
    Cow::Owned(lines.filter(is_code).flatten().copied().collect())
}

fn etag(hash: &[u8]) -> HeaderValue {
    let name = hex::encode(&hash[..12]);
    HeaderValue::from_str(&format!("\"{name}\"")).expect("hexadecimal digits in quotes")
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        "json" => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole of what a phone loads, console and till together.
    const WEIGHT_MAX: usize = 200_000;

    #[test]
    fn the_whole_console_weighs_no_more_than_200_kilobytes() {
        let mut weight = 0;
        for path in Console::iter().filter(|path| !OF_OTHERS.contains(&path.as_ref())) {
            let file = Console::get(&path).unwrap();
            let text = String::from_utf8_lossy(&file.data).into_owned();
            for other in OF_OTHERS.map(|other| other.trim_start_matches("client/")) {
                assert!(!text.contains(&format!("/{other}\"")), "{path} loads {other}");
            }
            weight += if path.ends_with(".LICENSE") { 0 } else { sent(&path, &file.data).len() };
        }
        assert!(weight <= WEIGHT_MAX, "{weight} bytes");
    }

    /// Which lines of a script are nothing but comments, read from the beginning: a second opinion to that of `sent`.
    fn comments(path: &str, text: &str) -> Vec<bool> {
        let (mut is_block, mut is_text) = (false, false);
        let lines = text.lines().map(|line| {
            let line = line.trim();
            let is_comment =
                !is_text && (is_block || line.starts_with("/*") || line.starts_with("//"));
            if is_comment && (is_block || line.starts_with("/*")) {
                let end = line.find("*/");
                assert!(end.is_none_or(|end| end + 2 == line.len()), "{path}: code behind {line}");
                is_block = end.is_none();
            }
            if !is_comment {
                is_text ^= line.replace("\\`", "").matches('`').count() % 2 == 1;
            }
            is_comment
        });
        lines.collect()
    }

    #[test]
    fn nothing_but_comments_is_left_out_of_a_script() {
        let mut left_out = 0;
        for path in Console::iter().filter(|path| path.ends_with(".js")) {
            let source = Console::get(&path).unwrap().data;
            let text = String::from_utf8(source.to_vec()).unwrap();
            let body = String::from_utf8(sent(&path, &source).into_owned()).unwrap();
            if path.starts_with("vendor/") || OF_OTHERS.contains(&path.as_ref()) {
                assert_eq!(body, text, "{path}");
                continue;
            }
            let mut shown = body.lines().peekable();
            for (line, is_comment) in text.lines().zip(comments(&path, &text)) {
                match shown.next_if_eq(&line) {
                    Some(_) => {}
                    None => {
                        assert!(is_comment, "{path} is without {line}");
                        left_out += 1;
                    }
                }
            }
            assert_eq!(shown.next(), None, "{path}");
        }
        assert!(left_out > 100, "{left_out}");
        let tricky = b"a = 2\n  * 3;\n/** one\n * two\n */\n/** three */\nb();\n";
        let tricky = [&tricky[..], b"c(`\n* 4`);\n"].concat();
        assert_eq!(
            String::from_utf8_lossy(&sent("views/x.js", &tricky)),
            "a = 2\n  * 3;\nb();\nc(`\n* 4`);\n"
        );
    }

    #[test]
    fn what_is_sent_is_what_its_name_says_and_integrators_get_their_types() {
        let get = |path: &str| {
            file(path, POLICY, &HeaderMap::new()).unwrap().headers()[header::ETAG].clone()
        };
        for path in ["app.js", "client/storebox.js", "index.html"] {
            let source = Console::get(path).unwrap().data;
            let hash = Sha256::digest(sent(path, &source));
            assert_eq!(get(path), etag(&hash), "{path}");
        }
        let source = Console::get("client/storebox.js").unwrap().data;
        assert!(String::from_utf8_lossy(&sent("client/storebox.js", &source)).contains("@typedef"));
    }

    #[test]
    fn head_office_may_choose_among_all_that_a_box_shows() {
        let views = Console::get("views/boxes.js").unwrap().data;
        let views = String::from_utf8_lossy(&views);
        for sight in storebox_proto::visit::SIGHTS {
            assert!(views.contains(&format!("\"{sight}\"")), "{sight}");
        }
    }

    #[test]
    fn no_page_names_another_host_or_carries_a_script_or_a_style_of_its_own() {
        for path in Console::iter() {
            let file = Console::get(&path).unwrap();
            let text = String::from_utf8(file.data.into_owned()).unwrap();
            if path.ends_with(".html") {
                assert!(!text.contains("<style") && !text.contains(" style="), "{path}");
                let scripts = text.matches("<script").count();
                assert_eq!(
                    text.matches("<script src=").count()
                        + text.matches("<script type=\"module\" src=").count(),
                    scripts,
                    "{path}"
                );
                assert!(!text.contains("src=\"http") && !text.contains("href=\"http"), "{path}");
            }
            if path.ends_with(".js") && !path.starts_with("vendor/") {
                let elsewhere = text.contains("from \"http") || text.contains("import(\"http");
                assert!(
                    !elsewhere && !text.contains("innerHTML") && !text.contains("eval("),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn every_library_brings_its_licence() {
        let vendored: Vec<_> = Console::iter().filter(|path| path.starts_with("vendor/")).collect();
        let libraries = vendored.iter().filter(|path| path.ends_with(".js"));
        for library in libraries {
            let name = library.trim_start_matches("vendor/").split('.').next().unwrap();
            let licence = format!("vendor/{name}.LICENSE");
            assert!(vendored.iter().any(|path| *path == licence), "{licence} is missing");
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = file("index.html", POLICY, &HeaderMap::new()).unwrap();
        let mut known = HeaderMap::new();
        known.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let again = file("index.html", POLICY, &known).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(file("../Cargo.toml", POLICY, &known).is_err());
    }
}
