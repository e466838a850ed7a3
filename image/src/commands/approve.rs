//! A person's word that a bundle may be installed.

use std::fs;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Failure, io_error};
use crate::approval::{Approval, NotApproved};
use crate::args::ApproveArgs;
use crate::signature::ReleaseKey;

const DAY_S: u64 = 86_400;

pub(super) fn run(args: &ApproveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let key = fs::read_to_string(&args.key).map_err(io_error("read", &args.key))?;
    let key: ReleaseKey =
        key.parse().map_err(|source| Failure::Key { path: args.key.clone(), source })?;
    let wanted = Approval {
        board: args.board.clone(),
        version: args.version,
        manifest: args.manifest.to_lowercase(),
        expires: now().saturating_add(args.days.saturating_mul(DAY_S)),
        signatures: Vec::new(),
    };
    let mut approval = match fs::read(&args.out) {
        Ok(bytes) => continue_from(&bytes, wanted)
            .map_err(|source| Failure::Approval { path: args.out.clone(), source })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => wanted,
        Err(error) => return Err(io_error("read", &args.out)(error)),
    };
    approval.sign(&key)?;
    let text = serde_json::to_vec_pretty(&approval).expect("names and numbers are JSON");
    fs::write(&args.out, text).map_err(io_error("write", &args.out))?;
    let (count, id) = (approval.signatures.len(), key.public().id());
    writeln!(out, "{}: signed with key {id}, {count} in all", args.out.display())?;
    Ok(())
}

/// What others have signed stays as it is, its last day included.
fn continue_from(bytes: &[u8], wanted: Approval) -> Result<Approval, NotApproved> {
    let before = Approval::parse(bytes)?;
    let is_same = (&before.board, before.version, &before.manifest)
        == (&wanted.board, wanted.version, &wanted.manifest);
    match is_same {
        true => Ok(before),
        false => {
            let what = format!("another {} bundle of {}", before.board, before.version);
            Err(NotApproved::Other { what })
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the day on which a person signs")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
