//! python-escpos 3.1 prints on our simulator.

use std::process::Command;

use crate::codes;
use crate::process::{self, Program, python};
use crate::receipts::{EAN, TARGET};

#[test]
fn the_simulated_printer_prints_what_a_foreign_client_sends() {
    let Some(python) = python("python") else { return };
    let paper = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_storebox-sim"));
    command.args(["printer", "--profile", "epson-tm-t88", "--tcp", "127.0.0.1:0", "--png"]);
    let simulator = Program::start(command.arg(paper.path()));
    let heard = simulator.hear("listening on ").expect("the simulator runs");
    let port = heard.last().and_then(|line| line.rsplit_once(':')).expect("it names its address").1;
    let mut client = Command::new(python);
    let Some(said) = process::run(client.arg(process::script("client.py")).arg(port), b"") else {
        return;
    };
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("online True\npaper 2\n"), "{said}");
    let shown = simulator.hear("receipt-0001.png").expect("the simulator runs");
    let text = shown.join("\n");
    for part in [
        "S T O R E B O X",
        "Café Größe Łódź Привет",
        "123456789012345678901234567890123456789012",
        "[Ean 4006381333931]",
        "after the pictures",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let pictures: Vec<&str> = text.lines().filter(|line| line.contains("[picture of")).collect();
    assert_eq!(pictures.len(), 4, "{text}");
    // After the QR code; columns come in bands of 24 rows.
    let sizes = ["200 by 40", "200 by 48", "200 by 40"];
    for (picture, size) in pictures.into_iter().skip(1).zip(sizes) {
        assert!(picture.contains(size), "{picture}");
    }
    assert!(text.contains("the drawer opens: First"), "{text}");
    let png = std::fs::read(paper.path().join("receipt-0001.png")).expect("it was drawn");
    let Some(read) = codes::read(&png) else { return };
    assert_eq!(read, [format!("EAN-13:{EAN}"), format!("QR-Code:{TARGET}")]);
}
