//! Standing publications of head office.

use super::replica::{Ground, path};
use super::sources::{locker, secret};
use super::{Basics, RoleError};
use crate::replica::board::Board;
use crate::replica::publisher::{Publisher, Standing};
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
            status.lines.extend(line(&to, &standing.borrow()));
        });
    }
    Ok(())
}

/// What is said of a publication; nothing before the first attempt has ended.
fn line(to: &str, standing: &Standing) -> Option<LineStatus> {
    let Standing { feeds, error, is_known } = standing;
    let at: Vec<_> = feeds.iter().map(|(feed, position)| format!("{feed} at {position}")).collect();
    let at = at.join(", ");
    let detail = match error {
        None => at,
        Some(error) if at.is_empty() => error.clone(),
        Some(error) => format!("{error}; there: {at}"),
    };
    is_known.then(|| LineStatus {
        to: to.to_owned(),
        service: "publication".to_owned(),
        up: error.is_none(),
        is_refused: false,
        since: None,
        detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_that_failed_says_why_and_what_is_there_and_none_says_nothing() {
        let mut standing = Standing::default();
        assert!(line("stick", &standing).is_none(), "nothing is known before it was tried");
        standing.is_known = true;
        standing.error = Some("write to the storage".to_owned());
        let told = line("stick", &standing).unwrap();
        assert_eq!((told.up, told.detail.as_str()), (false, "write to the storage"));
        let at = storebox_proto::feed::Position { epoch: 1, revision: 7 };
        standing.feeds.insert("estate".parse().unwrap(), at);
        let told = line("stick", &standing).unwrap().detail;
        assert_eq!(told, format!("write to the storage; there: estate at {at}"));
        standing.error = None;
        let told = line("stick", &standing).unwrap();
        assert_eq!((told.up, told.detail), (true, format!("estate at {at}")));
    }
}
