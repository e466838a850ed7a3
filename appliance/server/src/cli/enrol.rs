//! `enrol …`: the door of the running box, and the newcomer's side for tills of our own.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storebox_proto::ids::DeviceId;
use storebox_proto::trust::porter::Shown;
use storebox_proto::trust::{MemberName, Slip};

use super::client::Control;
use super::{CommandError, say};
use crate::args::{Enrol, Join, Opening};
use crate::env;
use crate::http::enrolment::Opened;
use crate::trust::audit::Line;
use crate::trust::join::{JoinError, Membership, Newcomer};
use crate::trust::paper;

/// Seconds in which the printer should have printed.
const PRINT_WAIT_S: u32 = 10;

/// One line of a technician's file.
#[derive(Debug, Serialize, Deserialize)]
struct Provision {
    name: MemberName,
    slip: String,
}

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Enrol) -> Result<(), CommandError> {
    if let Enrol::Join(join) = what {
        return self::join(join).await;
    }
    if let Enrol::Renew { dir, address } = what {
        return renew(&dir, address).await;
    }
    let control = Control::open(data_dir)?;
    match what {
        Enrol::Slip { opening, print } => {
            let slip = open(&control, "slips", &opening).await?;
            match print {
                Some(printer) => print_slip(&control, &printer, &slip, opening.minutes).await?,
                None => say(&slip.secret),
            }
        }
        Enrol::Code { opening } => {
            let opened = open(&control, "code", &opening).await?;
            say(&format!("{}   until {}", opened.secret, opened.until));
        }
        Enrol::Provision { names, hours, by, out } => {
            provision(&control, names, hours, &by, &out).await?;
        }
        Enrol::Close { by } => {
            let _: Value = control.post("/v1/enrolment/close", &json!({ "by": by })).await?;
        }
        Enrol::List => say(&table(&control.get::<Vec<Shown>>("/v1/enrolment/requests").await?)),
        Enrol::Approve { id, by, replace } => {
            let answer = json!({"by": by, "replace": replace});
            control.tell(&format!("/v1/enrolment/requests/{id}/approve"), &answer).await?;
        }
        Enrol::Deny { id, by } => {
            let path = format!("/v1/enrolment/requests/{id}/deny");
            control.tell(&path, &json!({ "by": by })).await?;
        }
        Enrol::Audit => say(&history(&control.get::<Vec<Line>>("/v1/enrolment/audit").await?)),
        Enrol::Join(_) | Enrol::Renew { .. } => {}
    }
    Ok(())
}

async fn open(control: &Control, what: &str, opening: &Opening) -> Result<Opened, CommandError> {
    let Opening { name, kind, replace, minutes, by } = opening;
    let mut body = json!({"kind": kind, "replace": replace, "minutes": minutes, "by": by});
    if let Some(name) = name {
        body["name"] = json!(name);
    }
    Ok(control.post(&format!("/v1/enrolment/{what}"), &body).await?)
}

async fn print_slip(
    control: &Control,
    printer: &DeviceId,
    slip: &Opened,
    minutes: u64,
) -> Result<(), CommandError> {
    let text = format!(
        "^^^Storebox\n^Scan this with the till\n---\n{{code:{}; option:qrcode,4,m}}\n---\n\
         one till, until|{}\n=\n",
        // A colon is part of the slip; a semicolon or brace never is.
        slip.secret,
        slip.until
    );
    let key = format!("enrol.{}", hex::encode(env::random::<8>()));
    let job = json!({
        "key": key,
        "class": "report",
        "receiptline": text,
        // A slip that nobody could use any more need not come off a printer that was away.
        "expiresInS": minutes * 60,
        "secret": true,
    });
    let path = format!("/v1/printers/{printer}/jobs?wait_s={PRINT_WAIT_S}");
    let _: Value = control.post(&path, &job).await?;
    Ok(())
}

async fn provision(
    control: &Control,
    names: Vec<MemberName>,
    hours: u64,
    by: &str,
    out: &Path,
) -> Result<(), CommandError> {
    let mut all = Vec::new();
    for name in names {
        let body = json!({"name": name, "minutes": hours * 60, "by": by});
        let opened: Opened = control.post("/v1/enrolment/slips", &body).await?;
        all.push(Provision { name, slip: opened.secret });
    }
    Ok(paper::write_json(out, &all)?)
}

async fn join(join: Join) -> Result<(), CommandError> {
    let Join { dir, name, kind, address, way } = join;
    let newcomer = Newcomer::new(&dir, kind, name.clone())?;
    let first = || address.first().copied().ok_or(JoinError::NoAddress);
    let membership = if let Some(file) = &way.file {
        let all: Option<Vec<Provision>> = paper::read_json(file, "a technician's file")?;
        let mine = all.into_iter().flatten().find(|one| one.name == name);
        let mine = mine.ok_or(CommandError::Declined("the file has no slip for this name"))?;
        newcomer.by_slip(&mine.slip.parse::<Slip>()?, &address).await?
    } else if let Some(slip) = way.slip {
        newcomer.by_slip(&typed(slip)?.parse::<Slip>()?, &address).await?
    } else if let Some(code) = way.code {
        newcomer.by_code(&typed(code)?, first()?).await?
    } else {
        let (number, asked) = newcomer.by_request(first()?).await?;
        say(&format!("{number}   does the box show the same number? [yes/no]"));
        if typed("-".to_owned())? != "yes" {
            return Err(CommandError::Declined("the numbers are not the same: nothing was done"));
        }
        newcomer.once_approved(asked).await?
    };
    say(&format!("this is {name} of site {} now", membership.grant().site));
    Ok(())
}

async fn renew(dir: &Path, address: SocketAddr) -> Result<(), CommandError> {
    let renewed = Membership::renew(dir, address).await?;
    let grant = renewed.grant();
    say(&format!("{} of site {} is renewed", grant.name, grant.site));
    Ok(())
}

/// What stands on the command line, or for `-` one line of standard input, where no list of processes shows it.
fn typed(text: String) -> Result<String, CommandError> {
    if text != "-" {
        return Ok(text);
    }
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|source| CommandError::File { path: "standard input".into(), source })?;
    Ok(line.trim().to_owned())
}

fn table(requests: &[Shown]) -> String {
    let line = |request: &Shown| {
        let Shown { id, number, kind, name, address, asked, answered, .. } = request;
        let answered = if *answered { "answered" } else { "" };
        format!("{:>4}  {number}  {} {name:<32} {address}  {asked} {answered}", id.0, kind.as_str())
    };
    match requests.is_empty() {
        true => "nobody waits".to_owned(),
        false => requests.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

fn history(lines: &[Line]) -> String {
    let shown = lines.iter().map(|line| {
        let Line { at, act, way, member, key, by, address, why } = line;
        let parts = [at, act, way, member, key, by, address, why];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join("  ")
    });
    shown.collect::<Vec<_>>().join("\n")
}
