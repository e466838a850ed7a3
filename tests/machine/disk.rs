//! The machine's disk: an archive with the programs under test, the kernel's modules and what happens at its start.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

const CONFIGURATION: &str = r#"role = "store"
node = "inside"
data_dir = "/data"
[http]
listen = ["127.0.0.1:8080"]
[[device]]
id = "printer"
kind = "printer"
at = "usb:04b8:0202:PR1"
model = "epson-tm-m30"
[[device]]
id = "scale"
kind = "scale"
at = "usb:0eb8:2200:SC1"
model = "toledo8217"
"#;
const PROGRAMS: [(&str, &str); 2] = [
    ("storebox", env!("CARGO_BIN_EXE_storebox-under-test")),
    ("storebox-sim", env!("CARGO_BIN_EXE_storebox-sim-under-test")),
];

/// Where `tests/setup` puts the kernel and its modules.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/machine")
}

/// The machine's kernel.
pub(crate) fn kernel() -> PathBuf {
    installed().join("vmlinuz")
}

/// Why no machine can run here.
pub(crate) fn missing() -> Option<String> {
    let runs = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if !cfg!(target_arch = "x86_64") {
        return Some("the machine is an x86-64 one and runs programs of that kind only".to_owned());
    }
    if let Some(program) =
        ["qemu-system-x86_64", "busybox", "strip", "ldd"].iter().find(|p| !runs(p))
    {
        return Some(format!("{program} is not installed; tests/setup installs it"));
    }
    let kernel = kernel();
    (!kernel.exists())
        .then(|| format!("{} is not there; tests/setup unpacks Debian's kernel", kernel.display()))
}

/// Packs the disk into this folder and returns its path.
pub(crate) fn pack(folder: &Path) -> anyhow::Result<PathBuf> {
    let root = folder.join("root");
    for name in ["bin", "m", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(name))?;
    }
    copy_modules(&root.join("m"))?;
    let busybox = run(Command::new("sh").args(["-c", "command -v busybox"]))?;
    fs::copy(busybox.trim(), root.join("bin/busybox"))?;
    for (name, program) in PROGRAMS {
        run(Command::new("strip").arg("-o").arg(root.join("bin").join(name)).arg(program))?;
        copy_libraries(program, &root)?;
    }
    fs::write(root.join("box.toml"), CONFIGURATION)?;
    let init = root.join("init");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("machine/init"), &init)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let disk = folder.join("disk.cpio");
    let packed = Command::new("sh")
        .args(["-c", "find . | busybox cpio -o -H newc"])
        .current_dir(&root)
        .stdout(File::create(&disk)?)
        .stderr(Stdio::null())
        .status()?;
    ensure!(packed.success(), "busybox cpio failed");
    Ok(disk)
}

fn copy_modules(to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(installed())? {
        let entry = entry?;
        let name = entry.file_name();
        if name != "vmlinuz" {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// The libraries a program is linked with, at the same paths.
fn copy_libraries(program: &str, root: &Path) -> anyhow::Result<()> {
    let listed = run(Command::new("ldd").arg(program))?;
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a library is in a folder")?)?;
        fs::copy(library, to)?;
    }
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
