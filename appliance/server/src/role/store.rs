//! The shop: replicates masterdata, serves tills, keeps their transactions until they are settled.

use std::path::Path;
use std::time::Duration;

use storebox_proto::feed::Registry;
use utoipa_axum::router::OpenApiRouter;

use super::RoleError;
use super::replica::{self, Feeding, Ground};
use crate::config::Main;
use crate::http::feeds;
use crate::node::Basics;
use crate::replica::board::Board;
use crate::replica::source::{HttpSource, Source};
use crate::status::PanelBuilder;

/// One object of a feed arrives within this, or is asked for again.
const OBJECT_MAX: Duration = Duration::from_secs(30);
/// A token is 68 characters; a file with much more is not one.
const TOKEN_FILE_MAX: u64 = 1024;

/// Starts the parts of the role.
pub(super) async fn start(
    basics: &Basics<'_>,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    let ground = Ground::open(basics)?;
    let feeding = feeding(&basics.config.main)?;
    let (_, mut routers) = replica::start(basics, &ground, feeding, panel)?;
    let Ground { segments, board, history } = ground;
    let shutdown = basics.supervisor.root();
    routers.push(feeds::routes(feeds::Sync { board, segments, history, shutdown }));
    Ok(routers)
}

/// Without a main server the replicas keep what they have.
fn feeding(main: &Main) -> Result<Feeding, RoleError> {
    let keys: Vec<_> = main.public_key.0.into_iter().collect();
    if main.url.is_empty() {
        let source = Source::Local(Board::new(Registry::built_in().feeds()));
        return Ok(Feeding { source, address: None, keys, author_sweeps: false });
    }
    let source = HttpSource::new(&main.url, &token(&main.token_file)?, OBJECT_MAX)?;
    let address = Some(main.url.clone());
    Ok(Feeding { source: Source::Http(source), address, keys, author_sweeps: false })
}

/// The token in a file, without the line's end.
fn token(file: &Path) -> Result<String, RoleError> {
    let fail = |source| RoleError::File { path: file.to_owned(), source };
    if std::fs::metadata(file).map_err(fail)?.len() > TOKEN_FILE_MAX {
        return Err(fail(std::io::Error::other("too large for a token")));
    }
    Ok(std::fs::read_to_string(file).map_err(fail)?.trim().to_owned())
}
