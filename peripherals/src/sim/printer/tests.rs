use super::*;
use crate::line::start;
use crate::printer::escpos::{EscPos, encode};
use crate::printer::{Doubt, Job, Level, Printer, Recovery, Trouble, Verdict};
use crate::receipt::{Item, layout::layout, receiptline};

const RECEIPT: &str = "^^\"Corner Shop\"\n---\nTea €|2.50\n日本語|1\n{code:123456;option:hri}\n===";

/// A driver and a simulator, joined by hand.
struct World {
    driver: Printer<EscPos>,
    sim: PrinterSim,
    now: Instant,
    verdicts: Vec<Verdict>,
    troubles: Vec<Option<Trouble>>,
    receipts: Vec<Sheet>,
    connected: bool,
}

impl World {
    fn new(profile: Profile, script: &[&str]) -> Self {
        let now = start();
        let script = Script::parse(script.iter().copied()).unwrap();
        let mut world = Self {
            driver: Printer::new(EscPos::new(profile.clone())),
            sim: PrinterSim::new(profile, script),
            now,
            verdicts: Vec::new(),
            troubles: Vec::new(),
            receipts: Vec::new(),
            connected: true,
        };
        world.driver.handle_opened(now);
        world.sim.handle_opened(now);
        world.settle();
        world
    }

    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some(transmit) = self.driver.poll_transmit() {
                self.sim.handle_input(&transmit.bytes, self.now);
                moved = true;
            }
            if moved && self.connected {
                self.driver.handle_drained(self.now);
            }
            while let Some(transmit) = self.sim.poll_transmit() {
                self.driver.handle_input(&transmit.bytes, self.now);
                moved = true;
            }
            while let Some(event) = self.sim.poll_event() {
                match event {
                    Event::Receipt(sheet) => self.receipts.push(sheet),
                    Event::PowerLost(sheet) => {
                        self.receipts.push(sheet);
                        self.connected = false;
                        self.driver.handle_hangup(self.now);
                    }
                    Event::DrawerOpened(_) | Event::Buzzed | Event::PowerBack => {}
                }
            }
            if !moved {
                break;
            }
        }
        while let Some(event) = self.driver.poll_event() {
            match event {
                crate::printer::Event::Job { verdict, .. } => self.verdicts.push(verdict),
                crate::printer::Event::Status { trouble, .. } => self.troubles.push(trouble),
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut guard = 0;
        while let Some(at) = self.driver.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.driver.handle_timeout(self.now);
            self.settle();
            guard += 1;
            assert!(guard < 10_000, "the driver spins");
        }
        self.now = end;
    }

    fn print(&mut self, number: u64) {
        let body = body(self.driver.dialect().profile());
        self.print_body(number, body);
    }

    fn print_body(&mut self, number: u64, body: Vec<u8>) {
        self.driver.print(Job { number, body }, self.now).unwrap();
        self.settle();
    }
}

fn body(profile: &Profile) -> Vec<u8> {
    let laid = layout(&receiptline::parse(RECEIPT).unwrap(), profile.columns);
    encode(&laid.sheet, profile)
}

#[test]
fn what_was_laid_out_is_what_stands_on_the_paper() {
    for profile in [Profile::epson_t88(), Profile::epson_m30(), Profile::epson_m30_japanese()] {
        let laid = layout(&receiptline::parse(RECEIPT).unwrap(), profile.columns);
        let mut world = World::new(profile.clone(), &[]);
        world.print(1);
        let [sheet] = world.receipts.as_slice() else { panic!("not one receipt") };
        let rows = |sheet: &Sheet| -> Vec<String> {
            let lines = sheet.to_text();
            lines.lines().filter(|line| !line.contains('本')).map(str::to_owned).collect()
        };
        assert_eq!(rows(sheet), rows(&laid.sheet), "{}", profile.name);
        let has_code = sheet.items.iter().any(|item| matches!(item, Item::Barcode { .. }));
        assert!(has_code && world.sim.unknown_bytes() == 0);
    }
}

#[test]
fn every_profile_reaches_the_level_it_can_prove() {
    for (profile, level) in [
        (Profile::epson_t88(), Level::ProcessId),
        (Profile::epson_t20(), Level::Processed),
        (Profile::generic_80(), Level::StatusGood),
        (Profile::mute_80(), Level::HandedOver),
    ] {
        let mut world = World::new(profile, &[]);
        world.print(1);
        world.pass(Duration::from_secs(10));
        assert_eq!(world.verdicts.last(), Some(&Verdict::Printed(level)));
        assert_eq!(world.receipts.len(), 1);
    }
}

