//! The machine, then every part in a process of its own.

use std::path::Path;
use std::process::Command;

use super::catalogue::Catalogue;
use super::options::{Options, Part};
use super::{Error, accepts, channels, devices, floor, hooks, lookups, machine, replica};
use crate::demo::dataset::Dataset;
use crate::demo::say;
use crate::env;

/// What the service unit sets, so that memory is that of a box in a shop.
const ENVIRONMENT: [(&str, &str); 2] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// Prints all figures, or those of one part.
pub async fn run(options: &Options) -> Result<(), Error> {
    if let Some(address) = options.serve {
        return floor::serve(address, &options.dir).await;
    }
    if let (Some(part), true) = (options.part, options.apart) {
        return measure(part, options.data.as_deref(), &options.dir).await;
    }
    machine::describe(&options.dir).iter().for_each(|line| say(line));
    let folder = Folder::create(&options.dir)?;
    for part in Part::ALL.into_iter().filter(|part| options.part.is_none_or(|one| one == *part)) {
        let dir = folder.0.join(part.word());
        // The first run for memory builds, the second opens what was built.
        let runs = if part == Part::Memory300k { 2 } else { 1 };
        for _ in 0..runs {
            run_apart(part, options.data.as_deref(), &dir)?;
        }
        let _ = std::fs::remove_dir_all(&dir);
    }
    Ok(())
}

async fn measure(part: Part, data: Option<&Path>, dir: &Path) -> Result<(), Error> {
    let data = || Dataset::find(data);
    match part {
        Part::Floor => floor::measure(dir),
        Part::Replica100k => replica::build_and_read(&Catalogue::load(&data()?)?, 100_000, dir),
        Part::Replica1m => replica::build_and_read(&Catalogue::load(&data()?)?, 1_000_000, dir),
        Part::Memory300k => replica::memory(&data()?, 300_000, dir),
        Part::Accepts => accepts::measure(&data()?, dir).await,
        Part::Devices => devices::measure(dir).await,
        Part::Lookups => lookups::measure(&data()?, dir).await,
        Part::Hooks => hooks::measure(dir).await,
        Part::Channels => channels::measure(&data()?, dir).await,
    }
}

fn run_apart(part: Part, data: Option<&Path>, dir: &Path) -> Result<(), Error> {
    let executable = std::env::current_exe();
    let executable =
        executable.map_err(|source| Error::System { what: "find this program", source })?;
    let mut command = Command::new(executable);
    command
        .args(["bench", "--apart", "--part", part.word()])
        .arg("--dir")
        .arg(dir)
        .envs(ENVIRONMENT);
    if let Some(data) = data {
        command.arg("--data").arg(data);
    }
    let status = command.status();
    let status = status.map_err(|source| Error::System { what: "start this program", source })?;
    if status.success() { Ok(()) } else { Err(Error::Part { part: part.word(), status }) }
}

/// A directory that goes away with its owner.
struct Folder(std::path::PathBuf);

impl Folder {
    fn create(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(format!("storebox-bench-{}", hex::encode(env::random::<6>())));
        let made = std::fs::create_dir_all(&path);
        made.map_err(|source| Error::System { what: "create a directory", source })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
