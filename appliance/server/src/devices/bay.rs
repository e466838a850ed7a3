//! A thread with one device: opens its port, keeps the conversation going, looks for it again when it is gone.
//!
//! Commands come through a bounded queue and are answered through channels of their own; what the device is doing
//! is published as the latest state.
//! The thread ends within a bounded time of being told to, also when its device is stuck.

pub mod display;
pub mod printer;
pub mod scale;
pub mod scanner;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use storebox_peripherals::line::Line;
use storebox_peripherals::port::{FilePort, OpenError, Port, SerialPort, SerialSettings, TcpPort};
use storebox_peripherals::runner::Runner;
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::watch;

use super::place::{Address, FindError, Machine, Place};
use super::trace::{Tap, Traced};
use crate::{env, logging};

/// Commands that wait for a device; a person waits behind each.
const COMMANDS_MAX: usize = 32;
/// How soon a command is seen while the device is silent.
const TURN_MAX: Duration = Duration::from_millis(20);
/// The pause before the first new look for a device.
const LOOK_FIRST: Duration = Duration::from_millis(200);
/// The longest pause between two looks; a device that is plugged in works within this.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// While it waits the thread looks this often whether it should end.
const HEED: Duration = Duration::from_millis(100);
/// A network device that does not answer is given up for now.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// What is under way when the bay ends may take this long.
const FINISH_MAX: Duration = Duration::from_secs(4);

/// Whether a device can be talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It was not looked for yet.
    Starting,
    /// It cannot be opened.
    Away {
        /// Why.
        why: String,
    },
    /// Its port is open.
    Open,
}

impl Link {
    /// Why a device cannot do anything now.
    pub fn away(&self) -> Option<Problem> {
        match self {
            Self::Open => None,
            Self::Starting => Some(Problem::new(Code::DeviceAway, "the device is being opened")),
            Self::Away { why } => Some(Problem::new(Code::DeviceAway, why.clone())),
        }
    }
}

/// What a kind of device adds to the thread.
pub(super) trait Craft: Send + 'static {
    /// Its protocol.
    type Line: Line;
    /// What it can be asked.
    type Command: Send + 'static;

    /// Carries a command out, or says why not.
    fn take(&mut self, line: &mut Self::Line, command: Self::Command, now: Instant);

    /// Answers a command that came while the device was away.
    fn turn_away(&mut self, command: Self::Command, why: Problem);

    /// Something happened.
    fn hear(&mut self, event: <Self::Line as Line>::Event, now: Instant);

    /// Looks what else is to do; called at every turn, also while the device is away (without a line).
    fn tend(&mut self, _line: Option<&mut Self::Line>, _now: Instant) {}

    /// Whether something is under way that should be finished before the thread ends.
    fn is_busy(&self) -> bool {
        false
    }
}

/// A running bay.
pub(super) struct Bay {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Bay {
    /// Tells the thread to end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// The way to a bay; cheap to clone.
#[derive(Debug)]
pub struct Counter<C> {
    queue: SyncSender<C>,
    link: watch::Receiver<Link>,
}

impl<C> Clone for Counter<C> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), link: self.link.clone() }
    }
}

impl<C> Counter<C> {
    /// Whether the device can be talked to.
    pub fn link(&self) -> Link {
        self.link.borrow().clone()
    }

    /// Hands a command over.
    pub fn give(&self, command: C) -> Result<(), Problem> {
        self.queue.try_send(command).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                let detail = format!("{COMMANDS_MAX} requests wait for the device already");
                Problem::new(Code::Busy, detail)
            }
            TrySendError::Disconnected(_) => {
                Problem::new(Code::DeviceAway, "the device was taken out of service")
            }
        })
    }
}

/// Where a device is and how its line is set.
#[derive(Debug, Clone)]
pub(super) struct Berth {
    pub(super) id: DeviceId,
    pub(super) machine: Machine,
    pub(super) place: Place,
    pub(super) line: SerialSettings,
    pub(super) tap: Tap,
}

