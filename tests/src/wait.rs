//! The one place where a test lets time pass: between two looks at a condition, and until a random moment.

use std::time::Duration;

use anyhow::{Context, bail};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Looks that take long themselves, as on a busy machine, have so many times the patience; no look lasts for ever.
const BUSY: u32 = 3;

/// Looks until the condition holds; fails with `what` after `patience`.
pub async fn until<F>(
    what: &str,
    patience: Duration,
    mut holds: impl FnMut() -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let looks = patience.as_millis() / LOOK_EVERY.as_millis();
    let looking = async {
        for _ in 0..looks {
            if holds().await? {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("{what}: not within {patience:?}")
    };
    within(what, patience * BUSY, looking).await
}

/// What comes of this, or a failure with `what` if nothing has until then.
pub async fn within<T>(
    what: &str,
    patience: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let done = tokio::time::timeout(patience, work).await;
    done.with_context(|| format!("{what}: no end within {patience:?}"))?
}

/// The same without a runtime: says whether the condition held in time.
pub fn held_within(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let looks = patience.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        if holds() {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    holds()
}

/// Lets a random moment come, at which something is done to a running process.
pub async fn moment(after: Duration) {
    tokio::time::sleep(after).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_never_ends_is_given_up() {
        let patience = LOOK_EVERY * 2;
        let given_up = until("an answer", patience, std::future::pending).await;
        let said = given_up.expect_err("nothing answered").to_string();
        assert!(said.starts_with("an answer: no end"), "{said}");
    }
}
