//! What a stranger expects of a repository: licences, pinned versions, one table of lints.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::source;

const SAMPLE_BYTES_MAX: u64 = 1_000_000;
/// What the long-term release of Yocto has.
const IMAGE_RUST: &str = "1.94";

#[test]
fn every_crate_takes_its_settings_from_the_workspace() {
    let manifests = source::ending("Cargo.toml");
    assert!(manifests.len() >= 6);
    for manifest in manifests.iter().filter(|m| m.path != "Cargo.toml") {
        for setting in ["edition", "version", "rust-version", "license", "publish"] {
            let line = format!("{setting}.workspace = true");
            assert!(manifest.text.contains(&line), "{}: {line}", manifest.path);
        }
        let lints = "[lints]\nworkspace = true";
        assert!(manifest.text.contains(lints), "{}: lints", manifest.path);
        let own = manifest.text.lines().find(|line| line.contains("version = \""));
        assert_eq!(own, None, "{}: versions belong into the workspace", manifest.path);
    }
}

#[test]
fn versions_are_pinned_and_the_toolchain_is_the_one_of_the_image() {
    let read = |path: &str| fs::read_to_string(source::root().join(path)).unwrap();
    assert!(read("Cargo.lock").contains("name = \"storebox-proto\""));
    assert!(!read(".gitignore").contains("Cargo.lock"));
    assert!(read("Cargo.toml").contains(&format!("rust-version = \"{IMAGE_RUST}\"")));
}

/// What of the language itself is newer is clippy's to find (`incompatible_msrv`, which every run denies).
#[test]
fn no_crate_asks_for_a_newer_compiler_than_the_image_has() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = std::process::Command::new(cargo);
    command.args(["metadata", "--offline", "--locked", "--format-version", "1"]);
    let output = command.current_dir(source::root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "all crates are told");
    let number = |text: &str| -> Vec<u32> {
        text.split('.').take(2).map(|part| part.parse().unwrap_or(0)).collect()
    };
    for package in packages {
        let Some(version) = package["rust_version"].as_str() else { continue };
        assert!(number(version) <= number(IMAGE_RUST), "{}: {version}", package["id"]);
    }
}

#[test]
fn licences_are_at_the_root() {
    for name in ["LICENSE", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(source::root().join(name).is_file(), "{name}");
    }
}

#[test]
fn the_sample_is_small_and_says_where_it_comes_from() {
    let folder = source::root().join("tests/data/complete-journey");
    let notice = fs::read_to_string(folder.join("NOTICE.md")).unwrap();
    for word in ["84.51°", "MIT", "James Cunningham", "Brad Boehmke", "Made up"] {
        assert!(notice.contains(word), "the notice names {word}");
    }
    let sizes = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert!(sizes.sum::<u64>() <= SAMPLE_BYTES_MAX);
}

#[test]
fn scripts_can_be_run() {
    for script in [".ci/run", "tests/run", "tests/processors", "image/trial", "yocto/check"] {
        let file = source::root().join(script);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{script} is executable");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("#!/usr/bin/env bash\n"), "{script}: interpreter");
        assert!(text.contains("set -euo pipefail"), "{script} stops at the first error");
    }
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let path = "appliance/server/storebox.toml";
    let text = fs::read_to_string(source::root().join(path)).unwrap();
    let mut explained = false;
    for (number, line) in text.lines().enumerate() {
        let setting = line.strip_prefix('#').unwrap_or(line);
        if is_setting(setting) {
            assert!(explained, "{path}:{}: {setting} has no comment above it", number + 1);
        } else {
            explained = line.starts_with("# ");
        }
    }
}

/// `key = value`, also when it is commented out without a space.
fn is_setting(line: &str) -> bool {
    let key = line.split(" = ").next().unwrap_or_default();
    line.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// `yocto/crates` writes that list; bitbake fetches by it and knows nothing of the lock file.
#[test]
fn the_recipes_crates_are_those_of_the_lock_file() {
    let read = |path: &str| std::fs::read_to_string(source::root().join(path)).unwrap();
    let recipe = read("yocto/meta-storebox/recipes-core/storebox/storebox-crates.inc");
    let lock = read("Cargo.lock");
    let field = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
    };
    let mut wanted = Vec::new();
    for package in lock.split("[[package]]") {
        let Some(checksum) = field(package, "checksum") else { continue };
        let (name, version) = (field(package, "name").unwrap(), field(package, "version").unwrap());
        wanted.push(format!("SRC_URI[{name}-{version}.sha256sum] = \"{checksum}\""));
    }
    let listed: Vec<&str> = recipe.lines().filter(|line| line.starts_with("SRC_URI[")).collect();
    assert!(wanted.len() > 100, "the lock file was not understood");
    assert_eq!(listed, wanted, "run yocto/crates");
}
