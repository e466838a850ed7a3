//! RAUC, which writes slots, asked over the system's bus.
//!
//! Its own policy lets every user of a machine install updates; ours (`recipe/tree/usr/share/dbus-1`) lets root alone
//! ask it anything, so the service of the shop, which faces the network, cannot.
//! It is asked by the program of systemd that speaks to the bus: two calls and three properties are no reason for a
//! library of the bus in a program that runs as root.
//!
//! What was looked at is what is installed, because both are a copy that root alone has ([`super::custody`]): this RAUC
//! cannot be told which manifest it is to find.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Error, run};

const BUS: &str = "busctl";
const NAME: &str = "de.pengutronix.rauc";
const INTERFACE: &str = "de.pengutronix.rauc.Installer";
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// An hour of pauses: whatever the looks themselves take, it is over before systemd ends the update (two hours), so
/// that somebody is there to write down what became of it.
const LOOKS_MAX: u32 = 3600 * 2;
/// So many looks in a row may fail: a bus that is busy is no update that failed.
const MISSES_MAX: u32 = 10;
const IDLE: &str = "idle";

/// How far the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub percent: u8,
    pub words: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Value,
}

/// The engine on one bus.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The bus, as busctl's option.
    bus: String,
}

impl Engine {
    /// On the bus of this machine.
    pub fn of_the_system() -> Self {
        Self { bus: "--system".to_owned() }
    }

    /// On the bus at this address.
    pub fn at(address: &str) -> Self {
        Self { bus: format!("--address={address}") }
    }

    /// Installs a bundle that nobody else can change into the other slot; `tell` hears of each step.
    pub fn install(&self, bundle: &Path, tell: &mut dyn FnMut(&Progress)) -> Result<(), Error> {
        let path = bundle.display().to_string();
        self.call("InstallBundle", &["sa{sv}", &path, "0"])?;
        let (mut last, mut misses) = (None, 0);
        for _ in 0..LOOKS_MAX {
            let operation = match self.look(&mut last, tell) {
                Ok(operation) => operation,
                Err(_) if misses < MISSES_MAX => {
                    misses += 1;
                    thread::sleep(LOOK_EVERY);
                    continue;
                }
                Err(error) => return Err(error),
            };
            misses = 0;
            if operation == IDLE {
                let error = self.text("LastError")?;
                return match error.is_empty() {
                    true => Ok(()),
                    false => Err(Error::Engine(error)),
                };
            }
            thread::sleep(LOOK_EVERY);
        }
        Err(Error::Engine("it does not come to an end".to_owned()))
    }

    /// Whether it writes; it goes on without whoever has asked it to.
    pub fn is_busy(&self) -> bool {
        self.text("Operation").is_ok_and(|operation| operation != IDLE)
    }

    /// What it does, after telling of a step that is new.
    fn look(
        &self,
        last: &mut Option<Progress>,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<String, Error> {
        let progress = self.progress()?;
        if last.as_ref() != Some(&progress) {
            tell(&progress);
            *last = Some(progress);
        }
        self.text("Operation")
    }

    fn call(&self, method: &str, args: &[&str]) -> Result<String, Error> {
        let mut words = vec![&self.bus, "--json=short", "call", NAME, "/", INTERFACE, method];
        words.extend(args);
        run(BUS, &words)
    }

    fn property(&self, name: &str) -> Result<Value, Error> {
        let words = [&self.bus, "--json=short", "get-property", NAME, "/", INTERFACE, name];
        let answer = run(BUS, &words)?;
        let read = serde_json::from_str::<Answer>(&answer);
        read.map(|read| read.data).map_err(|_| Error::Answer { program: BUS, answer })
    }

    fn text(&self, name: &str) -> Result<String, Error> {
        let value = self.property(name)?;
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| Error::Answer { program: BUS, answer: value.to_string() })
    }

    fn progress(&self) -> Result<Progress, Error> {
        let value = self.property("Progress")?;
        let percent = value[0].as_u64().and_then(|percent| u8::try_from(percent).ok());
        let words = value[1].as_str().unwrap_or_default().chars().take(200).collect();
        let progress = percent.map(|percent| Progress { percent, words });
        progress.ok_or_else(|| Error::Answer { program: BUS, answer: value.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_never_ends_is_given_up_long_before_systemd_ends_the_update() {
        let unit = include_str!("../../../systemd/storebox-update.service");
        let hours = unit.lines().find_map(|line| line.strip_prefix("TimeoutStartSec=")).unwrap();
        let hours: u32 = hours.strip_suffix('h').unwrap().parse().unwrap();
        assert!(LOOK_EVERY * LOOKS_MAX * 2 <= Duration::from_secs(3600) * hours);
    }
}
