use storebox_peripherals::line::Line;
use storebox_peripherals::scale::{PricedAsk, Setup, Unit, Weight};
use storebox_peripherals::sim::scale::{Act, ScaleSim};
use storebox_peripherals::sim::script::Script;

use super::*;
use crate::env;

fn price(unit_price: u32) -> Ask {
    Ask::Price(PricedAsk { unit_price, tare: None, text: None })
}

fn sold(unit_price: u32) -> Outcome {
    let weight = Weight::parse(b"0.316", Unit::Kilogram).unwrap();
    let priced = Some(Priced { unit_price, amount: 390 });
    Outcome::Stable(Measured { weight, kind: Kind::Unstated, at_zero: None, priced })
}

fn craft(setup: Setup) -> ScaleCraft {
    let way = Way { model: Model::Toledo8217, setup, confirms: true };
    let (seen, _) = watch::channel(None);
    ScaleCraft::new("scale".parse().unwrap(), way, Audience::default(), seen)
}

fn told(craft: &ScaleCraft) -> Option<Weighing> {
    let seen = craft.seen.borrow().clone();
    seen.map(|seen| seen.tell(seen.at))
}

/// Carries what was asked to a simulated scale and its answers back.
fn turn(
    craft: &mut ScaleCraft,
    line: &mut Box<dyn Weigher>,
    sim: &mut ScaleSim,
    now: &mut Instant,
) {
    line.handle_timeout(*now);
    while let Some(transmit) = line.poll_transmit() {
        sim.handle_input(&transmit.bytes, *now);
        while let Some(answer) = sim.poll_transmit() {
            line.handle_input(&answer.bytes, *now);
        }
    }
    while let Some(event) = line.poll_event() {
        craft.hear(event, *now);
    }
    *now += Duration::from_secs(1);
}

#[test]
fn nothing_new_confirms_no_weight_from_before_a_tare() {
    let mut craft = craft(Setup::default());
    let mut line = craft.line();
    let mut sim = ScaleSim::new(Model::Toledo8217, Script::default());
    let mut now = env::instant();
    line.handle_opened(now);
    sim.act(Act::Put(1250));
    for _ in 0..3 {
        turn(&mut craft, &mut line, &mut sim, &mut now);
        assert_eq!(told(&craft).unwrap().weight.unwrap(), "1.250", "confirmed");
        assert!(craft.settled.is_some());
    }
    let (answer, _answered) = oneshot::channel();
    let deed = Command::Do { ask: Ask::Tare, until: now + Duration::from_secs(60), answer };
    craft.take(&mut line, deed, now);
    assert_eq!(craft.settled, None);
    for _ in 0..5 {
        turn(&mut craft, &mut line, &mut sim, &mut now);
        assert_eq!(craft.settled, None, "a weight from before the tare");
    }
}

#[test]
fn nothing_new_confirms_neither_a_lost_weight_nor_one_of_another_kind() {
    let mut craft = craft(Setup::default());
    let at = env::instant();
    let read = |craft: &mut ScaleCraft, outcome: Outcome, is_first: bool| {
        craft.read(Reading { outcome, at, raw: Vec::new(), is_first });
        craft.settled
    };
    let Outcome::Stable(sold) = sold(0) else { panic!("it is stable") };
    let gross = Outcome::Stable(Measured { kind: Kind::Gross, ..sold });
    let nothing_new = |kind| Outcome::Unchanged { kind };
    assert!(read(&mut craft, gross.clone(), true).is_some());
    assert!(read(&mut craft, nothing_new(Kind::Gross), true).is_some());
    assert_eq!(read(&mut craft, nothing_new(Kind::Net), true), None);
    assert_eq!(read(&mut craft, nothing_new(Kind::Gross), true), None);
    assert!(read(&mut craft, gross.clone(), true).is_some());
    assert_eq!(read(&mut craft, nothing_new(Kind::Gross), false), None, "asked again");
    assert_eq!(read(&mut craft, gross, false), None, "another one may be under way");
}

#[test]
fn a_scale_that_is_set_to_pounds_weighs_in_pounds() {
    let mut craft = craft(Setup { unit: Some(Unit::Pound), ..Setup::default() });
    let mut line = craft.line();
    let now = env::instant();
    line.handle_opened(now);
    line.handle_input(b"\x0212.34\r", now);
    while let Some(event) = line.poll_event() {
        craft.hear(event, now);
    }
    let told = told(&craft).unwrap();
    assert_eq!((told.weight.as_deref(), told.unit.as_deref()), (Some("12.34"), Some("lb")));
}

#[test]
fn a_price_that_another_till_asked_for_answers_nobody_else() {
    assert!(answers(&price(1234), &sold(1234)) && answers(&Ask::Weigh, &sold(1234)));
    assert!(!answers(&price(1000), &sold(1234)));
}

#[test]
fn a_scale_that_computes_with_another_price_refuses_only_who_wanted_this_one() {
    let other = Outcome::OtherPrice { unit_price: 1234 };
    assert!(concerns(&price(1000), &other));
    assert!(!concerns(&price(1234), &other) && !concerns(&Ask::Weigh, &other));
    assert!(concerns(&Ask::Weigh, &Outcome::NoReply));
}
