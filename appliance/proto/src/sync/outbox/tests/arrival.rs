//! What a box takes back from its mirror comes in any order.

use super::*;

fn needs(number: u64, terminal: &str, sequence: u64, needed: &[u64]) -> Meta {
    let depends_on = needed.iter().map(|number| key(*number)).collect();
    Meta { depends_on, ..meta(number, terminal, sequence, "ticket:1") }
}

/// Everything is taken; tells in which order.
fn taken(outbox: &mut Outbox) -> Vec<u64> {
    let mut taken = Vec::new();
    loop {
        let batch = sent(outbox.poll(&sink("main"), start()));
        if batch.is_empty() {
            return taken;
        }
        let answers: Vec<_> = batch.iter().map(|position| (*position, Verdict::Taken)).collect();
        answer(outbox, &answers, start());
        taken.extend(batch);
    }
}

#[test]
fn an_epoch_that_came_first_stays_behind_the_one_before_it() {
    let mut outbox = outbox(Limits::default(), &[]);
    let cash_up = Meta {
        kind: CASH_UP.parse().unwrap(),
        session: Some("till-1-2".to_owned()),
        epoch: 2,
        ..meta(4, "till-1", 3, "session:till-1-2")
    };
    let payment = Meta { epoch: 2, session: cash_up.session.clone(), ..needs(3, "till-1", 2, &[]) };
    let cash_up = accept(&mut outbox, &cash_up);
    let later = accept(&mut outbox, &payment);
    let ship = accept(&mut outbox, &Meta { epoch: 2, ..meta(2, "till-1", 1, "ticket:1") });
    let order = accept(&mut outbox, &meta(1, "till-1", 7, "ticket:1"));
    assert_eq!(taken(&mut outbox), [order, ship, later, cash_up]);
}

#[test]
fn what_depends_on_an_entry_stays_behind_it_also_if_another_till_made_it() {
    let mut outbox = outbox(Limits::default(), &[]);
    let invoice = accept(&mut outbox, &needs(3, "till-3", 1, &[2]));
    let stranger = accept(&mut outbox, &meta(4, "till-4", 1, "ticket:1"));
    let payment = accept(&mut outbox, &needs(2, "till-2", 1, &[1]));
    let order = accept(&mut outbox, &meta(1, "till-1", 1, "ticket:1"));
    assert_eq!(taken(&mut outbox.clone()), [order, payment, invoice, stranger]);

    assert_eq!(sent(outbox.poll(&sink("main"), start())), [order]);
    answer(&mut outbox, &[(order, refused())], start());
    assert_eq!(sent(outbox.poll(&sink("main"), start())), [0; 0]);
    assert_eq!(outbox.quarantined(), 1, "and nothing else waits in a circle");
}
