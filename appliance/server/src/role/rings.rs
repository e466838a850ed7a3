//! Sealing keys come from head office over the line on which both have shown certificates; over any other, a person
//! carries them.

use super::{Basics, RoleError};
use crate::seal::Courier;

/// Fetches the rings of this box's site, and those that all boxes of the chain share, as long as the box runs.
pub(super) fn fetch(basics: &Basics<'_>) -> Result<(), RoleError> {
    let (line, main) = (basics.line.clone(), &basics.config.main);
    // Behind an authority of the company, nobody has seen this box's certificate.
    let is_known = main.ca_file.as_os_str().is_empty();
    let (Some(socket), Some(porch), true) = (line.socket(), basics.porch, is_known) else {
        return Ok(());
    };
    let sites = vec![porch.site().clone(), main.site.clone()];
    let courier = Courier::new(socket, line.url(), basics.seals.clone(), sites);
    let courier = courier.map_err(RoleError::Client)?;
    basics.supervisor.spawn_owner("rings", |stop| async move {
        courier.run(stop).await;
        // The way to head office stands as long as it is used.
        drop(line);
    });
    Ok(())
}