/// Starts a bay.
pub(super) fn start<C: Craft>(
    berth: Berth,
    line: C::Line,
    craft: C,
) -> io::Result<(Bay, Counter<C::Command>)>
where
    C::Line: Send + 'static,
{
    let (queue, commands) = sync_channel(COMMANDS_MAX);
    let (told, link) = watch::channel(Link::Starting);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let name = format!("bay {}", berth.id);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let mut owner = Owner { berth, craft, commands, told, stop: stopped };
        owner.live(line);
    })?;
    Ok((Bay { stop, thread }, Counter { queue, link }))
}

struct Owner<C: Craft> {
    berth: Berth,
    craft: C,
    commands: Receiver<C::Command>,
    told: watch::Sender<Link>,
    stop: Arc<AtomicBool>,
}

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
enum Unopened {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl<C: Craft> Owner<C> {
    fn live(&mut self, mut line: C::Line) {
        let mut pause = LOOK_FIRST;
        while !self.is_stopping() {
            match self.open() {
                Ok(port) => {
                    let began = env::instant();
                    line = self.converse(line, port);
                    // A port that opens and hangs up at once is no device that came back.
                    if env::instant().saturating_duration_since(began) > LOOK_MAX {
                        pause = LOOK_FIRST;
                    }
                }
                Err(error) => self.note_away(logging::chain(&error)),
            }
            self.rest(pause);
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn open(&self) -> Result<Box<dyn Port>, Unopened> {
        let Berth { machine, place, line, .. } = &self.berth;
        let port: Box<dyn Port> = match machine.find(place)? {
            Address::Serial(path) => Box::new(SerialPort::open(&path, line)?),
            Address::Printer(path) => Box::new(FilePort::open(&path)?),
            Address::Tcp(address) => Box::new(TcpPort::connect(address, CONNECT_MAX)?),
        };
        Ok(Box::new(Traced::new(port, self.berth.tap.clone())))
    }

    fn note_away(&self, why: String) {
        let link = Link::Away { why };
        if *self.told.borrow() != link {
            if let Link::Away { why } = &link {
                tracing::info!(device = %self.berth.id, error = why, "device is away");
            }
            self.told.send_replace(link);
        }
    }

    /// Talks until the port is gone or the bay ends, and gives the line back for the next port.
    fn converse(&mut self, line: C::Line, port: Box<dyn Port>) -> C::Line {
        let mut runner = Runner::new(line, port, env::instant());
        self.told.send_replace(Link::Open);
        tracing::info!(device = %self.berth.id, place = %self.berth.place, "device is open");
        let mut ends = None;
        loop {
            let now = env::instant();
            if self.is_stopping() {
                let end = *ends.get_or_insert(now + FINISH_MAX);
                if now >= end || !self.craft.is_busy() {
                    break;
                }
            } else {
                for command in self.commands.try_iter().take(COMMANDS_MAX) {
                    self.craft.take(runner.line(), command, now);
                }
                self.craft.tend(Some(runner.line()), now);
            }
            match runner.turn(&env::instant, TURN_MAX) {
                Ok(events) => events.into_iter().for_each(|event| self.craft.hear(event, now)),
                Err(error) => {
                    let mut line = runner.into_line();
                    self.drain(&mut line);
                    self.note_away(logging::chain(&error));
                    return line;
                }
            }
        }
        let mut line = runner.into_line();
        line.handle_hangup(env::instant());
        self.drain(&mut line);
        line
    }

    fn drain(&mut self, line: &mut C::Line) {
        while let Some(event) = line.poll_event() {
            self.craft.hear(event, env::instant());
        }
    }

    /// Waits before the next look; who asks meanwhile is told that the device is away.
    fn rest(&mut self, pause: Duration) {
        let end = env::instant() + pause;
        loop {
            let left = end.saturating_duration_since(env::instant());
            if left.is_zero() || self.is_stopping() {
                return;
            }
            self.craft.tend(None, env::instant());
            match self.commands.recv_timeout(left.min(HEED)) {
                Ok(command) => {
                    let link = self.told.borrow().away();
                    let away = || Problem::new(Code::DeviceAway, "the device is away");
                    self.craft.turn_away(command, link.unwrap_or_else(away));
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody can ask any more; the place is still looked for until the bay is told to end.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(left.min(HEED)),
            }
        }
    }
}
