//! What a role mounts: which tasks run and which routes are served.

mod main;
mod replica;
mod store;

use std::io;
use std::path::PathBuf;

use utoipa_axum::router::OpenApiRouter;

use crate::config::Role;
use crate::db::StoreError;
use crate::node::Basics;
use crate::replica::author::AuthorError;
use crate::replica::refresher::RefresherError;
use crate::replica::source::SourceRefused;
use crate::status::PanelBuilder;

/// Why a role does not start.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The segments cannot be used.
    #[error("open the segment store")]
    Segments(#[from] StoreError),
    /// A file that the role needs cannot be used.
    #[error("use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The author does not start.
    #[error("open the author")]
    Author(#[from] AuthorError),
    /// The replicas do not open.
    #[error("open the replicas")]
    Replicas(#[from] RefresherError),
    /// The main server cannot be addressed.
    #[error("use the main server")]
    Source(#[from] SourceRefused),
}

/// Starts the parts of the role and returns their routes.
pub async fn start(
    basics: &Basics<'_>,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    match basics.config.role {
        Role::Main => main::start(basics, panel).await,
        Role::Store => store::start(basics, panel).await,
    }
}
