//! A depot: a folder with keys, a small release and the program that flashes.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use storebox_image::layout::MIB;
use storebox_image::provision::volume::{Volume, Window, format};

pub(crate) const SHOP: &str = include_str!("../../storebox.example.toml");

pub(crate) struct Depot {
    pub(crate) dir: tempfile::TempDir,
}

/// What a run of the program gave.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    pub(crate) fn failed(self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{} {}", self.out, self.err);
        assert!(self.err.contains(words), "{words:?} is not in {:?}", self.err);
    }
}

impl Depot {
    /// Keys, and release 1.4.0 for x86-64 with small partitions.
    pub(crate) fn new() -> Self {
        let depot = Self { dir: tempfile::tempdir().unwrap() };
        depot.make_esp();
        fs::write(depot.path("kernel.img"), vec![0x4b; 300_001]).unwrap();
        fs::write(depot.path("rootfs.img"), noise(9 << 20)).unwrap();
        fs::write(depot.path("shop.toml"), SHOP).unwrap();
        depot.run("keygen --out {release.key}").ok();
        depot.run(
            "assemble --esp {esp.img} --kernel {kernel.img} --rootfs {rootfs.img} --out {disk.img}",
        )
        .ok();
        depot.bundle("1.4.0", "box.sbx").ok();
        depot
    }

    pub(crate) fn bundle(&self, version: &str, out: &str) -> Run {
        self.run(&format!(
            "bundle --version {version} --board x86-64 --min-version 1.0.0 --key {{release.key}} \
             --disk {{disk.img}} --file {{rootfs.img}} --out {{{out}}}"
        ))
    }

    fn make_esp(&self) {
        let esp = self.path("esp.img");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(esp).unwrap();
        file.set_len(48 * MIB).unwrap();
        format(&mut Window::new(&file, 0, 48 * MIB), 1).unwrap();
        let volume = Volume::open(Window::new(&file, 0, 48 * MIB)).unwrap();
        volume.write("grub.cfg", b"boot").unwrap();
        volume.close().unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program; `{name}` stands for a path in the depot.
    pub(crate) fn run(&self, words: &str) -> Run {
        let words = words.split_whitespace().map(|word| {
            match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
                Some(name) => self.path(name).into_os_string(),
                None => word.into(),
            }
        });
        let mut program = Command::new(env!("CARGO_BIN_EXE_storebox-image"));
        let Output { status, stdout, stderr } =
            program.args(words).stdin(Stdio::null()).output().unwrap();
        Run {
            code: status.code(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    pub(crate) fn flash(&self, to: &Path) -> Run {
        let to = to.display();
        self.run(&format!("flash {{box.sbx}} --trust {{release.key.pub}} --yes --to {to}"))
    }

    pub(crate) fn verify(&self, on: &Path) -> Run {
        let on = on.display();
        self.run(&format!("verify {{box.sbx}} --trust {{release.key.pub}} --on {on}"))
    }
}

/// Bytes without a pattern that a file system or a test could guess.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len / 8).flat_map(|_| next()).collect()
}

/// Says why a test cannot run here; where everything should be there, that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("skipped: {why}");
}

/// Runs a program of the system, or nothing if it is not installed.
pub(crate) fn system(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(_) => {
            skip(&format!("{program} is not installed"));
            None
        }
    }
}
