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
    state: watch::Sender<State>,
}

/// Whether nothing passes, and how often the valve was opened again: who looks late still sees that.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    is_shut: bool,
    reopened: u64,
}

impl Default for Valve {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::default()) }
    }
}

impl Valve {
    /// Whether nothing passes.
    pub fn is_shut(&self) -> bool {
        self.state.borrow().is_shut
    }

    /// Lets nothing pass any more.
    pub fn shut(&self) {
        self.state.send_modify(|state| state.is_shut = true);
    }

    /// Lets everything pass again.
    pub fn open(&self) {
        self.state.send_modify(|state| {
            state.reopened += u64::from(state.is_shut);
            state.is_shut = false;
        });
    }

    /// Does what needs the line; nothing as soon as the valve is shut.
    pub async fn pass<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut state = self.state.subscribe();
        let shut = async {
            // The sender lives as long as this valve.
            let _ = state.wait_for(|state| state.is_shut).await;
        };
        tokio::select! {
            biased;
            () = shut => None,
            done = work => Some(done),
        }
    }

    /// Waits until the valve is opened again, from now on.
    pub async fn reopened(&self) {
        let mut state = self.state.subscribe();
        let before = state.borrow().reopened;
        // The sender lives as long as this valve.
        let _ = state.wait_for(|state| state.reopened != before).await;
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
        // Shut and opened between two looks, and opened without having been shut: that is no return.
        let cut_and_mend = async {
            valve.open();
            valve.shut();
            valve.open();
        };
        let both = futures_util::future::join(valve.reopened(), cut_and_mend);
        tokio::time::timeout(std::time::Duration::from_secs(10), both).await.unwrap();
        assert!(!valve.is_shut());
        let never = tokio::time::timeout(std::time::Duration::from_millis(1), valve.reopened());
        assert!(never.await.is_err(), "it was not opened again since");
    }
}
