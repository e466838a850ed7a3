//! The boot loader's script and the machine are two tellings of one thing; this proves it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::grubenv::Env;
use super::tests::every_state;
use super::*;

const SCRIPT: &str = include_str!("../../grub/grub.cfg");

/// The part of the script that chooses, which is also a script of sh.
fn choosing() -> &'static str {
    let (_, rest) = SCRIPT.split_once("\n# choose\n").unwrap();
    rest.split_once("\n# chosen\n").unwrap().0
}

/// A program that chooses in each environment and tells the slot and the variables after it.
fn program(heading: &str, environments: &[Env], end: &str) -> String {
    let told = "echo \"R:$chosen $A_OK $A_TRY $A_CONFIRMED $B_OK $B_TRY $B_CONFIRMED\"";
    let mut program = format!("{heading} {{\n{}\n{told}\n}}\n", choosing());
    for env in environments {
        for name in VARIABLES {
            writeln!(program, "{name}='{}'", env.get(name).unwrap()).unwrap();
        }
        program += "choose\n";
    }
    program + end
}

fn run_by_sh(environments: &[Env]) -> Vec<String> {
    let program = program("choose()", environments, "");
    let mut sh = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = sh.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(program.as_bytes()).unwrap());
    let output = sh.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    told(&output.stdout)
}

/// GRUB as a program of this computer; it wants a terminal, which `script` gives it.
fn run_by_grub(environments: &[Env]) -> Option<Vec<String>> {
    if Command::new("grub-emu").arg("--version").output().is_err() {
        crate::skip("grub-emu (package grub-emu) is not installed");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = program("function choose", environments, "exit\n");
    std::fs::write(dir.path().join("grub.cfg"), text).unwrap();
    let grub = format!("grub-emu -m /dev/null -r host -d {}", dir.path().display());
    let mut script = Command::new("script");
    script.args(["-qc", &grub, "/dev/null"]).stdin(Stdio::null()).env("TERM", "vt100");
    Some(told(&script.output().unwrap().stdout))
}

/// What the program told, without what a terminal adds.
fn told(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let answers = text.split(['\n', '\r']).filter_map(|line| line.split_once("R:"));
    answers.map(|(_, answer)| answer.trim_end().to_owned()).collect()
}

const VARIABLES: [&str; 7] =
    ["ORDER", "A_OK", "A_TRY", "A_CONFIRMED", "B_OK", "B_TRY", "B_CONFIRMED"];

fn line(slot: Slot, state: &State) -> String {
    let mut line = slot.to_string();
    for record in Slot::BOTH.map(|slot| state.record(slot)) {
        let Record { whole, tries, confirmed } = record;
        write!(line, " {} {tries} {}", u8::from(whole), u8::from(confirmed)).unwrap();
    }
    line
}

/// Every state as an environment, and what the machine makes of it.
fn expected() -> (Vec<Env>, Vec<String>) {
    every_state()
        .map(|mut state| {
            let mut env = Env::default();
            env.set_state(&state);
            let choice = state.choose();
            (env, line(choice.slot, &state))
        })
        .unzip()
}

#[test]
fn the_boot_script_and_the_machine_agree_in_every_state() {
    let (environments, expected) = expected();
    assert_eq!(run_by_sh(&environments), expected);
}

#[test]
fn grub_itself_agrees_with_the_machine_in_every_state() {
    let (environments, expected) = expected();
    if let Some(told) = run_by_grub(&environments) {
        assert_eq!(told, expected);
    }
}

#[test]
fn the_boot_script_and_the_machine_agree_on_garbage() {
    let mut environments = Vec::new();
    for order in ["", "B", "B A", "X B A", "A", "b a", "C"] {
        for ok in ["", "0", "1", "yes", "01"] {
            for tries in ["", "-1", "x", "10", "255", "256", "3"] {
                let mut env = Env::default();
                let values = [order, ok, tries, "1", "1", tries, ok];
                for (name, value) in VARIABLES.into_iter().zip(values) {
                    env.set(name, value).unwrap();
                }
                environments.push(env);
            }
        }
    }
    for (env, told) in environments.iter().zip(run_by_sh(&environments)) {
        let slot = env.state().choose().slot.to_string();
        assert_eq!(told.split(' ').next(), Some(slot.as_str()), "{env:?}");
    }
}

#[test]
fn grub_accepts_the_script() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/grub/grub.cfg");
    let Ok(checked) = Command::new("grub-script-check").arg(path).output() else {
        crate::skip("grub-script-check (package grub-common) is not installed");
        return;
    };
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn the_script_finds_the_partitions_where_the_layout_puts_them() {
    let layout = crate::layout::Layout::shipped();
    for (slot, number) in [(Slot::A, 2), (Slot::B, 4)] {
        let role = crate::layout::Role::Kernel(slot);
        let at = layout.places().iter().position(|place| place.role == role).unwrap();
        assert_eq!(at + 1, number);
        let branch = format!("label={}; number={number};", slot.to_string().to_lowercase());
        assert!(SCRIPT.contains(&branch), "{branch}");
    }
}
