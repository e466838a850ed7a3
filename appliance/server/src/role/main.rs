//! The role `main`.

use utoipa_axum::router::OpenApiRouter;

use super::RoleError;
use crate::node::Basics;
use crate::status::PanelBuilder;

/// Starts the parts of the role.
pub(super) async fn start(
    _basics: &Basics<'_>,
    _board: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    Ok(Vec::new())
}
