//! Settled transactions on their way from head office to the company's systems.

use storebox_proto::ids::SinkId;

use super::replica::path;
use super::{Basics, RoleError};
use crate::config::DeliverTo;
use crate::sink::{Figures, Runner, RunnerOptions, Target};
use crate::status::{DeliveryStatus, LineStatus, PanelBuilder};
use crate::uplink::Ledger;

/// Starts a task for each `[[deliver]]`.
pub(super) fn start(
    basics: &Basics<'_>,
    ledger: &Ledger,
    panel: &mut PanelBuilder,
) -> Result<(), RoleError> {
    let config = basics.config;
    for deliver in &config.deliveries {
        let id = deliver.id.clone();
        let target = Target::new(deliver, &config.node, basics.key, basics.lines)
            .map_err(|source| RoleError::Delivery { id: id.to_string(), source })?;
        let dir = path(basics, "deliver");
        let options =
            RunnerOptions { id: id.clone(), kinds: deliver.kinds.clone(), dir: dir.clone() };
        let runner = Runner::new(options, ledger.clone(), target)
            .map_err(|source| RoleError::File { path: dir, source })?;
        report(id.clone(), deliver.to, deliver.url.clone(), runner.figures(), panel);
        basics.supervisor.spawn_owner(format!("deliver {id}"), |stop| runner.run(stop));
    }
    Ok(())
}

fn report(
    id: SinkId,
    to: DeliverTo,
    url: String,
    figures: impl Fn() -> Figures + Send + Sync + 'static,
    panel: &mut PanelBuilder,
) {
    let word = match to {
        DeliverTo::Postgres => "postgres",
        DeliverTo::Nats => "nats",
        DeliverTo::Http => "http",
        DeliverTo::Files => "files",
    };
    panel.add(move |status| {
        let Figures { position, delivered, aside, failing } = figures();
        let settled = status.ledger.as_ref().map_or(0, |ledger| ledger.settled);
        let behind = settled.saturating_sub(position);
        let count = |number: u64, what: &str| (number > 0).then(|| format!("{number} {what}"));
        let parts = [failing.clone(), count(behind, "to go"), count(aside, "set aside")];
        status.lines.push(LineStatus {
            to: url.clone(),
            service: format!("deliver {id}"),
            up: failing.is_none(),
            detail: parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
            is_refused: false,
            since: None,
        });
        status.deliveries.push(DeliveryStatus {
            id: id.to_string(),
            to: word.to_owned(),
            position,
            behind,
            delivered,
            aside,
            failing,
        });
    });
}
