//! What goes wrong, and when: `500b power-cut`, `2s paper-out`, `0s moving`.

use std::str::FromStr;
use std::time::Duration;

/// Steps of one script.
const STEPS_MAX: usize = 1000;

/// When a step happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// When so many bytes were received since the script began.
    Bytes(u64),
    /// When so much time has passed since the script began.
    Time(Duration),
}

/// Why a script was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A step is not "when what".
    #[error("read the script step {step:?}: it must be a number with b, ms or s, and an act")]
    Step {
        /// The step.
        step: String,
    },
    /// The act is not known to this device.
    #[error("read the script step {step:?}: the device has no act of that name")]
    Act {
        /// The step.
        step: String,
    },
    /// It is too long.
    #[error("read a script: it has more than {STEPS_MAX} steps")]
    TooLong,
}

/// Acts and their triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script<A> {
    steps: Vec<(Trigger, A)>,
}

impl<A> Default for Script<A> {
    fn default() -> Self {
        Self { steps: Vec::new() }
    }
}

impl<A: FromStr + Clone> Script<A> {
    /// Reads steps of the form `500b power-cut`.
    pub fn parse<'a>(steps: impl IntoIterator<Item = &'a str>) -> Result<Self, ScriptError> {
        let mut read = Vec::new();
        for step in steps {
            if read.len() == STEPS_MAX {
                return Err(ScriptError::TooLong);
            }
            let text = step.to_owned();
            let refuse = || ScriptError::Step { step: text.clone() };
            let (when, what) = step.trim().split_once(' ').ok_or_else(refuse)?;
            let trigger = trigger(when).ok_or_else(refuse)?;
            let act = what.trim().parse().map_err(|_| ScriptError::Act { step: text.clone() })?;
            read.push((trigger, act));
        }
        Ok(Self { steps: read })
    }

    /// Takes the acts that are due, in the order they were written.
    pub fn take_due(&mut self, bytes: u64, elapsed: Duration) -> Vec<A> {
        let due = |trigger: &Trigger| match trigger {
            Trigger::Bytes(at) => *at <= bytes,
            Trigger::Time(at) => *at <= elapsed,
        };
        let (now, later) = std::mem::take(&mut self.steps).into_iter().partition(|s| due(&s.0));
        self.steps = later;
        let now: Vec<(Trigger, A)> = now;
        now.into_iter().map(|(_, act)| act).collect()
    }

    /// When the next step by time is due.
    #[must_use]
    pub fn next_time(&self) -> Option<Duration> {
        let times = self.steps.iter().filter_map(|(trigger, _)| match trigger {
            Trigger::Time(at) => Some(*at),
            Trigger::Bytes(_) => None,
        });
        times.min()
    }
}

fn trigger(text: &str) -> Option<Trigger> {
    if let Some(bytes) = text.strip_suffix('b') {
        return Some(Trigger::Bytes(bytes.parse().ok()?));
    }
    if let Some(millis) = text.strip_suffix("ms") {
        return Some(Trigger::Time(Duration::from_millis(millis.parse().ok()?)));
    }
    let seconds: u32 = text.strip_suffix('s')?.parse().ok()?;
    Some(Trigger::Time(Duration::from_secs(seconds.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_happen_once_when_they_are_due() {
        let mut script: Script<u8> = Script::parse(["500b 1", "2s 2", "10ms 3"]).unwrap();
        assert_eq!(script.next_time(), Some(Duration::from_millis(10)));
        assert_eq!(script.take_due(499, Duration::from_millis(20)), [3]);
        assert_eq!(script.take_due(500, Duration::from_secs(2)), [1, 2]);
        assert!(script.take_due(u64::MAX, Duration::MAX).is_empty());
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for step in ["", "5", "5x 1", "b 1", "-1s 1"] {
            let error = Script::<u8>::parse([step]).unwrap_err();
            assert!(matches!(error, ScriptError::Step { .. }), "{step}");
        }
        let unknown = Script::<u8>::parse(["1s nonsense"]);
        assert!(matches!(unknown, Err(ScriptError::Act { .. })));
    }
}
