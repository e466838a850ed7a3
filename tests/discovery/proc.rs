//! Child processes whose lines are read as they come, with the moment of each.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use storebox_tests::wait::held_within;

#[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Prints past the capture of the test harness.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "discovery: {line}");
}

/// Waits for a condition, looking often.
pub(crate) fn until(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(held_within(limit, condition), "{what} did not come within {limit:?}");
}

/// A running child; it dies with this handle.
pub(crate) struct Proc {
    child: Child,
    lines: Receiver<(Instant, String)>,
    seen: Vec<(Instant, String)>,
}

impl Proc {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is there");
        let (sender, lines) = channel();
        let out = child.stdout.take().expect("piped");
        let errors = child.stderr.take().expect("piped");
        let tee = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).all(|l| tee.send((now(), l)).is_ok())
        });
        std::thread::spawn(move || {
            let lines = BufReader::new(errors).lines().map_while(Result::ok);
            lines.into_iter().all(|line| sender.send((now(), line)).is_ok())
        });
        Self { child, lines, seen: Vec::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives the child an order.
    pub(crate) fn order(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the child lives");
    }

    /// Waits for a line that fits, among those that were not waited past yet; what came before it is
    /// passed over.
    #[track_caller]
    pub(crate) fn wait(
        &mut self,
        limit: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> (Instant, String) {
        match self.try_wait(limit, fits) {
            Some(found) => found,
            None => panic!("no such line within {limit:?}; there were {:#?}", self.seen),
        }
    }

    pub(crate) fn try_wait(
        &mut self,
        limit: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> Option<(Instant, String)> {
        let end = now() + limit;
        while let Ok((at, line)) = self.lines.recv_timeout(end.saturating_duration_since(now())) {
            self.seen.push((at, line.clone()));
            if fits(&line) {
                return Some((at, line));
            }
        }
        None
    }

    /// The lines read so far.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().map(|(_, line)| line.as_str())
    }

    /// Pulls the plug: no goodbye, no closed connection but by the kernel.
    pub(crate) fn plug_out(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.plug_out();
    }
}

/// What is usual.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Prints what was measured; the longest of it.
pub(crate) fn summary(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let ms = |time: &Duration| time.as_millis();
    let (first, last) = (times.first().expect("measured"), times.last().expect("measured"));
    let median = &times[times.len() / 2];
    tell(&format!(
        "{what}: {} / {} / {} ms (min/median/max of {})",
        ms(first),
        ms(median),
        ms(last),
        times.len()
    ));
    *last
}
