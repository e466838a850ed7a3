//! Streams end when whoever listens is let in no more: a token or till that was revoked, a login that ran out.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header, request};
use futures_util::StreamExt;
use tokio::sync::watch;

use super::auth::{self, Ask, Caller};
use super::server::Peer;
use super::shown::Shown;
use crate::env;
use crate::login::Logins;
use crate::terminal::access::Access;

/// What is not said by a change of the list (a login that runs out, a key that was struck off) is seen this often.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How a listener stands with the box.
pub(super) struct Standing {
    /// Changes whenever somebody was let in or revoked.
    changes: watch::Receiver<u64>,
    is_let_in: Box<dyn Fn() -> bool + Send>,
}

impl Standing {
    /// That of whoever has sent this request; strangers have none.
    pub(super) fn of(
        access: &Access,
        logins: &Logins,
        (head, peer, shown): (&request::Parts, Peer, Option<&Shown>),
        caller: &Caller,
    ) -> Option<Self> {
        let identity = caller.identity.clone()?;
        let changes = access.changes();
        let (access, logins, shown) = (access.clone(), logins.clone(), shown.cloned());
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let token = head.headers.get(header::AUTHORIZATION).cloned();
        let headers = HeaderMap::from_iter(token.map(|token| (header::AUTHORIZATION, token)));
        let is_let_in = move || {
            let (path, shown, now) = (path.as_str(), shown.as_ref(), env::timestamp());
            let (method, headers) = (&method, &headers);
            let ask = Ask { method, path, headers, claim: None, peer, shown, now };
            let caller = auth::admit(&access, &logins, &ask);
            caller.is_ok_and(|caller| caller.identity.as_ref() == Some(&identity))
        };
        Some(Self { changes, is_let_in: Box::new(is_let_in) })
    }
}

/// The response, whose stream ends with the standing of whoever asked for it.
pub(super) fn until(response: Response<Body>, standing: Option<Standing>) -> Response<Body> {
    let is_stream = response.headers().get(header::CONTENT_TYPE).is_some_and(is_events);
    let Some(Standing { mut changes, is_let_in }) = standing.filter(|_| is_stream) else {
        return response;
    };
    let ends = async move {
        while is_let_in() {
            // Without anybody who changes the list the box is stopping, and the stream ends as well.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, changes.changed()).await {
                return;
            }
        }
    };
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(ends))))
}

fn is_events(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_when_its_listener_is_let_in_no_more() {
        let (change, changes) = watch::channel(0);
        let may = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&may);
        let is_let_in = Box::new(move || asked.load(Ordering::Relaxed));
        let endless = futures_util::stream::once(async { Ok::<_, std::io::Error>("event\n") })
            .chain(futures_util::stream::pending());
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")
            .body(Body::from_stream(endless))
            .unwrap();
        let mut heard =
            until(response, Some(Standing { changes, is_let_in })).into_body().into_data_stream();
        assert_eq!(heard.next().await.unwrap().unwrap(), "event\n");
        change.send_replace(1);
        tokio::task::yield_now().await;
        may.store(false, Ordering::Relaxed);
        change.send_replace(2);
        assert!(heard.next().await.is_none(), "the list has changed, and with it the answer");
    }

    #[tokio::test]
    async fn what_is_no_stream_stays_as_it_is() {
        let (_, changes) = watch::channel(0);
        let standing = Standing { changes, is_let_in: Box::new(|| false) };
        let response = Response::new(Body::from("whole"));
        let body = until(response, Some(standing)).into_body();
        assert_eq!(axum::body::to_bytes(body, 99).await.unwrap(), "whole");
    }
}
