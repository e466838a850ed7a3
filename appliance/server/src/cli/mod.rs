//! The commands: what `storebox` does when a person or systemd calls it.
//!
//! Commands about a running box talk to its control socket; the few that also make sense without one say so.

mod bundle;
mod channel;
mod client;
mod clients;
mod device;
mod discover;
mod doctor;
mod drill;
mod enrol;
mod keep;
mod levels;
mod login;
mod manual;
mod masterdata;
mod outbox;
mod paint;
mod reference;
mod release;
mod seal;
mod settings;
mod site;
mod status;
mod visit;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::args::{Args, Command, Enrol};
use crate::config::{self, Config, ConfigError, Origin};
use crate::discovery::DaemonError;
use crate::node::{Ending, NodeError};
use crate::notify::Notifier;
use crate::terminal::access::{AccessError, Kind};
use crate::trust::house::HouseError;
use crate::trust::join::JoinError;
use crate::trust::office::OfficeError;
use crate::trust::paper::PaperError;
use crate::{bench, demo, key, logging, node, role, selftest};

use client::CallError;
use storebox_proto::beacon::InvalidPointer;
use storebox_proto::trust::slip::InvalidSlip;
use tokio::runtime::Runtime;

pub use levels::Setting;

/// sysexits(3): the configuration is wrong; systemd need not try again.
const EXIT_CONFIG: u8 = 78;
/// sysexits(3): something broke on our side.
const EXIT_SOFTWARE: u8 = 70;

/// A stopped box has nothing under way that takes longer.
const LEFT_MAX: Duration = Duration::from_secs(1);

