//! The valve in every line that leads out of the shop: a drill shuts it, and all goes on as if the cable were out.
//!
//! Whoever talks to head office, to a further server or to storage beyond the shop does it through here.
//! Neighbours, tills and devices have no valve: they are what a drill is to show at work.
//! What is under way when it shuts is given up, because a cable that is pulled out does not wait either.

use std::future::Future;

use tokio::sync::watch;

/// Open until somebody shuts it; cheap to clone, and all clones are one valve.
#[derive(Debug, Clone)]
pub struct Valve {
    is_shut: watch::Sender<bool>,
}

impl Default for Valve {
    fn default() -> Self {
        Self { is_shut: watch::Sender::new(false) }
    }
}

impl Valve {
    /// Whether nothing passes.
    pub fn is_shut(&self) -> bool {
        *self.is_shut.borrow()
    }

    /// Lets nothing pass any more.
    pub fn shut(&self) {
        self.is_shut.send_replace(true);
    }

    /// Lets everything pass again.
    pub fn open(&self) {
        self.is_shut.send_replace(false);
    }

    /// Does what needs the line; nothing as soon as the valve is shut.
    pub async fn pass<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut is_shut = self.is_shut.subscribe();
        let shut = async {
            // The sender lives as long as this valve.
            let _ = is_shut.wait_for(|is_shut| *is_shut).await;
        };
        tokio::select! {
            biased;
            () = shut => None,
            done = work => Some(done),
        }
    }

    /// Waits until the valve has been shut and is open again.
    pub async fn reopened(&self) {
        let mut is_shut = self.is_shut.subscribe();
        for wanted in [true, false] {
            if is_shut.wait_for(|is_shut| *is_shut == wanted).await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_given_up_when_the_valve_shuts() {
        let valve = Valve::default();
        assert_eq!(valve.pass(async { 1 }).await, Some(1));
        let (waits, shuts) = (valve.pass(std::future::pending::<()>()), async { valve.shut() });
        let (given_up, ()) = tokio::join!(waits, shuts);
        assert_eq!(given_up, None);
        assert_eq!(valve.clone().pass(async { 1 }).await, None);
        valve.open();
        assert_eq!(valve.pass(async { 2 }).await, Some(2));
    }

    #[tokio::test]
    async fn who_waits_for_the_line_hears_that_it_is_back() {
        let valve = Valve::default();
        let cut_and_mend = async {
            valve.shut();
            tokio::task::yield_now().await;
            valve.open();
        };
        tokio::join!(valve.reopened(), cut_and_mend);
        assert!(!valve.is_shut());
    }
}
