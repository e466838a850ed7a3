//! Head office: authors masterdata and settles transactions.

use storebox_proto::feed::Registry;
use utoipa_axum::router::OpenApiRouter;

use super::replica::{self, Feeding, Ground, Started, path};
use super::{Basics, RoleError, intakes, publish, releases, strikes, transactions};
use crate::channel::script;
use crate::env;
use crate::http::feeds::{self, operator, storage};
use crate::replica::author::{Author, Options};
use crate::replica::board::Board;
use crate::replica::import::Limits;
use crate::replica::office::Office;
use crate::replica::sources::Sources;
use crate::status::{FeedStatus, PanelBuilder};

/// Starts the parts of the role.
pub(super) async fn start(
    basics: &Basics<'_>,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    let ground = Ground::open(basics)?;
    let authored = Board::new(Registry::built_in().feeds());
    let author = Author::open(
        &path(basics, "author"),
        ground.segments.clone(),
        basics.key.clone(),
        authored.clone(),
        Options::new(first_epoch()),
    )?;
    let spool = path(basics, "spool");
    std::fs::create_dir_all(&spool)
        .map_err(|source| RoleError::File { path: spool.clone(), source })?;
    let limits = Limits { script: script::check, ..Limits::default() };
    let office = Office::new(author, &spool, limits);
    basics.supervisor.spawn_owner("author", |stop| office.clone().run(stop));
    intakes::start(basics, &office, panel)?;
    if let Some(porch) = basics.porch {
        let (porch, rings) = (porch.clone(), basics.seals.clone());
        basics
            .supervisor
            .spawn_owner("renewal of rings", |stop| strikes::renew(porch, rings, stop));
    }
    let feeding = Feeding {
        sources: Sources::local(authored.clone()),
        address: None,
        keys: vec![basics.key.verifying_key()],
        author_sweeps: true,
    };
    let Started { masterdata, mut routers, .. } = replica::start(basics, &ground, feeding, panel)?;
    let blocks = releases::blocks(basics)?;
    report(authored.clone(), panel);
    publish::start(basics, &ground, &authored, &blocks, panel)?;
    let shelf = storage::Shelf {
        board: authored.clone(),
        segments: ground.segments.clone(),
        blocks: blocks.store(),
        keys: vec![basics.key.verifying_key()],
        lines: basics.lines.clone(),
        seals: basics.seals.clone(),
    };
    let Ground { segments, history, .. } = ground;
    let shutdown = basics.supervisor.root();
    let releases = blocks.store();
    let sync = feeds::Sync { board: authored, segments, releases, history, shutdown };
    routers.push(releases::offer(basics, office.clone(), masterdata.clone(), blocks));
    routers.extend([feeds::routes(sync), operator::office_routes(office, Some(masterdata))]);
    routers.push(storage::publish_routes(shelf));
    routers.extend(transactions::start_ledger(basics, panel)?);
    Ok(routers)
}

/// A feed that is published for the first time begins a life that follows every earlier one of its author.
///
/// Seconds since 1970, so that an author who lost its disk is not taken for its former self.
fn first_epoch() -> u64 {
    u64::try_from(env::believable().unix_ms() / 1000).unwrap_or(1)
}

/// At head office a feed stands where its author is, even before the own replica has followed.
fn report(authored: Board, panel: &mut PanelBuilder) {
    panel.add(move |status| {
        for feed in authored.feeds() {
            let Some(posted) = authored.current(&feed) else { continue };
            let head = &posted.head;
            let known = status.feeds.iter_mut().find(|known| known.feed == feed.as_str());
            let (state, last_error) = match known {
                Some(known) => (std::mem::take(&mut known.state), known.last_error.take()),
                None => ("published".to_owned(), None),
            };
            status.feeds.retain(|known| known.feed != feed.as_str());
            status.feeds.push(FeedStatus {
                feed: feed.to_string(),
                epoch: head.epoch,
                revision: head.revision,
                published: head.published,
                records: head.models.iter().map(|model| model.count).sum(),
                excerpt: head.feed.excerpt().map(str::to_owned),
                state,
                last_error,
            });
        }
    });
}
