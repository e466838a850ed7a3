//! `doctor`: looks at everything a box stands on and says what is wrong, and what to do about it.
//!
//! It works beside a running box and without one: what the box knows of itself is asked for, the rest is looked
//! at from here, with the box's own configuration and token.
//! It changes nothing, prints nothing on a receipt printer, and ends within [`ALL_MAX`] whatever hangs.

mod known;
mod lan;
mod line;
mod machine;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::client::Control;
use super::paint::paint;
use super::{CommandError, say};
use crate::config::{self, Config};
use crate::http::devices::DeviceList;
use crate::logging;
use crate::status::{Finding, Level, Status};
use crate::trust::proxy::Proxy;

/// The whole examination takes no longer.
const ALL_MAX: Duration = Duration::from_secs(30);
/// A running box answers its doctor within this.
const BOX_MAX: Duration = Duration::from_secs(5);

/// What was looked at, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    name: &'static str,
    /// What was found, at least one thing.
    findings: Vec<Finding>,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// The gravest of all findings.
    level: Level,
    /// In the order of looking.
    checks: Vec<Check>,
}

/// Examines and shows; whether nothing bad was found.
pub(super) async fn show(
    config: &Path,
    data_dir: Option<&Path>,
    json: bool,
) -> Result<bool, CommandError> {
    let report = examine(config, data_dir).await;
    match json {
        true => say(&serde_json::to_string_pretty(&report).expect("a report is JSON")),
        false => say(&screen(&report)),
    }
    Ok(report.level < Level::Bad)
}

/// Looks at everything.
pub(super) async fn examine(file: &Path, data_dir: Option<&Path>) -> Report {
    let mut report = Report { level: Level::Good, checks: Vec::new() };
    let config = match config::load(file) {
        Ok(mut config) => {
            report.add(
                "configuration",
                vec![good("configured", format!("{} is in order", file.display()))],
            );
            if let Some(data_dir) = data_dir {
                data_dir.clone_into(&mut config.data_dir);
            }
            config
        }
        Err(error) => {
            let text = format!("The configuration is refused: {}", logging::chain(&error));
            let advice = "Correct the named key, or restore the last file that worked; the box does not start before.";
            report.add("configuration", vec![bad("configuration", text).advise(advice)]);
            let mut config = Config::default();
            if let Some(data_dir) = data_dir {
                data_dir.clone_into(&mut config.data_dir);
            }
            config
        }
    };
    if tokio::time::timeout(ALL_MAX, report.look(&config)).await.is_err() {
        let text = format!("The examination took more than {} s and was ended", ALL_MAX.as_secs());
        let advice = "Look at the last check above; the next one hangs.";
        report.add("time", vec![bad("doctor_timeout", text).advise(advice)]);
    }
    report
}

impl Report {
    async fn look(&mut self, config: &Config) {
        self.add("data directory", machine::data_dir(&config.data_dir));
        self.add("interfaces", lan::interfaces(&config.discovery.interfaces));
        let running = ask(config).await;
        match &running {
            Ok((status, devices)) => self.running(status, devices),
            Err(finding) => self.add("box", vec![finding.clone()]),
        }
        // Of a line over TLS the way is looked at; what was said over it only the running box can tell.
        match Proxy::of(&config.proxy) {
            Some(proxy) => self.add("proxy", line::look_at(&proxy, &config.main).await),
            None if !config.main.url.is_empty() => {
                self.add("line to head office", line::look(&config.main).await);
            }
            None => {}
        }
        let announced = running.is_ok() && config.discovery.announce;
        self.add("multicast", lan::multicast(config, announced).await);
    }

