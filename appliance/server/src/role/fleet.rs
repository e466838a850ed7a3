//! All boxes on one page: a shop's box tells head office how it is, head office listens.

use std::time::Duration;

use super::{Basics, RoleError, token, wire};
use crate::config::Role;
use crate::fleet::Pulse;
use crate::http::fleet::Fleet;
use crate::pass::Pass;
use crate::replica::source::HttpSource;
use crate::status::Panel;

/// A heartbeat is answered within this, or told again.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A call is held open until somebody asks something.
const CALL_MAX: Duration = Duration::from_secs(30);

/// Starts what the role has to do with other boxes' state, once the panel is complete.
pub fn start(basics: &Basics<'_>, panel: &Panel) -> Result<Option<Fleet>, RoleError> {
    let (config, supervisor) = (basics.config, basics.supervisor);
    match config.role {
        Role::Main => {
            let roll = basics.roll.clone();
            let keeper = roll.clone();
            supervisor.spawn_owner("boxes", |stop| keeper.run(stop));
            let access = basics.access.clone();
            Ok(Some(Fleet { roll, access, panel: panel.clone() }))
        }
        Role::Store if config.main.url.is_empty() => Ok(None),
        Role::Store => {
            let source = source(basics, ANSWER_MAX)?;
            let pulse = Pulse::new(panel.clone(), config.discovery.site.clone(), source);
            supervisor.spawn_owner("heartbeat", |stop| pulse.run(stop));
            Ok(None)
        }
    }
}

/// Where a shop's box calls for questions; nowhere without a head office.
pub fn source_for_visits(basics: &Basics<'_>) -> Result<Option<HttpSource>, RoleError> {
    let has_head_office = basics.config.role == Role::Store && !basics.config.main.url.is_empty();
    has_head_office.then(|| source(basics, CALL_MAX)).transpose()
}

fn source(basics: &Basics<'_>, answer_max: Duration) -> Result<HttpSource, RoleError> {
    let main = &basics.config.main;
    let (line, token) = (basics.line, token(&main.token_file)?);
    let wire = wire(basics, main.sealed, line, &token)?;
    let pass = Pass::Token(token.reveal().to_owned());
    let source = HttpSource::over(line, pass, answer_max)?;
    Ok(source.sealed(wire).behind(basics.valve))
}
