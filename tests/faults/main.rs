//! The campaign: everything that can go wrong in a shop is done to real processes, and a table says what was lost.
//!
//! `tests/campaign [MINUTES] [SEED]` builds what this program is given and calls it; `--short` is what CI runs.
//! One shop lives through it all (head office, two boxes that mirror each other, tills that never give up on a sale):
//! each fault alone, then a day of twenty-four hours with all of them at once.
//! Power cuts and damaged bytes are tried on disks of their own, whose every write is on record.
//! It needs root, for a network of its own, small disks and a bound on memory; what it makes goes away with it.

mod clock;
mod counter;
mod cuts;
mod damage;
mod day;
mod disk;
mod faults;
mod kinds;
mod leavings;
mod liar;
mod network;
mod programs;
mod record;
mod sales;
mod shop;
mod specimen;
mod states;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;

use crate::table::{Table, say};

/// Does everything that can go wrong to a shop of real processes, and says what was lost.
#[derive(Debug, Parser)]
struct Args {
    /// How long it goes on, in minutes
    #[arg(default_value_t = 10)]
    minutes: u32,
    /// Everything random comes from this number
    #[arg(default_value_t = 20_261_122)]
    seed: u64,
    /// Each fault once, for moments: what CI runs
    #[arg(long)]
    short: bool,
    /// The program `storebox`; without it, the one beside this program that the tests use
    #[arg(long, value_name = "FILE")]
    storebox: Option<PathBuf>,
    /// Only rounds whose name contains this
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
    /// Writes the table to this page as well
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// One fault, its way back and what is compared after it, without the time it lasts.
const ROUND_MAX: Duration = Duration::from_secs(600);
/// The short form takes two minutes on two busy cores.
const SHORT_MAX: Duration = Duration::from_secs(900);

/// Two of three power cuts go through the kinds of files in turn, of which no node writes more than 36.
const CUTS_MIN: usize = 54;

/// How much of everything there is.
#[derive(Debug, Clone, Copy)]
struct Measure {
    tills: u32,
    /// Each fault alone.
    round: Duration,
    /// The day, whatever its length.
    day: Duration,
    /// Power cuts of each node.
    cuts: usize,
    /// Bytes that are damaged in each kind of file.
    bytes: usize,
    is_short: bool,
    seed: u64,
}

impl Measure {
    /// Everything together hangs if it takes longer.
    fn all_max(self) -> Duration {
        if self.is_short { SHORT_MAX } else { self.day * 12 + SHORT_MAX }
    }

    /// Nor does one fault alone take longer, with the way back and the comparing,
    fn round_max(self) -> Duration {
        self.round * 3 + ROUND_MAX
    }

    /// nor the day.
    fn day_max(self) -> Duration {
        self.day * 3 + ROUND_MAX
    }

    fn of(args: &Args) -> Self {
        let all = Duration::from_secs(u64::from(args.minutes.max(2)) * 60);
        match args.short {
            true => Self {
                tills: 12,
                round: Duration::from_secs(1),
                day: Duration::from_secs(8),
                cuts: 8,
                bytes: 1,
                is_short: true,
                seed: args.seed,
            },
            // Some twenty faults alone take half of the time, the day a third, the disks the rest.
            false => Self {
                tills: 50,
                round: all / 45,
                day: all / 3,
                cuts: (args.minutes * 12).try_into().unwrap_or(usize::MAX).max(CUTS_MIN),
                bytes: (args.minutes / 10).clamp(1, 20).try_into().unwrap_or(1),
                is_short: false,
                seed: args.seed,
            },
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("storebox-campaign: seed {}: {error:#}", args.seed);
            ExitCode::FAILURE
        }
    }
}

/// Ends this process, and with it all that it has started, if what is given has not been dropped in time: whatever
/// hangs, the campaign does not.
fn watch(patience: Duration) -> mpsc::Sender<()> {
    let (alive, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("storebox-campaign: no end within {patience:?}");
            std::process::exit(2);
        }
    });
    alive
}

fn run(args: &Args) -> anyhow::Result<bool> {
    leavings::sweep();
    // Before there is a second thread, which would stay in the old network.
    network::enter()?;
    let measure = Measure::of(args);
    let _watch = watch(measure.all_max());
    say(&format!("seed {}, {measure:?}", args.seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut table = Table::new(&args.only);
        let programs = programs::Programs::find(args.storebox.as_deref())?;
        cuts::rounds(&programs, measure, &mut table).await?;
        faults::rounds(&programs, measure, &mut table).await?;
        table.print();
        if let Some(page) = &args.page {
            let Args { minutes, seed, .. } = args;
            table.write(page, &format!("What `tests/campaign {minutes} {seed}` printed."))?;
        }
        Ok(table.holds())
    })
}
