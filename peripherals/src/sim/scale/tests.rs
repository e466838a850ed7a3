use super::*;
use crate::line::start;
use crate::scale::{Ask, Event, Outcome, Pace, PricedAsk, Unit, Weigher, Weight};

/// What a driver makes of a simulated scale.
fn asked(model: Model, acts: &[Act], ask: Ask) -> Vec<Event> {
    let mut now = start();
    let mut sim = ScaleSim::new(model, Script::default());
    let mut driver = model.driver(&crate::scale::Setup::default(), Pace { every: None, tries: 3 });
    acts.iter().for_each(|act| sim.act(*act));
    sim.handle_opened(now);
    driver.handle_opened(now);
    if !sim.streams() {
        driver.ask(ask, now);
    }
    for _ in 0..200 {
        while let Some(transmit) = driver.poll_transmit() {
            sim.handle_input(&transmit.bytes, now);
        }
        sim.handle_timeout(now);
        while let Some(transmit) = sim.poll_transmit() {
            driver.handle_input(&transmit.bytes, now);
        }
        let events: Vec<_> = std::iter::from_fn(|| driver.poll_event()).collect();
        if !events.is_empty() {
            return events;
        }
        now += Duration::from_millis(100);
        driver.handle_timeout(now);
    }
    Vec::new()
}

fn outcome(model: Model, acts: &[Act]) -> Outcome {
    match asked(model, acts, question(model)).as_slice() {
        [Event::Reading(reading), ..] => reading.outcome.clone(),
        other => panic!("{model:?} answered {other:?}"),
    }
}

fn question(model: Model) -> Ask {
    if model == Model::Dialog06 {
        Ask::Price(PricedAsk { unit_price: 1999, tare: None, text: None })
    } else {
        Ask::Weigh
    }
}

#[test]
fn every_driver_reads_the_weight_its_scale_shows() {
    for model in Model::ALL {
        let Outcome::Stable(measured) = outcome(model, &[Act::Put(1250)]) else {
            panic!("{model:?} gave no weight")
        };
        // The 8213 has two decimals.
        let expected = Weight::new(1250, 3, Unit::Kilogram).unwrap().micrograms();
        assert_eq!(measured.weight.micrograms(), expected, "{model:?}");
    }
}

#[test]
fn no_driver_gives_a_number_to_sell_by_when_something_is_wrong() {
    for model in Model::ALL {
        for acts in [
            &[Act::Put(1250), Act::Move][..],
            &[Act::Put(CAPACITY_GRAMS + 1)],
            &[Act::Put(-50)],
            &[Act::Put(1250), Act::Mute],
        ] {
            for event in asked(model, acts, question(model)) {
                if let Event::Reading(reading) = event {
                    assert_eq!(reading.sellable(), None, "{model:?} {acts:?}");
                }
            }
        }
    }
}

#[test]
fn a_garbled_answer_is_asked_again_and_the_right_one_taken() {
    for model in [Model::Toledo8217, Model::Nci, Model::Sma, Model::Sics, Model::CasPos, Model::And]
    {
        let outcome = outcome(model, &[Act::Put(1250), Act::Garble]);
        // A 8217 has reported the weight with the answer that was garbled.
        let fine = matches!(outcome, Outcome::Stable(_) | Outcome::Unchanged { .. });
        assert!(fine, "{model:?}: {outcome:?}");
    }
}

#[test]
fn zero_and_tare_work_where_the_protocol_has_them() {
    for model in [Model::Toledo8217, Model::Nci, Model::Sma, Model::Sics] {
        assert_eq!(asked(model, &[Act::Put(20)], Ask::Zero), [Event::Done(Ask::Zero)], "{model:?}");
        let refused = asked(model, &[Act::Put(5000)], Ask::Zero);
        assert!(matches!(refused.as_slice(), [Event::Refused { .. }]), "{model:?}");
    }
    for model in [Model::Toledo8217, Model::Sma, Model::Sics] {
        assert_eq!(
            asked(model, &[Act::Put(250)], Ask::Tare),
            [Event::Done(Ask::Tare)],
            "{model:?}"
        );
    }
}

#[test]
fn acts_are_read_as_a_person_types_them() {
    assert_eq!("1.250".parse(), Ok(Act::Put(1250)));
    assert_eq!("-0.05".parse(), Ok(Act::Put(-50)));
    assert_eq!("moving".parse(), Ok(Act::Move));
    assert_eq!("heavy".parse::<Act>(), Err(UnknownAct));
}
