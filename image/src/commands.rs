//! The commands, one function each: open what is named, call the library, say what happened.

mod approve;
mod build;
mod disk;
mod provision;
mod release;
mod slots;
mod steward;
mod target;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::approval::{CannotSign, NotApproved};
use crate::args::{Cli, Command};
use crate::assemble::AssembleError;
use crate::block::{ListError, Refusal};
use crate::build::BuildError;
use crate::bundle::{ContentError, CreateError, OpenError};
use crate::flash::FlashError;
use crate::layout::LayoutError;
use crate::manifest::{InvalidWord, Refused};
use crate::medium::MediumError;
use crate::provision::Rejected;
use crate::provision::stick::StickError;
use crate::provision::volume::VolumeError;
use crate::signature::InvalidKey;
use crate::slot::grubenv::EnvFileError;
use crate::slot::rauc::{InvalidRequest, RequestError};
use crate::steward as boxed;
use crate::verify::VerifyError;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("print")]
    Print(#[from] io::Error),
    #[error("read layout {path}")]
    Layout {
        path: PathBuf,
        #[source]
        source: LayoutError,
    },
    #[error("build the image")]
    Build(#[from] BuildError),
    #[error("assemble the image")]
    Assemble(#[from] AssembleError),
    #[error("use key {path}")]
    Key {
        path: PathBuf,
        #[source]
        source: InvalidKey,
    },
    #[error("approve: {0}")]
    Approve(#[from] CannotSign),
    #[error("use {path}, which is there: {source}")]
    Approval { path: PathBuf, source: NotApproved },
    #[error("make a key")]
    Random(#[source] io::Error),
    #[error("read map {path}; make it with `assemble`")]
    Map {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("name a file of the release")]
    Name(#[from] InvalidWord),
    #[error("make the release")]
    Create(#[from] CreateError),
    #[error("open release {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: OpenError,
    },
    #[error("check the release")]
    Content(#[from] ContentError),
    #[error("take the release")]
    Refused(#[from] Refused),
    #[error("look at the disks")]
    List(#[from] ListError),
    #[error("use this disk")]
    Refusal(#[from] Refusal),
    #[error("open the disk")]
    Medium(#[from] MediumError),
    #[error("flash")]
    Flash(#[from] FlashError),
    #[error("verify")]
    Verify(#[from] VerifyError),
    #[error("disk and release differ")]
    Differs,
    #[error("provision")]
    Provision(#[from] StickError),
    #[error("provision")]
    Rejected(#[from] Rejected),
    #[error("provision")]
    Volume(#[from] VolumeError),
    #[error("find the provisioning file again that was just written; use another medium")]
    ShopForgotten,
    #[error(transparent)]
    Box(#[from] boxed::Error),
    #[error("use the boot loader's block")]
    Env(#[from] EnvFileError),
    #[error("understand what is asked of the slots")]
    Request(#[from] InvalidRequest),
    #[error("change the slots")]
    Slots(#[from] RequestError),
    #[error("go on without an answer; use --yes where nobody can be asked")]
    NotConfirmed,
    #[error("let {name} go: it is built into this computer")]
    BuiltIn { name: String },
    #[error("{path} is neither a disk nor a plain file")]
    NotADisk { path: PathBuf },
}

impl Failure {
    /// What a script can tell apart: 1 failed, 3 refused, 4 repeat it, 5 differs. 2 is clap's.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) | Self::Refusal(_) | Self::Open { .. } | Self::NotConfirmed => 3,
            Self::BuiltIn { .. }
            | Self::Rejected(_)
            | Self::Slots(_)
            | Self::Box(boxed::Error::Refused(_)) => 3,
            Self::Flash(FlashError::Gone { .. }) | Self::Verify(VerifyError::Unfinished) => 4,
            Self::Differs => 5,
            Self::Io { .. }
            | Self::Print(_)
            | Self::Layout { .. }
            | Self::Build(_)
            | Self::Assemble(_)
            | Self::Key { .. }
            | Self::Random(_)
            | Self::Approve(_)
            | Self::Approval { .. }
            | Self::Map { .. }
            | Self::Name(_)
            | Self::Create(_)
            | Self::Content(_)
            | Self::List(_)
            | Self::Medium(_)
            | Self::Flash(_)
            | Self::Verify(_)
            | Self::Provision(_)
            | Self::Volume(_)
            | Self::ShopForgotten
            | Self::Box(_)
            | Self::Env(_)
            | Self::Request(_)
            | Self::NotADisk { .. } => 1,
        })
    }
}

/// Does what the command line says; what a person or script wants to know goes to `out`.
pub fn run(cli: Cli, out: &mut dyn Write) -> Result<(), Failure> {
    match cli.command {
        Command::Layout(args) => release::layout(&args, out),
        Command::Build(args) => build::run(&args, out),
        Command::Assemble(args) => release::assemble(&args, out),
        Command::Keygen(args) => release::keygen(&args, out),
        Command::Bundle(args) => release::bundle(&args, out),
        Command::Approve(args) => approve::run(&args, out),
        Command::Inspect(args) => release::inspect(&args, out),
        Command::Verify(args) => disk::verify(&args, out),
        Command::List => disk::list(out),
        Command::Flash(args) => disk::flash(&args, out),
        Command::Eject { disk } => disk::eject(&disk, out),
        Command::Provision(command) => provision::run(&command, out),
        Command::Slots(args) => slots::run(&args, out),
        Command::Box(command) => steward::run(&command, out),
    }
}

/// An error of the operating system with what was tried on which path.
fn io_error(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::Io { what, path: path.to_owned(), source }
}

/// A path with something behind its whole name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
