//! A printer's bay: takes job after job out of the spool and tells the spool what became of each.

use std::time::Instant;

use serde::Serialize;
use storebox_peripherals::drawer::{self, Watch};
use storebox_peripherals::printer::{
    Dialect, Event, Job, NotReady, Printer, Recovery, Status, Trouble, Verdict,
};
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::{oneshot, watch};

use super::{COMMANDS_MAX, Craft};
use crate::devices::rendering::Medium;
use crate::devices::spool::{Begun, Spool};

/// What a printer reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrinterState {
    /// Cover, paper, cutter and errors as the printer reported them last.
    #[schema(value_type = Object)]
    pub reported: Status,
    /// Why it cannot print, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trouble: Option<Trouble>,
    /// Whether its drawer stands open, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawer_open: Option<bool>,
    /// The number of the job under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub printing: Option<u64>,
}

/// What a printer can be asked.
#[derive(Debug)]
pub enum Command {
    /// Open a drawer; its audit entry is on disk already.
    Kick {
        /// Which pin.
        pin: usize,
        /// The entry's number.
        entry: u64,
        /// When it is too late for it.
        until: Instant,
        /// The way back.
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    /// Clear an error whose cause is gone.
    Recover {
        /// What to do with the job under way.
        how: Recovery,
        /// The way back.
        answer: oneshot::Sender<Result<(), Problem>>,
    },
}

/// The line of any printer.
pub(in crate::devices) type PrinterLine = Printer<Box<dyn Dialect>>;

struct Kick {
    pin: usize,
    entry: u64,
    until: Instant,
    answer: oneshot::Sender<Result<(), Problem>>,
}

/// What the thread of a printer does.
pub(in crate::devices) struct PrinterCraft {
    id: DeviceId,
    /// The drawer on its connector, or the printer itself.
    drawer: DeviceId,
    medium: Medium,
    spool: Spool,
    watch: Watch,
    state: watch::Sender<PrinterState>,
    asked: Option<oneshot::Receiver<Option<Begun>>>,
    current: Option<u64>,
    /// Drawers that open when the job under way has ended.
    kicks: Vec<Kick>,
    /// The spool's news when it was asked last.
    seen: Option<u64>,
}

impl PrinterCraft {
    pub(in crate::devices) fn new(
        id: DeviceId,
        drawer: DeviceId,
        medium: Medium,
        sense: Option<drawer::Sense>,
        spool: Spool,
        state: watch::Sender<PrinterState>,
    ) -> Self {
        let watch = Watch::new(sense);
        Self {
            id,
            drawer,
            medium,
            spool,
            watch,
            state,
            asked: None,
            current: None,
            kicks: Vec::new(),
            seen: None,
        }
    }

    /// The line of this printer; one that was left in the middle of a job is brought back to its senses first.
    pub(in crate::devices) fn line(&self) -> PrinterLine {
        let mut line = Printer::new(self.medium.dialect());
        if self.spool.was_interrupted(&self.id) {
            line.distrust();
        }
        line
    }

    /// Asks the spool when there is something new and the printer can print.
    fn look_for_work(&mut self, line: &PrinterLine, now: Instant) {
        let news = self.spool.news();
        if self.asked.is_none()
            && self.current.is_none()
            && self.seen != Some(news)
            && line.ready(now).is_ok()
        {
            self.seen = Some(news);
            self.asked = self.spool.begin_next(&self.id);
        }
    }

    /// The job whose beginning is on disk by now.
    fn begun(&mut self) -> Option<Begun> {
        match self.asked.as_mut()?.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => None,
            Ok(begun) => {
                self.asked = None;
                begun
            }
            Err(oneshot::error::TryRecvError::Closed) => {
                self.asked = None;
                None
            }
        }
    }

    fn print(&mut self, line: &mut PrinterLine, begun: &Begun, now: Instant) {
        let number = begun.record.number;
        let rendered = self.medium.render(begun.source, &begun.content, &begun.record);
        let started = match rendered {
            Ok(body) => line.print(Job { number, body }, now),
            Err(problem) => {
                tracing::error!(device = %self.id, error = %problem, "job cannot be printed here");
                self.spool.tell(number, Verdict::Discarded);
                return;
            }
        };
        match started {
            Ok(()) => {
                self.current = Some(number);
                if let Some(entry) = begun.kick {
                    self.watch.handle_job_begun(entry);
                }
                self.state.send_modify(|state| state.printing = Some(number));
            }
            Err(NotReady::TooLarge) => self.spool.tell(number, Verdict::Discarded),
            Err(refused) => {
                tracing::debug!(device = %self.id, %refused, "job goes back into the spool");
                self.spool.tell(number, Verdict::NotStarted);
            }
        }
    }

