//! The demo itself: what the README promises of `demo --once`.

use std::process::Command;

#[test]
fn the_demo_ends_with_a_verdict_and_its_exit_code() {
    let demo = |choices: &[&str]| {
        let executable = env!("CARGO_BIN_EXE_storebox-under-test");
        let output = Command::new(executable).args(["demo", "--once"]).args(choices).output();
        let output = output.expect("the program that was just built starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said, complaint) = demo(&["--tickets", "60", "--tills", "3", "--seconds", "2"]);
    assert_eq!(code, Some(0), "{said}\n{complaint}");
    for words in [
        "THE LINE IS CUT",
        "72 tickets",
        "12 sales by weight, 12 on paper exactly once",
        "exactly what the tills sold",
        "it holds",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, _, complaint) = demo(&["--data", "nowhere"]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("--data"), "{complaint}");
}
