//! The one place where a test lets time pass: between two looks at a condition, and until a random moment.

use std::time::Duration;

use anyhow::bail;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

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
    for _ in 0..looks {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("{what}: not within {patience:?}")
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
