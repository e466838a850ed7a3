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
            let main = &config.main;
            let (line, token) = (basics.line, token(&main.token_file)?);
            let wire = wire(basics, main.sealed, line, &token)?;
            let pass = Pass::Token(token.reveal().to_owned());
            let source = HttpSource::over(line, pass, ANSWER_MAX)?;
            let source = source.sealed(wire).behind(basics.valve);
            let pulse = Pulse::new(panel.clone(), source);
            supervisor.spawn_owner("heartbeat", |stop| pulse.run(stop));
            Ok(None)
        }
    }
}
