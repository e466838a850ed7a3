//! `backup`, `restore` and `reset`: what a box keeps, as a whole, at a box that does not run.
//!
//! All three need the data directory for themselves, so whoever does it has stopped the box and stands before it, or
//! has the run of its machine.
//! A backup holds the box's keys: it is written for its owner's eyes alone, and is as secret as the box itself.
//! What a box fetches again by itself is left out.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::{CommandError, say};
use crate::args::Keep;
use crate::config::{Config, Role};
use crate::node::Premises;
use crate::{files, key, role};

/// What a shop's box fetches from head office, by its name in the data directory.
const FETCHED: [&str; 2] = ["feeds", "segments"];
/// What belongs to a process that runs.
const PASSING: [&str; 5] = ["lock", "control.sock", "http.addr", "https.addr", "reserve"];

/// Does one of them.
pub(super) async fn run(config: &Config, what: &Keep) -> Result<(), CommandError> {
    match what {
        Keep::Backup { out } => backup(config, out),
        Keep::Restore { from } => restore(config, from),
        Keep::Reset { confirm, lose } => reset(config, confirm, *lose).await,
    }
}

/// Writes everything that this box alone has into one file.
fn backup(config: &Config, out: &Path) -> Result<(), CommandError> {
    let _premises = Premises::enter(&config.data_dir)?;
    let fail = |source| CommandError::File { path: out.to_owned(), source };
    let file = File::options().write(true).create_new(true).mode(files::PRIVATE).open(out);
    let mut archive = tar::Builder::new(GzEncoder::new(file.map_err(fail)?, Compression::fast()));
    archive.follow_symlinks(false);
    let mut count = 0;
    for name in names(&config.data_dir)? {
        if PASSING.contains(&name.as_str()) || is_fetched(config, &name) {
            continue;
        }
        let path = config.data_dir.join(&name);
        let added = match path.is_dir() {
            true => archive.append_dir_all(&name, &path),
            false => archive.append_path_with_name(&path, &name),
        };
        added.map_err(|source| CommandError::File { path, source })?;
        count += 1;
    }
    let finish = || archive.into_inner()?.finish()?.sync_all();
    finish().map_err(fail)?;
    say(&format!(
        "{} holds {count} parts of {}, its keys too: keep it as safe as the box",
        out.display(),
        config.node
    ));
    Ok(())
}

fn is_fetched(config: &Config, name: &str) -> bool {
    config.role == Role::Store && FETCHED.contains(&name)
}

/// Puts a backup into a data directory that is empty.
fn restore(config: &Config, from: &Path) -> Result<(), CommandError> {
    let _premises = Premises::enter(&config.data_dir)?;
    let here = names(&config.data_dir)?;
    if here.iter().any(|name| !PASSING.contains(&name.as_str())) {
        return Err(CommandError::Declined(
            "the data directory is not empty: `storebox reset` empties it",
        ));
    }
    let fail = |source| CommandError::File { path: from.to_owned(), source };
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(from).map_err(fail)?));
    archive.set_preserve_permissions(true);
    // Entries that lead out of the folder are refused by the archive itself.
    archive.unpack(&config.data_dir).map_err(fail)?;
    sync(&config.data_dir)?;
    say("the box is as it was when the backup was made; it fetches masterdata by itself");
    Ok(())
}

/// Forgets everything; refuses while sales wait, unless exactly as many are given up.
async fn reset(config: &Config, confirm: &str, lose: Option<u64>) -> Result<(), CommandError> {
    let _premises = Premises::enter(&config.data_dir)?;
    if confirm != config.node.as_str() {
        return Err(CommandError::Declined("that is not the name of this box"));
    }
    if config.role == Role::Main && config.data_dir.join("ledger").exists() {
        return Err(CommandError::Declined(
            "this is head office, whose ledger nobody else has: remove it by hand if it must be",
        ));
    }
    let waiting = match config.data_dir.join("outbox").exists() {
        true => role::held_by(config, &key::open(&config.data_dir)?).await?,
        false => 0,
    };
    if waiting > 0 && lose != Some(waiting) {
        say(&format!("{waiting} sales have not reached head office"));
        return Err(CommandError::Declined(
            "bring the line back and wait, or say with --lose how many sales you give up",
        ));
    }
    for name in names(&config.data_dir)? {
        if name == "lock" {
            continue;
        }
        let path = config.data_dir.join(&name);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|source| CommandError::File { path, source })?;
    }
    sync(&config.data_dir)?;
    say("this box knows nothing any more; revoke its name at head office");
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<String>, CommandError> {
    let fail = |source: io::Error| CommandError::File { path: PathBuf::from(dir), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn sync(dir: &Path) -> Result<(), CommandError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| CommandError::File { path: dir.to_owned(), source })
}
