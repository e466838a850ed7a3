//! `site …`: head office's cabinet, and the papers of a box.
//!
//! What changes a box's membership takes its data directory, which a running box holds: so somebody has to be there
//! and stop it.

use std::path::Path;

use storebox_proto::trust::strike::{MODEL, RECORD, Struck};
use storebox_proto::trust::{Kind, Member};

use super::client::Control;
use super::{CommandError, say};
use crate::args::{Site, Whom};
use crate::env;
use crate::files;
use crate::node::Premises;
use crate::trust::house::{self, BoxPapers, BoxRequest};
use crate::trust::office::{Office, OfficeError};
use crate::trust::paper::{self, PaperError};

/// Whether this is head office's business, which needs no box.
pub(super) fn is_offline(what: &Site) -> bool {
    match what {
        Site::New { .. }
        | Site::Issue { .. }
        | Site::Revoke { .. }
        | Site::List { .. }
        | Site::Publish { .. } => true,
        Site::Request { .. } | Site::Adopt { .. } | Site::Reset { .. } | Site::Strike { .. } => {
            false
        }
    }
}

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Site) -> Result<(), CommandError> {
    let now = env::believable();
    match what {
        Site::New { office, site } => Office::found(&office, now)?.new_site(&site, now)?,
        Site::Request { name, host } => {
            let request = house::request(data_dir, name.as_str(), host)?;
            say(&serde_json::to_string_pretty(&request).expect("a request is JSON"));
        }
        Site::Issue { office, site, request } => {
            let request: BoxRequest = read(&request, "a request of a box")?;
            let papers = Office::open(&office, now)?.issue(&site, &request, now)?;
            say(&serde_json::to_string_pretty(&papers).expect("papers are JSON"));
        }
        Site::Adopt { papers } => {
            let papers: BoxPapers = read(&papers, "the papers of a box")?;
            let _premises = Premises::enter(data_dir)?;
            house::adopt(data_dir, &papers, now)?;
            say(&format!("this is {} now", papers.member));
        }
        Site::Reset { confirm } => reset(data_dir, confirm.as_str())?,
        Site::Revoke { office, whom } => revoke(&office, &whom)?,
        Site::List { office } => say(&list(&Office::open(&office, now)?)),
        Site::Publish { office, out } => publish(&Office::open(&office, now)?, &out)?,
        Site::Strike { list } => {
            let signed: serde_json::Value = read(&list, "a signed list")?;
            Control::open(data_dir)?.put("/v1/enrolment/strikes", &signed).await?;
        }
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(
    path: &Path,
    wanted: &'static str,
) -> Result<T, CommandError> {
    match paper::read_json(path, wanted)? {
        Some(value) => Ok(value),
        None => {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            Err(CommandError::File { path: path.to_owned(), source })
        }
    }
}

fn reset(data_dir: &Path, confirm: &str) -> Result<(), CommandError> {
    let _premises = Premises::enter(data_dir)?;
    let house = house::House::open(data_dir, true)?;
    if house.is_some_and(|house| house.member.name.as_str() != confirm) {
        return Err(CommandError::Declined("that is not the name of this box"));
    }
    house::reset(data_dir)?;
    say("this box belongs to nobody now");
    Ok(())
}

fn revoke(dir: &Path, whom: &Whom) -> Result<(), CommandError> {
    let now = env::believable();
    let mut office = Office::open(dir, now)?;
    let signed = match (&whom.member, whom.key) {
        (Some(name), _) => {
            let issued = office.issued().iter().find(|issued| issued.member.name == *name);
            let member = issued.map(|issued| issued.member.clone()).ok_or_else(|| {
                let site = "unknown".parse().expect("a literal that keeps the rule for sites");
                OfficeError::Unknown(Member { site, kind: Kind::Box, name: name.clone() })
            })?;
            office.strike_box(&member, now)?
        }
        (None, Some(key)) => {
            office.strike(Struck { key, of: "a single key".to_owned(), at: now })?
        }
        (None, None) => return Ok(()),
    };
    let list = office.struck().len();
    drop(signed);
    say(&format!(
        "{list} keys are struck off; `storebox site publish` sends the list to the boxes"
    ));
    Ok(())
}

fn list(office: &Office) -> String {
    let mut lines: Vec<String> = office
        .issued()
        .iter()
        .map(|one| format!("{:<48}  {}  {}", one.member.to_string(), one.key.short(), one.at))
        .collect();
    let struck = office.struck().iter();
    lines.extend(
        struck.map(|one| format!("struck off {:<37}  {}  {}", one.of, one.key.short(), one.at)),
    );
    lines.join("\n")
}

/// The list as a model of the estate, to be imported.
fn publish(office: &Office, out: &Path) -> Result<(), CommandError> {
    let signed = office.strikes()?;
    let record = serde_json::json!({
        "id": RECORD, "list": signed.list, "signature": signed.signature,
    });
    let path = out.join(format!("{MODEL}.ndjson"));
    let fail = |source| PaperError::File { path: path.clone(), source };
    std::fs::create_dir_all(out).map_err(fail)?;
    files::replace(&path, format!("{record}\n").as_bytes(), files::PUBLIC).map_err(fail)?;
    Ok(())
}