    fn running(&mut self, status: &Status, devices: &DeviceList) {
        self.add("box", status.findings.clone());
        self.add("clock", machine::clock(status));
        self.add("sources", known::sources(&status.sources));
        if let Some(trust) = &status.trust {
            self.add("certificate", known::certificate(trust, status.now));
        }
        let refused = devices.refused.iter().map(|refused| {
            let text = format!("Device {} is not used: {}", refused.id, refused.why);
            let advice = format!("Correct its definition ({}).", refused.from);
            Finding::new(Level::Notice, "device_refused", text).advise(advice)
        });
        let known = |at: &str| devices.devices.iter().any(|device| device.at == at);
        let spare = devices.plugged.iter().filter(|plugged| !known(&plugged.at)).map(|plugged| {
            let text = format!("{} is plugged in and not configured", plugged.name);
            let advice =
                format!("If it should work, define a device with at = \"{}\".", plugged.at);
            good("device_spare", text).advise(advice)
        });
        let mut found: Vec<_> = refused.chain(spare).collect();
        let count = devices.devices.iter().filter(|device| device.link == "open").count();
        found.push(good("devices", format!("{count} of {} devices answer", devices.devices.len())));
        self.add("devices", found);
        let restarted = status.tasks.iter().filter(|task| task.restarts > 0).map(|task| {
            let error = task.last_error.as_deref().unwrap_or("no error was told");
            let text =
                format!("Task {} was started again {} times: {error}", task.name, task.restarts);
            Finding::new(Level::Notice, "task_restarted", text)
                .advise("It works again by itself; if the number grows, send a support bundle.")
        });
        let restarted: Vec<_> = restarted.collect();
        if !restarted.is_empty() {
            self.add("tasks", restarted);
        }
    }

    fn add(&mut self, name: &'static str, findings: Vec<Finding>) {
        let gravest = findings.iter().map(|finding| finding.level).max();
        self.level = self.level.max(gravest.unwrap_or(Level::Good));
        self.checks.push(Check { name, findings });
    }
}

/// What the running box knows of itself.
async fn ask(config: &Config) -> Result<(Status, DeviceList), Finding> {
    let silent = |text: String| {
        bad("box_silent", text).advise(
            "Start it (systemctl start storebox) and read why it stopped (journalctl -u storebox -n 50).",
        )
    };
    let control = match Control::open(&config.data_dir) {
        Ok(control) => control,
        Err(error) => return Err(silent(format!("The box does not run: {error}"))),
    };
    let asked = async {
        let status: Status = control.get("/v1/status").await?;
        // A main server has no devices.
        let none = DeviceList { devices: Vec::new(), refused: Vec::new(), plugged: Vec::new() };
        Ok((status, control.get("/v1/devices").await.unwrap_or(none)))
    };
    match tokio::time::timeout(BOX_MAX, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let error: super::CallError = error;
            Err(silent(format!("The box does not tell its state: {}", logging::chain(&error))))
        }
        Err(_) => Err(silent("The box runs and does not answer".to_owned())),
    }
}

fn good(code: &str, text: impl Into<String>) -> Finding {
    Finding::new(Level::Good, code, text)
}

fn bad(code: &str, text: impl Into<String>) -> Finding {
    Finding::new(Level::Bad, code, text)
}

fn screen(report: &Report) -> String {
    let mut lines = Vec::new();
    for check in &report.checks {
        for (index, finding) in check.findings.iter().enumerate() {
            let name = if index == 0 { check.name } else { "" };
            let mark = match finding.level {
                Level::Good => "ok",
                Level::Notice => "!",
                Level::Bad => "!!",
            };
            let mark = paint(finding.level, &format!("{mark:<2}"));
            lines.push(format!("{name:<20} {mark}  {}.", finding.text));
            lines.extend(finding.advice.as_ref().map(|advice| format!("{:26}{advice}", "")));
        }
    }
    let findings = report.checks.iter().flat_map(|check| &check.findings);
    let wanting = findings.filter(|finding| finding.level > Level::Good).count();
    lines.push(match wanting {
        0 => "Nothing is wrong.".to_owned(),
        1 => "One thing needs a look.".to_owned(),
        many => format!("{many} things need a look."),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_box_the_doctor_says_so_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("storebox.toml");
        std::fs::write(&file, "[discovery]\nannounce = false\n").unwrap();
        let report = examine(&file, Some(dir.path())).await;
        assert_eq!(report.level, Level::Bad);
        let text = screen(&report);
        assert!(text.contains("The box does not run"), "{text}");
        assert!(text.contains("systemctl start storebox"), "{text}");
    }

    #[tokio::test]
    async fn a_configuration_with_a_typing_error_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("storebox.toml");
        std::fs::write(&file, "[discovery]\nanounce = false\n").unwrap();
        let text = screen(&examine(&file, Some(dir.path())).await);
        assert!(text.contains("anounce"), "{text}");
    }
}