/// Why a command does not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Log lines have nowhere to go.
    #[error(transparent)]
    Logging(#[from] logging::LoggingError),
    /// The runtime cannot start.
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
    /// The box does not run (any more).
    #[error(transparent)]
    Node(#[from] node::NodeError),
    /// The box stopped in order to begin again, and the program cannot be started.
    #[error("begin again")]
    Again(#[source] std::io::Error),
    /// The running box refuses or does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The outbox of a box that does not run cannot be read.
    #[error(transparent)]
    Role(#[from] role::RoleError),
    /// The list of clients cannot be changed.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The data directory cannot be taken.
    #[error(transparent)]
    Premises(#[from] node::PremisesError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] key::KeyError),
    /// Head office does not do it.
    #[error(transparent)]
    Office(#[from] OfficeError),
    /// The box's papers are not good.
    #[error(transparent)]
    House(#[from] HouseError),
    /// A file of keys or papers cannot be used.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// This machine is no member.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// What was scanned or typed is no slip.
    #[error(transparent)]
    Slip(#[from] InvalidSlip),
    /// What a person was asked was not answered with yes.
    #[error("{0}")]
    Declined(&'static str),
    /// The LAN cannot be searched.
    #[error(transparent)]
    Discover(#[from] DaemonError),
    /// A place that was named leads nowhere.
    #[error(transparent)]
    Place(#[from] InvalidPointer),
    /// The demo stopped early.
    #[error(transparent)]
    Demo(#[from] demo::Error),
    /// The sale path is not good.
    #[error("pass the self-test")]
    Selftest(#[from] selftest::Error),
    /// A measurement could not be made.
    #[error(transparent)]
    Bench(#[from] bench::Error),
    /// A file that was named cannot be read.
    #[error("read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A script does not do what it should on a sample.
    #[error("the script {0}")]
    Script(#[from] crate::channel::script::ScriptFault),
    /// A file that was named does not hold a JSON object.
    #[error("{path} does not hold a JSON object")]
    Payload {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Runs the command and tells how it went.
pub fn main(args: Args) -> ExitCode {
    match dispatch(args) {
        Ok(code) => code,
        Err(error) => {
            complain(&logging::chain(&error));
            match error {
                CommandError::Config(_) => ExitCode::from(EXIT_CONFIG),
                CommandError::Logging(_)
                | CommandError::Runtime(_)
                | CommandError::Node(_)
                | CommandError::Again(_)
                | CommandError::Key(_) => ExitCode::from(EXIT_SOFTWARE),
                CommandError::Call(_)
                | CommandError::Role(_)
                | CommandError::Access(_)
                | CommandError::Premises(_)
                | CommandError::Office(_)
                | CommandError::House(_)
                | CommandError::Paper(_)
                | CommandError::Join(_)
                | CommandError::Slip(_)
                | CommandError::Declined(_)
                | CommandError::Discover(_)
                | CommandError::Place(_)
                | CommandError::Demo(_)
                | CommandError::Selftest(_)
                | CommandError::Bench(_)
                | CommandError::Script(_)
                | CommandError::File { .. }
                | CommandError::Payload { .. } => ExitCode::FAILURE,
            }
        }
    }
}

fn dispatch(args: Args) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    match args.command {
        Command::Run => return run_box(&args, runtime),
        Command::Bench(options) => runtime.block_on(bench::run(&options))?,
        // Head office and newcomers need no box, and so no configuration.
        Command::Site(what) if site::is_offline(&what) => {
            runtime.block_on(site::run(Path::new(""), what))?;
        }
        Command::Enrol(what @ (Enrol::Join(_) | Enrol::Renew { .. })) => {
            runtime.block_on(enrol::run(Path::new(""), what))?;
        }
        Command::Doctor { json } => {
            let examined = doctor::show(&args.config, args.data_dir.as_deref(), json);
            return Ok(match runtime.block_on(examined)? {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            });
        }
        Command::SupportBundle { out } => {
            runtime.block_on(bundle::write(&args.config, args.data_dir.as_deref(), out))?;
        }
        Command::Keep(ref what) => runtime.block_on(keep::run(&load(&args)?, what))?,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(&dir)?,
        Command::Reference => runtime.block_on(reference::print()),
        Command::Discover { sweep: Some(network), port, json, .. } => {
            runtime.block_on(discover::sweep(network, port, json));
        }
        Command::Discover { seconds, json, at, domain, .. } => {
            let look = discover::Look::of(&args.config, at, domain, seconds);
            runtime.block_on(discover::show(look, json))?
        }
        Command::Selftest(options) => {
            runtime.block_on(selftest::run(&options))?;
            say("the sale path is good");
        }
        Command::Demo(options) => return Ok(runtime.block_on(demo::run(&options))?),
        Command::Status { .. }
        | Command::Key
        | Command::LogLevel { .. }
        | Command::Drill(_)
        | Command::Settings(_)
        | Command::Visit(_)
        | Command::Release(_)
        | Command::Import { .. }
        | Command::Publish { .. }
        | Command::Adopt { .. }
        | Command::Refresh { .. }
        | Command::History { .. }
        | Command::Outbox(_)
        | Command::Ledger(_)
        | Command::Device(_)
        | Command::Login(_)
        | Command::Seal(_)
        | Command::Channel(_)
        | Command::Site(_)
        | Command::Enrol(_)
        | Command::Terminal(_)
        | Command::Node(_)
        | Command::Operator(_) => {
            let data_dir = data_dir(&args)?;
            runtime.block_on(command(args.command, &data_dir))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn command(command: Command, data_dir: &Path) -> Result<(), CommandError> {
    match command {
        Command::Run
        | Command::Demo(_)
        | Command::Selftest(_)
        | Command::Bench(_)
        | Command::Discover { .. }
        | Command::Doctor { .. }
        | Command::SupportBundle { .. }
        | Command::Keep(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Reference => Ok(()),
        Command::LogLevel { settings, minutes } => levels::run(data_dir, settings, minutes).await,
        Command::Drill(what) => drill::run(data_dir, what).await,
        Command::Settings(what) => settings::run(data_dir, what).await,
        Command::Visit(what) => visit::run(data_dir, what).await,
        Command::Release(what) => release::run(data_dir, what).await,
        Command::Status { json } => status::show(data_dir, json).await,
        Command::Key => {
            say(&key::public_text(&key::open(data_dir)?));
            Ok(())
        }
        Command::Import { dir, changes, check } => {
            masterdata::import(data_dir, &dir, changes, check).await
        }
        Command::Adopt { from } => masterdata::adopt(data_dir, from).await,
        Command::Publish { to, access } => masterdata::publish(data_dir, to, access).await,
        Command::Refresh { from: Some(from), access, .. } => {
            masterdata::refresh_from(data_dir, from, access).await
        }
        Command::Refresh { full, model, .. } => masterdata::refresh(data_dir, full, model).await,
        Command::History { node, terminal, model } => {
            masterdata::history(data_dir, node, terminal, model).await
        }
        Command::Site(what) => site::run(data_dir, what).await,
        Command::Enrol(what) => enrol::run(data_dir, what).await,
        Command::Device(what) => device::run(data_dir, what).await,
        Command::Channel(what) => channel::run(data_dir, what).await,
        Command::Outbox(what) => outbox::run(data_dir, what).await,
        Command::Ledger(what) => outbox::look(data_dir, what).await,
        Command::Login(what) => login::run(data_dir, what).await,
        Command::Seal(what) => seal::run(data_dir, what).await,
        Command::Terminal(what) => clients::run(data_dir, Kind::Terminal, what).await,
        Command::Node(what) => clients::run(data_dir, Kind::Node, what).await,
        Command::Operator(what) => clients::run(data_dir, Kind::Operator, what).await,
    }
}

/// Runs the box until it is told to stop, or has to begin again.
fn run_box(args: &Args, runtime: Runtime) -> Result<ExitCode, CommandError> {
    let origin = Origin { file: args.config.clone(), data_dir: args.data_dir.clone() };
    let (config, book) = crate::settings::begin(&origin)?;
    logging::start(&config.log)?;
    let (data_dir, is_trial) = (config.data_dir.clone(), book.trial.is_some());
    let ended = match runtime.block_on(node::run(config, book, origin)) {
        // Another box runs here: that is no fault of settings.
        Err(NodeError::Premises(taken)) => return Err(NodeError::Premises(taken).into()),
        // Settings that this start was without are not to blame.
        Err(error)
            if is_trial && crate::settings::fall_back(&data_dir, &logging::chain(&error)) =>
        {
            tracing::error!(
                error = logging::chain(&error),
                "the box does not run with its settings, which are taken back"
            );
            Ending::Again
        }
        ended => ended?,
    };
    runtime.shutdown_timeout(LEFT_MAX);
    match ended {
        Ending::Stopped => Ok(ExitCode::SUCCESS),
        Ending::Again => Err(CommandError::Again(begin_again())),
    }
}

/// Puts this program in its own place: the same process for whoever watches it, and nothing left of its former life.
fn begin_again() -> std::io::Error {
    let notifier = Notifier::from_environment();
    notifier.again();
    // Nothing feeds the watchdog until the box serves again.
    notifier.alive();
    match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}

fn load(args: &Args) -> Result<Config, ConfigError> {
    let mut config = config::load(&args.config)?;
    if let Some(data_dir) = &args.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    Ok(config)
}

/// The data directory that was named, else the configured one.
fn data_dir(args: &Args) -> Result<PathBuf, ConfigError> {
    match &args.data_dir {
        Some(data_dir) => Ok(data_dir.clone()),
        None => Ok(config::load(&args.config)?.data_dir),
    }
}

/// Prints the answer of a command; this and the demo are what standard output is for.
#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn say(text: &str) {
    println!("{text}");
}

/// Says why a command failed; where nobody can be told (a log on a full disk), its exit code says it alone.
fn complain(text: &str) {
    let _unheard = writeln!(std::io::stderr(), "storebox: {text}");
}
