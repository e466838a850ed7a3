//! The built image as a machine: started by emulation, found, sold at, updated, cut off.
//!
//! `image/trial` builds what this program is given and calls it. It needs root, the tools of
//! `image/setup` and time: a start is forty seconds of a processor. It is no `cargo test`, because
//! it works on an image that takes minutes to build; what it says is printed, and its exit code
//! tells whether everything held.

mod cuts;
mod data;
mod disk;
mod drive;
mod figures;
mod kills;
mod lan;
mod machine;
mod office;
mod printer;
mod release;
mod sealed;
mod serving;
mod shell;
mod shop;
mod start;
mod update;
mod wrong;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Tries images in an emulated machine.
#[derive(Debug, Parser)]
struct Args {
    /// The release that a box is flashed with: what `storebox-image build` put out
    #[arg(long, value_name = "FOLDER")]
    old: PathBuf,
    /// A newer release
    #[arg(long, value_name = "FOLDER")]
    new: Option<PathBuf>,
    /// A newer release whose service does not run
    #[arg(long, value_name = "FOLDER")]
    broken: Option<PathBuf>,
    /// A release after the newer one; both come from a head office beside the machine, with their approvals
    #[arg(long, value_name = "FOLDER", requires = "new")]
    next: Option<PathBuf>,
    /// Only what a new box with a printer does: a file with errors, a good one, papers
    #[arg(long)]
    paper: bool,
    /// Cut the power at so many moments of an update
    #[arg(long, value_name = "MOMENTS")]
    cuts: Option<u32>,
    /// Only see that the data partition is sealed to its machine
    #[arg(long)]
    sealed: bool,
    /// Kill the emulator at no fewer moments of an update, with a drive that loses what was not flushed
    #[arg(long, value_name = "MOMENTS", conflicts_with = "cuts")]
    kills: Option<u32>,
    /// Go on with the kills of this folder, which were ended
    #[arg(long, value_name = "FOLDER", requires = "kills", env = "RESUME")]
    resume: Option<PathBuf>,
    /// Start the machine again after every so many of these cuts or kills; the others are judged by what is on the disk
    #[arg(long, default_value_t = 10, value_name = "CUTS")]
    start_every: u32,
    /// Where `image/setup` put the tools
    #[arg(long, env = "STOREBOX_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// The program `storebox`, to look for the machine from another host
    #[arg(long, default_value = "target/release/storebox", value_name = "FILE")]
    storebox: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storebox-trial: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    // Before there is a second thread, which would stay in the old network.
    lan::enter()?;
    let home = || std::env::home_dir().unwrap_or_default().join(".cache/storebox");
    let cache = args.cache.clone().unwrap_or_else(home);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        if let (Some(folder), Some(new), Some(moments)) = (&args.resume, &args.new, args.kills) {
            let mut bench = start::Bench::again(&cache, &args.old, &args.storebox, folder)?;
            kills::go_on(&mut bench, new, moments, args.start_every).await?;
            bench.close();
        } else {
            let mut bench = start::Bench::open(&cache, &args.old, &args.storebox).await?;
            try_it(args, &mut bench).await?;
            bench.close();
        }
        figures::say("everything held");
        Ok(())
    })
}

async fn try_it(args: &Args, bench: &mut start::Bench) -> anyhow::Result<()> {
    if args.sealed {
        sealed::without_a_word(bench).await?;
        sealed::by_a_tpm(bench).await?;
        return sealed::by_the_machine(bench).await;
    }
    if let (Some(new), Some(next)) = (&args.new, &args.next) {
        return release::from_head_office(bench, new, next).await;
    }
    if args.paper || args.broken.is_some() {
        wrong::file_is_refused(bench).await?;
    }
    if args.paper {
        return Ok(());
    }
    if let Some(new) = args.new.as_ref().filter(|_| args.kills.is_some()) {
        kills::plug_in(bench, new)?;
    }
    bench.start_and_sell().await?;
    if let Some(new) = &args.new {
        let every = args.start_every;
        match (args.cuts, args.kills) {
            (Some(moments), _) => cuts::campaign(bench, new, moments, every).await?,
            (None, Some(moments)) => kills::campaign(bench, new, moments, every).await?,
            (None, None) => update::to_the_next(bench, new).await?,
        }
    }
    if let Some(broken) = &args.broken {
        update::to_a_broken_one(bench, broken).await?;
    }
    Ok(())
}
