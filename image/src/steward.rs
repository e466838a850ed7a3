//! What a box does about itself: the one part of it that runs as root.
//!
//! The service of the shop runs as a user that can change nothing but its own data. What needs more
//! is here, in a program of its own that talks to no network: taking the shop's file in, telling
//! people where the box is, saying that a release is good, installing the next one. systemd starts
//! each of these when it is due, and each ends by itself.
//!
//! No step may leave a box that waits for a keyboard, and none may leave a half of anything: what is
//! written is complete before its name points to it, and what is done twice does no harm.

pub mod announce;
pub mod confirm;
pub mod disk;
pub mod engine;
pub mod history;
pub mod papers;
pub mod settings;
pub mod slots;
pub mod start;
pub mod update;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::provision::stick::StickError;
use crate::slot::grubenv::{Env, EnvFile, EnvFileError, EnvRefused};
use crate::slot::rauc::InvalidRequest;

/// Where things are on a box; tests lay them out in a folder of their own.
#[derive(Debug, Clone)]
pub struct Places {
    root: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("take in the shop's file")]
    Stick(#[from] StickError),
    #[error("use the boot loader's block")]
    Env(#[from] EnvFileError),
    #[error("write into the boot loader's block")]
    EnvRefused(#[from] EnvRefused),
    #[error("tell which slot runs")]
    Slot(#[from] InvalidRequest),
    #[error("{program}: {status}\n{said}")]
    Failed { program: String, status: ExitStatus, said: String },
    #[error("read what {program} answered: {answer:?}")]
    Answer { program: &'static str, answer: String },
    #[error("install: {0}")]
    Engine(String),
    #[error("update: {0}")]
    Refused(#[from] update::Refusal),
    #[error("open the data partition: {0}")]
    Disk(#[from] disk::Refusal),
}

impl Places {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The volume that a technician writes the shop's file to.
    fn config_volume(&self) -> PathBuf {
        self.at("dev/disk/by-partlabel/SBXCONFIG")
    }

    /// What the box keeps about itself; no update and no refresh touches it.
    fn state(&self) -> PathBuf {
        self.at("var/lib/storebox-box")
    }

    /// Where updates are put to be installed: `storebox` may write here, root reads.
    fn updates(&self) -> PathBuf {
        self.at("var/lib/storebox-updates")
    }

    /// What is true until the next start only.
    fn run(&self) -> PathBuf {
        self.at("run/storebox-box")
    }

    /// Set once this start has proved itself.
    fn confirmed(&self) -> PathBuf {
        self.run().join("confirmed")
    }

    /// Set while a person has to correct the shop's file: no restart would help.
    fn waiting(&self) -> PathBuf {
        self.run().join("waiting")
    }

    /// Whose word counts about releases; a file of the system, not of the shop.
    fn approvers(&self) -> PathBuf {
        self.at("usr/lib/storebox/approvers.toml")
    }

    fn env(&self) -> EnvFile {
        EnvFile::new(self.at("efi/grub/grubenv"))
    }

    /// The version of the running release.
    fn version(&self) -> Result<String, Error> {
        Ok(self.system("IMAGE_VERSION=")?.unwrap_or_else(|| "unknown".to_owned()))
    }

    /// What the system says of itself.
    fn system(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.at("usr/lib/os-release");
        let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.map(|value| value.trim_matches('"').to_owned()))
    }

    fn cmdline(&self) -> Result<String, Error> {
        let path = self.at("proc/cmdline");
        fs::read_to_string(&path).map_err(io_error("read", &path))
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what, path: path.to_owned(), source }
}

/// The block's variables; a torn block counts as an empty one and is made whole by the next change.
fn load_env(file: &EnvFile) -> Result<Env, Error> {
    match file.load() {
        Err(EnvFileError::Invalid { .. }) => Ok(Env::default()),
        other => Ok(other?),
    }
}

/// A file that is there as a whole or not at all, also after a power cut.
fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(io_error("create", &new))?;
    file.write_all(content).map_err(io_error("write", &new))?;
    file.sync_all().map_err(io_error("flush", &new))?;
    fs::rename(&new, path).map_err(io_error("replace", path))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    let opened = File::open(folder).and_then(|folder| folder.sync_all());
    opened.map_err(io_error("flush", folder))
}

fn touch(path: &Path) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    let touched = OpenOptions::new().create(true).append(true).open(path);
    touched.map(|_| ()).map_err(io_error("create", path))
}

/// Runs a program of the box to its end and returns what it printed.
fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Result<String, Error> {
    finish(program, Command::new(program).args(args))
}

/// The same for a program that takes a secret from its environment, which root alone can read.
fn run_with<S: AsRef<OsStr>>(
    program: &str,
    args: &[S],
    (name, secret): (&str, &str),
) -> Result<String, Error> {
    finish(program, Command::new(program).args(args).env(name, secret))
}

fn finish(program: &str, command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(io_error("start", Path::new(program)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).trim().chars().take(2000).collect();
    Err(Error::Failed { program: program.to_owned(), status: output.status, said })
}
