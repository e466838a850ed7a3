//! Who may do what in a channel.

use storebox_proto::estate::channel::{Right, ServiceType};
use storebox_proto::problem::{Code, Problem};

use super::context::Context;

/// Refuses a call without the right for it; the refusal names the right and what the caller has.
///
/// Who may read and wanted to write hears `read_only`, who may nothing `forbidden`.
pub(super) fn allow(context: &Context, service: ServiceType) -> Result<(), Problem> {
    if context.caller.is_operator {
        return Ok(());
    }
    let needed = if service.writes() { Right::Write } else { Right::ReadOnly };
    let has = right(context);
    if has.is_some_and(|has| has >= needed) {
        return Ok(());
    }
    let roles: Vec<&str> = context.roles.iter().map(String::as_str).collect();
    let who = match (&context.user, roles.is_empty()) {
        (Some(user), true) => format!("user {user}"),
        (Some(user), false) => format!("user {user} with the role {}", roles.join(", ")),
        (None, true) => "a terminal without user and role".to_owned(),
        (None, false) => format!("the role {}", roles.join(", ")),
    };
    let detail = format!(
        "service {} of channel {} needs the right {}; {who} at terminal {} has {}",
        service.as_str(),
        context.channel.id,
        needed.as_str(),
        context.terminal(),
        has.map_or("none", Right::as_str),
    );
    let code = if has.is_some() { Code::ReadOnly } else { Code::Forbidden };
    Err(Problem::new(code, detail))
}

/// The greatest right of the caller.
pub(super) fn right(context: &Context) -> Option<Right> {
    let entries = context.definitions.access(&context.channel.id);
    let fitting = entries.filter(|entry| {
        let by_role = entry.role_id.as_ref().is_some_and(|role| context.roles.contains(role));
        let by_user = entry.user_id.is_some() && entry.user_id == context.user;
        by_role || by_user
    });
    fitting.map(|entry| entry.right).max()
}
