//! `drill`: the line to head office cut on purpose, and what worked without it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use storebox_proto::drill::{End, Report};

use super::client::{CallError, Control};
use super::{CommandError, say};
use crate::args::Drill;

/// Between two looks at the drill that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Who acts, if the machine does not say.
const SOMEBODY: &str = "operator";

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Drill) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    match what {
        Drill::Run { minutes, by } => {
            let body = json!({ "seconds": u32::from(minutes) * 60, "by": name(by) });
            let begun: Report = control.post("/v1/drill", &body).await?;
            say(&format!(
                "The line to head office is cut until {}; `storebox drill end` ends it sooner.",
                begun.until
            ));
            say(&screen(&wait_for(&control, &begun).await?));
        }
        Drill::End { by } => {
            let body = json!({ "by": name(by) });
            let ended: Report = control.post("/v1/drill/end", &body).await?;
            say(&screen(&wait_for(&control, &ended).await?));
        }
        Drill::List { json } => {
            let reports: Vec<Report> = control.get("/v1/drill").await?;
            say(&match json {
                true => serde_json::to_string_pretty(&reports).expect("reports are JSON"),
                false if reports.is_empty() => "There was no drill yet.".to_owned(),
                false => reports.iter().map(screen).collect::<Vec<_>>().join("\n\n"),
            });
        }
    }
    Ok(())
}

pub(super) fn name(by: Option<String>) -> String {
    let user = || std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok();
    by.or_else(user).filter(|by| !by.is_empty()).unwrap_or_else(|| SOMEBODY.to_owned())
}

/// Waits until nothing is added to the report any more; whoever interrupts this ends no drill.
async fn wait_for(control: &Control, drill: &Report) -> Result<Report, CallError> {
    loop {
        let reports: Vec<Report> = control.get("/v1/drill").await?;
        let known = reports.into_iter().find(|report| report.began == drill.began);
        match known {
            Some(report) if report.finished => return Ok(report),
            Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            None => return Ok(drill.clone()),
        }
    }
}

fn screen(report: &Report) -> String {
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    let ended = match (report.end, &report.ended_by, report.ended) {
        (None, ..) => "it is under way".to_owned(),
        (Some(End::Time), _, Some(at)) => format!("it ended by itself at {at}"),
        (Some(End::Person), Some(by), Some(at)) => format!("{by} ended it at {at}"),
        (Some(End::Restart), ..) => "the box stopped or started anew, which ends it".to_owned(),
        (Some(End::Time | End::Person), _, _) => "it has ended".to_owned(),
    };
    let longest = match report.longest_us {
        Some(us) => format!("{} ms at most", us.div_ceil(1000)),
        None => "no till asked for anything".to_owned(),
    };
    let drained = match (report.drained_ms, report.end) {
        (Some(ms), _) => format!("all had arrived {} after the line was back", seconds(ms)),
        (None, None) => "the line is cut".to_owned(),
        (None, Some(_)) => "not all has arrived, or nobody looked until it had".to_owned(),
    };
    [
        format!("drill of {} from {}, {ended}", report.by, report.began),
        format!("  sales accepted      {}", report.accepted),
        format!("  requests failed     {}", report.failed),
        format!("  a till waited       {longest}"),
        format!("  waiting             {} at most", report.waiting),
        format!("  drained             {drained}"),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_worked_and_what_did_not() {
        let text = r#"{"by":"anna","began":"2026-11-22T10:00:00Z","until":"2026-11-22T10:05:00Z",
            "ended":"2026-11-22T10:05:00Z","end":"time","accepted":14,"failed":0,"longestUs":2300,
            "waiting":14,"drainedMs":2140,"finished":true}"#;
        let mut report: Report = serde_json::from_str(text).unwrap();
        let shown = screen(&report);
        for words in ["anna", "by itself", "accepted      14", "3 ms at most", "2.1 s after"] {
            assert!(shown.contains(words), "{words} is not in\n{shown}");
        }
        (report.end, report.ended, report.drained_ms) = (Some(End::Restart), None, None);
        let shown = screen(&report);
        assert!(shown.contains("started anew") && shown.contains("not all has arrived"), "{shown}");
    }
}
