//! Standing publications of head office.

use super::replica::{Ground, path};
use super::sources::{locker, secret};
use super::{Basics, RoleError};
use crate::replica::board::Board;
use crate::replica::publisher::Publisher;
use crate::replica::storage::{Settings, Storage};
use crate::status::{LineStatus, PanelBuilder};
use crate::update::Blocks;

/// Starts a publisher for each storage that the configuration names.
pub(super) fn start(
    basics: &Basics<'_>,
    ground: &Ground,
    authored: &Board,
    blocks: &Blocks,
    panel: &mut PanelBuilder,
) -> Result<(), RoleError> {
    for entry in &basics.config.publish {
        let settings = Settings {
            url: entry.url.clone(),
            user: entry.user.clone(),
            secret: secret(&entry.secret_file)?,
            endpoint: entry.endpoint.clone(),
            region: entry.region.clone(),
            ca_file: entry.ca_file.clone(),
        };
        let storage = Storage::open(settings, basics.lines)?;
        let storage = storage.locked(locker(basics, &entry.ring));
        let to = storage.name().to_owned();
        let keys = vec![basics.key.verifying_key()];
        let memory = path(basics, &format!("published-{}", entry.id));
        let publisher = Publisher::new(storage, authored.clone(), ground.segments.clone(), keys);
        let publisher = publisher.remembering(&memory).with_blocks(blocks.store());
        let standing = publisher.standing();
        let name = format!("publisher {}", entry.id);
        basics.supervisor.spawn_owner(name, |stop| publisher.run(stop));
        panel.add(move |status| {
            let standing = standing.borrow().clone();
            let at = standing.last.iter().flat_map(|last| &last.feeds);
            let at: Vec<_> = at.map(|(feed, position)| format!("{feed} at {position}")).collect();
            status.lines.push(LineStatus {
                to: to.clone(),
                service: "publication".to_owned(),
                up: standing.error.is_none(),
                is_refused: false,
                since: None,
                detail: standing.error.unwrap_or_else(|| at.join(", ")),
            });
        });
    }
    Ok(())
}
