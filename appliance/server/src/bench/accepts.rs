//! Transactions taken durably: every answer comes after the flush.

use std::path::Path;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use storebox_proto::sync::outbox::SinkDef;
use storebox_proto::ticket::Envelope;
use tokio::task::JoinSet;

use super::Error;
use super::table::{row, spread};
use crate::demo::dataset::{Dataset, Ticket};
use crate::demo::till::mint_key;
use crate::env;
use crate::uplink::{Outbox, OutboxOptions};

/// Producers at the same time.
const PRODUCERS: [usize; 3] = [1, 8, 64];
/// How long each number of producers works.
const WORK: Duration = Duration::from_secs(3);
/// Real tickets that are sold again and again.
const TICKETS: usize = 500;

/// Measures every number of producers on an outbox of its own.
pub(super) async fn measure(data: &Dataset, dir: &Path) -> Result<(), Error> {
    let tickets = data.tickets(TICKETS)?;
    for producers in PRODUCERS {
        let dir = dir.join(format!("outbox-{producers}"));
        let sink = SinkDef { id: "main".parse().expect("a literal name"), authoritative: true };
        let node = "bench".parse().expect("a literal name");
        let signer = SigningKey::from_bytes(&env::random());
        let opened = Outbox::open(OutboxOptions::new(dir, vec![sink], node, signer))?;
        let mut times = work(&opened.outbox, &tickets, producers).await?;
        let rate = times.len() as f64 / WORK.as_secs_f64();
        let value = format!("{rate:.0} a second, {}", spread(&mut times));
        row(&format!("durable accepts, {producers} producers"), &value);
        opened.outbox.stop().await;
    }
    Ok(())
}

async fn work(
    outbox: &Outbox,
    tickets: &[Ticket],
    producers: usize,
) -> Result<Vec<Duration>, Error> {
    let mut running = JoinSet::new();
    for producer in 0..producers {
        let mut tickets = tickets.to_vec();
        tickets.rotate_left(producer * 7 % TICKETS);
        running.spawn(produce(outbox.clone(), tickets, producer));
    }
    let mut times = Vec::new();
    while let Some(done) = running.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

/// One till: the next transaction when the last one is confirmed.
async fn produce(
    outbox: Outbox,
    tickets: Vec<Ticket>,
    producer: usize,
) -> Result<Vec<Duration>, Error> {
    let begun = env::instant();
    let mut times = Vec::new();
    for (sequence, ticket) in (1..).zip(tickets.iter().cycle()) {
        if begun.elapsed() >= WORK {
            break;
        }
        let envelope = envelope(ticket, producer, sequence);
        let asked = env::instant();
        outbox.accept(envelope).await?;
        times.push(asked.elapsed());
    }
    Ok(times)
}

fn envelope(ticket: &Ticket, producer: usize, sequence: u64) -> Envelope {
    let rule = "made from letters, digits, ':' and '-'";
    Envelope {
        key: mint_key(),
        kind: "Order".parse().expect(rule),
        terminal: format!("till-{producer}").parse().expect(rule),
        epoch: 1,
        sequence,
        lane: format!("ticket:{producer}-{sequence}").parse().expect(rule),
        depends_on: vec![],
        session: Some(format!("till-{producer}-1")),
        occurred_at: env::timestamp(),
        clock: env::clock_confidence(),
        payload: ticket.content(),
    }
}
