//! Sealing keys come from head office over the line on which both have shown certificates; over any other, a person
//! carries them.

use super::{Basics, RoleError};
use crate::seal::Courier;

/// Fetches the rings of this box's site, and those that all boxes of the chain share, as long as the box runs.
pub(super) fn fetch(basics: &Basics<'_>) -> Result<(), RoleError> {
    let (Some(socket), Some(porch)) = (&basics.line.socket, basics.porch) else { return Ok(()) };
    let sites = vec![porch.site().clone(), basics.config.main.site.clone()];
    let courier = Courier::new(socket, &basics.line.url, basics.seals.clone(), sites);
    let courier = courier.map_err(RoleError::Client)?;
    basics.supervisor.spawn_owner("rings", |stop| courier.run(stop));
    Ok(())
}
