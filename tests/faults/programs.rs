//! The program under test, and scripts that start it with something between it and the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::leavings;

/// The box of the smallest size: bytes of memory that it may use.
pub(crate) const MEMORY_MAX: u64 = 512 << 20;
/// A command of the program that takes longer, in seconds, hangs.
const COMMAND_S_MAX: u32 = 120;
/// Where the kernel keeps its bounds on memory, in its older and its newer form.
pub(crate) const BOUNDS: [(&str, &str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    ("/sys/fs/cgroup", "memory.max", "memory.peak"),
];

/// What is started.
pub(crate) struct Programs {
    folder: TempDir,
    storebox: PathBuf,
    shim: PathBuf,
    plain: PathBuf,
}

/// What is between the program and the machine.
#[derive(Debug, Default)]
pub(crate) struct Between<'a> {
    /// The network; none: that of this process.
    pub(crate) network: Option<&'a str>,
    /// By which the wall clock runs.
    pub(crate) clock: Option<&'a Path>,
    /// Every change of a file is written beside the box's configuration.
    pub(crate) record: bool,
    pub(crate) bound: Option<&'a Bound>,
}

impl Programs {
    pub(crate) fn find(storebox: Option<&Path>) -> anyhow::Result<Self> {
        let beside =
            || std::env::current_exe().map(|own| own.with_file_name("storebox-under-test"));
        let storebox = match storebox {
            Some(path) => path.canonicalize()?,
            None => beside()?,
        };
        ensure!(storebox.exists(), "{} is not built", storebox.display());
        let folder = leavings::folder()?;
        let shim = folder.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/shim.c");
        let compiled = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&shim)
            .arg(source)
            .status();
        let compiled = compiled.context("start cc, the C compiler that this repository needs")?;
        ensure!(compiled.success(), "the C compiler does not work");
        let mut programs = Self { folder, storebox, shim, plain: PathBuf::new() };
        programs.plain = programs.script("plain", &Between::default())?;
        Ok(programs)
    }

    /// The program with nothing between.
    pub(crate) fn plain(&self) -> &Path {
        &self.plain
    }

    /// A script that starts it like this; it dies with this process, and a command of it has an end.
    pub(crate) fn script(&self, name: &str, between: &Between) -> anyhow::Result<PathBuf> {
        let (program, shim) = (self.storebox.display(), self.shim.display());
        let mut environment = "MALLOC_ARENA_MAX=2".to_owned();
        if between.record {
            environment = format!(
                "{environment} LD_PRELOAD='{shim}' STOREBOX_RECORD=\"${{2%/*}}/record\" STOREBOX_RECORD_ROOT=\"${{2%/*}}/data\""
            );
        }
        let mut text = format!(
            "#!/bin/sh\nfor last; do :; done\n\
             [ \"$last\" = run ] || exec setpriv --pdeathsig TERM timeout -k 5 {COMMAND_S_MAX} env {environment} '{program}' \"$@\"\n"
        );
        if let Some(clock) = between.clock {
            let clock = clock.display();
            environment = format!("{environment} LD_PRELOAD='{shim}' STOREBOX_CLOCK='{clock}'");
        }
        if let Some(bound) = between.bound {
            text += &format!("echo $$ > '{}/cgroup.procs'\n", bound.0.display());
        }
        let network =
            between.network.map_or(String::new(), |name| format!("ip netns exec {name} "));
        text += &format!(
            "exec setpriv --pdeathsig KILL {network}env {environment} '{program}' \"$@\"\n"
        );
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

/// A group of processes that together may use so much memory.
#[derive(Debug)]
pub(crate) struct Bound(PathBuf, &'static str);

impl Bound {
    /// Nothing where the kernel does not let us.
    pub(crate) fn make(name: &str, bytes: u64) -> Option<Self> {
        BOUNDS.iter().find_map(|(root, limit, peak)| {
            let path = Path::new(root).join(leavings::name(name));
            fs::create_dir(&path).ok()?;
            let bound = Self(path, peak);
            fs::write(bound.0.join(limit), bytes.to_string()).ok()?;
            Some(bound)
        })
    }

    /// The most that was used, what the system caches of files included.
    pub(crate) fn most(&self) -> u64 {
        let text = fs::read_to_string(self.0.join(self.1)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
