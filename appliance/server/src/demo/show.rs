//! What the person in front of the demo sees: bars on a terminal, a line a second elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::env;

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(1);
/// Over which rates are averaged.
const RATE_OVER: Duration = Duration::from_millis(900);
/// Redraws a second, enough for the eye.
const FRAMES_PER_SECOND: u8 = 12;

/// What is measured at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauges {
    pub(super) line_up: bool,
    /// Tickets that tills sold.
    pub(super) sold: u64,
    /// Transactions of tills that the box has on its disk.
    pub(super) held: u64,
    /// Transactions that wait for head office.
    pub(super) waiting: u64,
    /// Masterdata records that the box holds verified.
    pub(super) records: u64,
    /// Those of head office.
    pub(super) records_total: u64,
    /// What the replica is doing, in words.
    pub(super) replica: String,
}

/// The screen.
pub(super) struct Show {
    started: Instant,
    out: Out,
    tickets: u64,
    sales: Rate,
}

enum Out {
    Live(Box<Bars>),
    Plain { next: Instant },
}

struct Bars {
    all: MultiProgress,
    line: ProgressBar,
    tickets: ProgressBar,
    outbox: ProgressBar,
    replica: ProgressBar,
}

impl Show {
    /// A screen for this many tickets.
    pub(super) fn open(tickets: u64) -> Self {
        let started = env::instant();
        let out = if io::stderr().is_terminal() {
            Out::Live(Box::new(Bars::new(tickets)))
        } else {
            Out::Plain { next: started }
        };
        Self { started, out, tickets, sales: Rate::starting(started) }
    }

    /// Says what happens now; stays on the screen.
    pub(super) fn say(&self, text: &str) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let line = format!("{elapsed:6.1} s  {text}");
        match &self.out {
            Out::Live(bars) => {
                let _ = bars.all.println(line);
            }
            Out::Plain { .. } => say(&line),
        }
    }

    /// Shows the state of everything.
    pub(super) fn update(&mut self, gauges: &Gauges) {
        let now = env::instant();
        let rate = self.sales.per_second(gauges.held, now);
        match &mut self.out {
            Out::Live(bars) => bars.update(gauges, rate),
            Out::Plain { next } if now >= *next => {
                *next = now + PLAIN_EVERY;
                let elapsed = (now - self.started).as_secs_f64();
                let line = if gauges.line_up { "line up " } else { "line CUT" };
                let Gauges { sold, waiting, records, records_total, replica, .. } = gauges;
                say(&format!(
                    "{elapsed:6.1} s  {line}  sold {sold}/{}  {rate:.0} transactions/s  \
                     outbox {waiting}  masterdata {records}/{records_total}  {replica}",
                    self.tickets
                ));
            }
            Out::Plain { .. } => {}
        }
    }

    /// Takes the bars away, leaving what was said.
    pub(super) fn close(self) {
        if let Out::Live(bars) = self.out {
            for bar in [bars.line, bars.tickets, bars.outbox, bars.replica] {
                bar.abandon();
            }
        }
    }
}

impl Bars {
    fn new(tickets: u64) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(FRAMES_PER_SECOND);
        let all = MultiProgress::with_draw_target(target);
        let bar = |length, template: &str| {
            let style = ProgressStyle::with_template(template).expect("the template is a literal");
            let bar = all.add(ProgressBar::new(length));
            bar.set_style(style.progress_chars("█▌ "));
            bar
        };
        let line = bar(1, "line       {msg}");
        let replica = bar(1, "masterdata {bar:40.cyan} {pos:>6}/{len} records  {msg}");
        let sold = bar(tickets, "tickets    {bar:40.green} {pos:>6}/{len} sold  {msg}");
        let outbox = bar(1, "outbox     {bar:40.yellow} {pos:>6} waiting  {msg}");
        Self { all, line, tickets: sold, outbox, replica }
    }

    fn update(&mut self, gauges: &Gauges, rate: f64) {
        let line = if gauges.line_up { "up" } else { "CUT: the shop is on its own" };
        self.line.set_message(line);
        self.tickets.set_position(gauges.sold);
        self.tickets.set_message(format!("{rate:.0} transactions/s on disk"));
        let deepest = self.outbox.length().unwrap_or(1).max(gauges.waiting);
        self.outbox.set_length(deepest);
        self.outbox.set_position(gauges.waiting);
        self.outbox.set_message(format!("at most {deepest}"));
        self.replica.set_length(gauges.records_total.max(gauges.records).max(1));
        self.replica.set_position(gauges.records);
        self.replica.set_message(gauges.replica.clone());
    }
}

/// A growing number's speed, smoothed.
struct Rate {
    since: Instant,
    count: u64,
    last: f64,
}

impl Rate {
    fn starting(now: Instant) -> Self {
        Self { since: now, count: 0, last: 0.0 }
    }

    fn per_second(&mut self, count: u64, now: Instant) -> f64 {
        let passed = now - self.since;
        if passed >= RATE_OVER {
            let grown = u32::try_from(count.saturating_sub(self.count)).unwrap_or(u32::MAX);
            self.last = f64::from(grown) / passed.as_secs_f64();
            (self.since, self.count) = (now, count);
        }
        self.last
    }
}

/// Writes a line to the standard output; a reader that went away is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_taken_over_about_a_second() {
        let start = env::instant();
        let mut rate = Rate::starting(start);
        assert_eq!(rate.per_second(50, start + Duration::from_millis(500)), 0.0);
        assert_eq!(rate.per_second(200, start + Duration::from_secs(2)), 100.0);
        assert_eq!(rate.per_second(300, start + Duration::from_millis(2100)), 100.0);
    }
}
