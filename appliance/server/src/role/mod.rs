//! What a role mounts: which tasks run and which routes are served.

use utoipa_axum::router::OpenApiRouter;

use crate::config::Role;
use crate::node::Basics;
use crate::status::PanelBuilder;

mod main;
mod store;

/// Why a role does not start.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {}

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