#[test]
fn a_roll_that_ends_in_the_middle_goes_on_after_the_new_one() {
    let mut world = World::new(Profile::epson_t88(), &["60b paper-out"]);
    world.print(1);
    world.pass(Duration::from_secs(600));
    assert_eq!((world.verdicts.as_slice(), world.receipts.len()), (&[Verdict::Sent][..], 0));
    assert_eq!(world.troubles.last(), Some(&Some(Trouble::PaperOut)));
    world.sim.act(Act::PaperIn);
    world.settle();
    assert_eq!(world.verdicts, [Verdict::Sent, Verdict::Printed(Level::ProcessId)]);
    assert_eq!(world.receipts.len(), 1);
}

#[test]
fn a_stuck_knife_resumes_on_command_once_it_is_free() {
    let mut world = World::new(Profile::epson_t88(), &["0s cutter-jam"]);
    world.print(1);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.troubles.last(), Some(&Some(Trouble::Cutter)));
    world.sim.act(Act::CutterFree);
    world.driver.recover(Recovery::Resume, world.now).unwrap();
    world.settle();
    assert_eq!(world.verdicts.last(), Some(&Verdict::Printed(Level::ProcessId)));
}

#[test]
fn power_cut_at_every_byte_is_never_called_printed_unless_it_was() {
    let body = body(&Profile::epson_t88());
    let whole = {
        let mut world = World::new(Profile::epson_t88(), &[]);
        world.print_body(1, body.clone());
        world.sim.received
    };
    for at in 1..=whole {
        let step = format!("{at}b power-cut");
        let mut world = World::new(Profile::epson_t88(), &[&step]);
        if !world.connected {
            continue;
        }
        world.print_body(1, body.clone());
        world.pass(Duration::from_secs(300));
        let cut = world.receipts.iter().any(|sheet| sheet.items.last() == Some(&Item::Cut));
        match world.verdicts.last() {
            Some(Verdict::Printed(_)) => assert!(cut, "printed without a receipt at {at}"),
            Some(Verdict::Unknown(Doubt::LinkLost)) => {}
            other => panic!("{other:?} at byte {at}"),
        }
    }
}

#[test]
fn a_drawer_reports_itself_open_and_closed() {
    let mut world = World::new(Profile::epson_t88(), &[]);
    world.print(1);
    world.driver.kick(Drawer::First, world.now).unwrap();
    world.settle();
    assert_eq!(world.driver.status().drawer_high, Some(true));
    world.sim.act(Act::DrawerClose);
    world.settle();
    assert_eq!(world.driver.status().drawer_high, Some(false));
}

#[test]
fn a_drawer_never_springs_open_when_the_paper_comes_back() {
    for profile in [Profile::epson_m30(), Profile::generic_80()] {
        let (mut world, at_once) = (World::new(profile.clone(), &[]), profile.kicks_at_once);
        world.sim.act(Act::PaperOut);
        world.sim.handle_timeout(world.now);
        for _ in 0..8 {
            world.now = world.driver.poll_timeout().unwrap();
            world.driver.handle_timeout(world.now);
            world.settle();
        }
        assert_eq!(world.driver.kick(Drawer::First, world.now).is_ok(), at_once);
        while let Some(transmit) = world.driver.poll_transmit() {
            world.sim.handle_input(&transmit.bytes, world.now);
        }
        let opened = |sim: &mut PrinterSim| {
            let events = std::iter::from_fn(|| sim.poll_event());
            events.filter(|event| matches!(event, Event::DrawerOpened(_))).count()
        };
        assert_eq!(opened(&mut world.sim), usize::from(at_once));
        world.sim.act(Act::PaperIn);
        assert_eq!(opened(&mut world.sim), 0);
    }
}

#[test]
fn a_position_off_the_paper_is_its_right_edge() {
    let mut sim = PrinterSim::new(Profile::epson_m30(), Script::default());
    sim.handle_opened(start());
    sim.handle_input(b"\x1b$\xff\xffx\n", start());
    assert_eq!(sim.uncut().to_text(), "\nx\n");
}

proptest::proptest! {
    #[test]
    fn any_bytes_print_something_or_nothing(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
    ) {
        let mut sim = PrinterSim::new(Profile::epson_m30(), Script::default());
        sim.handle_opened(start());
        sim.handle_input(&bytes, start());
        let _ = crate::receipt::paint::svg(&sim.uncut());
    }
}
