//! From the first line to the exit code.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::Error;
use super::dataset::Dataset;
use super::options::Options;
use super::show::print;
use super::stage::{Folder, Stage};
use super::story::Story;

/// Shows the demo; the exit code is 0 only if the comparison holds.
pub async fn run(options: &Options) -> Result<ExitCode, Error> {
    let data = Dataset::find(options.data.as_deref())?;
    let folder = Folder::create()?;
    let weeks = data.lay_out_weeks(folder.path(), usize::from(options.weeks))?;
    let (mut story, tickets) = Story::begin(options, &data, folder.path()).await?;
    story.load(&data, folder.path()).await?;
    story.sell(options, tickets, &weeks).await?;
    story.settle().await?;
    let (stage, report) = story.end();
    print(&report.to_string());
    let holds = report.holds();
    print(if holds { "VERDICT       it holds" } else { "VERDICT       IT DOES NOT HOLD" });
    if !options.once {
        serve(stage).await?;
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Goes on serving until somebody asks to stop.
async fn serve(mut stage: Stage) -> Result<(), Error> {
    print(&format!("\nthe shop's box goes on serving at http://{}/", stage.store_address));
    print(&format!("head office at                   http://{}/", stage.main_address));
    print("Ctrl-C ends both.");
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    stage.store.stop();
    stage.main.stop();
    Ok(())
}
