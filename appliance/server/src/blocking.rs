//! Work that waits for a disk or another program, beside the threads that serve.
//!
//! This is the one way to it: what is done here may take as long as it likes, and must end by itself.
//! It cannot fail in between. A panic ends the process before anybody hears of it, except in tests, where it
//! goes on in whoever waits; and work that never began, since the runtime ends, leaves nobody who waits for it.

use std::future::Future;
use std::panic;

/// Begins at once, and goes on to its end also where nobody waits for it any more.
pub fn beside<T: Send + 'static>(
    act: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    let work = tokio::task::spawn_blocking(act);
    async move {
        match work.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panicked)) => panic::resume_unwind(panicked),
            // The task that waits is dropped with the runtime, as the work was.
            Err(Err(_)) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_begins_before_anybody_waits_for_it() {
        let (begun, told) = tokio::sync::oneshot::channel();
        let work = beside(move || begun.send(()).is_ok());
        told.await.unwrap();
        assert!(work.await);
    }

    #[tokio::test]
    #[should_panic(expected = "a broken invariant")]
    async fn a_panic_goes_on_in_whoever_waits() {
        beside(|| panic!("a broken invariant")).await
    }
}
