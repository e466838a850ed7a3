//! The slots as RAUC and a person on the box see them.

use std::fs;

use crate::depot::{Depot, Run};

struct Machine {
    depot: Depot,
}

impl Machine {
    fn new() -> Self {
        let depot = Depot { dir: tempfile::tempdir().unwrap() };
        fs::write(depot.path("cmdline"), "quiet rauc.slot=A\n").unwrap();
        let machine = Self { depot };
        machine.ask("new").ok();
        machine
    }

    fn ask(&self, words: &str) -> Run {
        self.depot.run(&format!("slots --env {{grubenv}} --cmdline {{cmdline}} {words}"))
    }
}

#[test]
fn rauc_gets_its_answers_and_the_block_keeps_its_length() {
    let machine = Machine::new();
    machine.ask("set-state B bad").failed(3, "its way back must stay");
    machine.ask("set-state A good").ok();
    machine.ask("set-state B bad").ok();
    assert_eq!(machine.ask("get-primary").ok(), "A\n");
    machine.ask("set-primary B").ok();
    assert_eq!(machine.ask("get-primary").ok(), "B\n");
    assert_eq!(machine.ask("get-state B").ok(), "good\n");
    let shown = machine.ask("show").ok();
    assert!(shown.starts_with("next start: slot B\nslot A: confirmed, 0 starts"), "{shown}");
    assert_eq!(fs::read(machine.depot.path("grubenv")).unwrap().len(), 1024);
}

#[test]
fn a_torn_block_is_healed_by_the_next_confirmation() {
    let machine = Machine::new();
    fs::write(machine.depot.path("grubenv"), b"").unwrap();
    assert_eq!(machine.ask("get-primary").ok(), "A\n");
    machine.ask("set-state A good").ok();
    assert!(machine.ask("show").ok().contains("slot A: confirmed"));
    machine.ask("set-state A fine").failed(1, "is no request of RAUC");
}