    /// Opens a drawer, or keeps it in mind until the job under way has ended.
    fn kick(&mut self, line: &mut PrinterLine, kick: Kick, now: Instant) {
        let drawer = Medium::drawer(kick.pin).ok_or(NotReady::Unsupported);
        let kicked = drawer.and_then(|drawer| line.kick(drawer, now));
        if kicked == Err(NotReady::Busy) && kick.until > now && self.kicks.len() < COMMANDS_MAX {
            self.kicks.push(kick);
            return;
        }
        if kicked.is_ok() {
            self.watch.handle_kick(kick.entry, now);
        }
        let _ = kick.answer.send(kicked.map_err(refusal));
    }

    fn watch_drawer(&mut self, now: Instant) {
        if self.watch.poll_timeout().is_some_and(|at| at <= now) {
            self.watch.handle_timeout(now);
        }
        while let Some(event) = self.watch.poll_event() {
            self.spool.note_drawer(&self.drawer, event);
        }
        let open = self.watch.is_open();
        self.state.send_if_modified(|state| {
            let changed = state.drawer_open != open;
            state.drawer_open = open;
            changed
        });
    }
}

impl Craft for PrinterCraft {
    type Line = PrinterLine;
    type Command = Command;

    fn take(&mut self, line: &mut PrinterLine, command: Command, now: Instant) {
        match command {
            Command::Kick { pin, entry, until, answer } => {
                self.kick(line, Kick { pin, entry, until, answer }, now);
            }
            Command::Recover { how, answer } => {
                let _ = answer.send(line.recover(how, now).map_err(refusal));
            }
        }
    }

    fn turn_away(&mut self, command: Command, why: Problem) {
        match command {
            Command::Kick { answer, .. } | Command::Recover { answer, .. } => {
                let _ = answer.send(Err(why));
            }
        }
    }

    fn hear(&mut self, event: Event, now: Instant) {
        match event {
            Event::Status { status, trouble } => {
                self.watch.handle_level(status.drawer_high, now);
                if let Some(trouble) = trouble {
                    tracing::info!(device = %self.id, error = %trouble, "printer is in trouble");
                }
                self.state.send_modify(|state| {
                    state.reported = status;
                    state.trouble = trouble;
                });
            }
            Event::Job { number, verdict } => {
                self.spool.tell(number, verdict);
                if verdict != Verdict::Sent && self.current == Some(number) {
                    self.watch.handle_job_ended(verdict != Verdict::NotStarted, now);
                    self.current = None;
                    self.seen = None;
                    self.state.send_modify(|state| state.printing = None);
                }
            }
        }
    }

    fn tend(&mut self, line: Option<&mut PrinterLine>, now: Instant) {
        self.watch_drawer(now);
        let begun = self.begun();
        match line {
            Some(line) => {
                for kick in std::mem::take(&mut self.kicks) {
                    self.kick(line, kick, now);
                }
                if let Some(begun) = begun {
                    self.print(line, &begun, now);
                    self.seen = None;
                }
                self.look_for_work(line, now);
            }
            None => {
                for kick in self.kicks.drain(..) {
                    let _ = kick.answer.send(Err(refusal(NotReady::Away)));
                }
                if let Some(begun) = begun {
                    self.spool.tell(begun.record.number, Verdict::NotStarted);
                }
            }
        }
    }

    fn is_expecting(&self) -> bool {
        self.asked.is_some()
    }

    fn is_busy(&self) -> bool {
        self.current.is_some()
    }
}

fn refusal(refused: NotReady) -> Problem {
    let code = match refused {
        NotReady::Busy => Code::Busy,
        NotReady::Away => Code::DeviceAway,
        NotReady::Trouble(_) | NotReady::TooLarge | NotReady::Unsupported => Code::DeviceRefused,
    };
    Problem::new(code, refused.to_string())
}
