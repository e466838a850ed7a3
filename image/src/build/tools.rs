//! The tree of Debian 13 programs that build and try images; `image/setup` makes it.
//!
//! A program runs with the tree as its root and sees nothing else, so every file it works on lies
//! in a folder inside the tree, which goes away with its [`Work`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::EPOCH;

/// The end of what a failed program said; the rest is noise.
const SAID_CHARS_MAX: usize = 2000;

/// The tree gets the kernel's own file systems, in a mount namespace that ends with the program.
const ENTER: &str =
    r#"mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@""#;

#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("find the tools in {root}; `image/setup` makes them")]
    Missing { root: PathBuf },
    #[error("start {program}")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{program}: {status}\n{said}")]
    Failed { program: String, status: ExitStatus, said: String },
    #[error("make a place to work at {path}")]
    Work {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Tools {
    pub fn find(cache: &Path) -> Result<Self, ToolError> {
        let root = cache.join("tools");
        if !root.join(".made-of").exists() {
            return Err(ToolError::Missing { root });
        }
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A new empty folder inside the tree, of this one caller.
    pub fn work(&self) -> Result<Work, ToolError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("var/build").join(format!("{}-{own}", std::process::id()));
        let made = fs::create_dir_all(&path);
        made.map_err(|source| ToolError::Work { path: path.clone(), source })?;
        Ok(Work { path })
    }

    /// A path of this computer as programs of the tree see it.
    pub fn inside(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        Path::new("/").join(inside)
    }

    /// A program of the tree, not started yet.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-c", ENTER, "enter"]);
        command.arg(&self.root).arg(program).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.env("SOURCE_DATE_EPOCH", EPOCH).env("HOME", "/tmp");
        command
    }

    /// Runs a program of the tree and returns what it printed. Arguments that are paths into the
    /// tree are given as it sees them.
    pub fn run(&self, program: &str, args: &[&dyn AsRef<Path>]) -> Result<String, ToolError> {
        let mut command = self.command(program);
        for arg in args {
            let arg = arg.as_ref();
            if arg.starts_with(&self.root) {
                command.arg(self.inside(arg))
            } else {
                command.arg(arg)
            };
        }
        finish(program, &mut command)
    }
}

/// Runs a program to its end.
pub fn finish(program: &str, command: &mut Command) -> Result<String, ToolError> {
    let output = command.output();
    let output =
        output.map_err(|source| ToolError::Start { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let skip = said.chars().count().saturating_sub(SAID_CHARS_MAX);
    let said = said.chars().skip(skip).collect();
    Err(ToolError::Failed { program: program.to_owned(), status: output.status, said })
}

/// A folder inside the tree that goes away with this.
#[derive(Debug)]
pub struct Work {
    path: PathBuf,
}

impl Work {
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
