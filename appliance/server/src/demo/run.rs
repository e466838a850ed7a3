//! From the first line to the exit code.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::Error;
use super::dataset::Dataset;
use super::options::Options;
use super::show::say;
use super::stage::Folder;
use super::story::Story;

/// The exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Shows the demo; the exit code is 0 only if the comparison holds.
pub async fn run(options: &Options) -> Result<ExitCode, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    tokio::select! {
        done = play(options) => done,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
        _ = terminate.recv() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Dropping this stops both boxes and removes their files.
async fn play(options: &Options) -> Result<ExitCode, Error> {
    let data = Dataset::find(options.data.as_deref())?;
    let folder = Folder::create()?;
    let weeks = data.lay_out_weeks(folder.path(), usize::from(options.weeks))?;
    let (mut story, tickets) = Story::begin(options, &data, folder.path()).await?;
    story.load(&data, folder.path()).await?;
    story.sell(options, tickets, &weeks).await?;
    story.settle().await?;
    let (stage, report) = story.end();
    say(&report.to_string());
    let holds = report.holds();
    say(if holds { "VERDICT       it holds" } else { "VERDICT       IT DOES NOT HOLD" });
    if options.once {
        return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    say(&format!("\nthe shop's box goes on serving at http://{}/", stage.store_address));
    say(&format!("head office at                   http://{}/", stage.main_address));
    say("Ctrl-C ends both.");
    std::future::pending().await
}
