//! The shop: replicates masterdata, serves tills, keeps their transactions until they are settled.

use std::time::Duration;

use storebox_proto::feed::Registry;
use utoipa_axum::router::OpenApiRouter;

use super::giving_way::GivingWay;
use super::line::{self, Line};
use super::replica::{self, Feeding, Ground, Started};
use super::{Basics, RoleError, devices, token, transactions};
use crate::config::Main;
use crate::http::feeds;
use crate::replica::board::Board;
use crate::replica::reporter::Reporter;
use crate::replica::source::{HttpSource, Source};
use crate::replica::till_changes::TillChanges;
use crate::status::PanelBuilder;

/// One object of a feed arrives within this, or is asked for again.
const OBJECT_MAX: Duration = Duration::from_secs(30);

/// Starts the parts of the role.
pub(super) async fn start(
    basics: &Basics<'_>,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    let ground = Ground::open(basics)?;
    let line = line::open(basics)?;
    let feeding = feeding(&basics.config.main, &line)?;
    let source = feeding.source.clone();
    let Started { masterdata, nudge, mut routers } =
        replica::start(basics, &ground, feeding, panel)?;
    let Ground { segments, board, history } = ground;
    if let Source::Http(source) = source {
        let reported = replica::path(basics, "history.reported");
        let reporter = Reporter::new(history.clone(), source, &reported);
        basics.supervisor.spawn_owner("reporter", |stop| reporter.run(stop));
    }
    let shutdown = basics.supervisor.root();
    let changes = TillChanges::new(board.clone(), segments.clone());
    routers.push(feeds::routes(feeds::Sync { board, segments, history, shutdown }));
    let (documents, transactions) = transactions::start_outbox(basics, &line, nudge, panel)?;
    let giving_way = GivingWay::new(changes, masterdata.clone(), documents);
    basics.supervisor.spawn_owner("giving way", |stop| giving_way.run(stop));
    routers.extend(transactions);
    routers.extend(devices::start(basics, masterdata, panel)?);
    Ok(routers)
}

/// Without a main server the replicas keep what they have.
fn feeding(main: &Main, line: &Line) -> Result<Feeding, RoleError> {
    let keys: Vec<_> = main.public_key.0.into_iter().collect();
    if main.url.is_empty() {
        let source = Source::Local(Board::new(Registry::built_in().feeds()));
        return Ok(Feeding { source, address: None, keys, author_sweeps: false });
    }
    let (socket, token) = (line.socket.as_deref(), token(&main.token_file)?);
    let source = HttpSource::through(socket, &line.url, &token, OBJECT_MAX)?;
    let address = Some(main.url.clone());
    Ok(Feeding { source: Source::Http(source), address, keys, author_sweeps: false })
}
