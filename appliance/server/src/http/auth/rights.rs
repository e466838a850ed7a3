//! What a person may do: one table, asked for every request that changes something.
//!
//! A till without a person may do what it always could, unless the configuration wants a person for it.
//! A person may do what the roles say, and in a channel that bounds it, only read: whatever changes something is
//! refused, named in the table or not, except for what is the person's own.
//! Handing in transactions is never refused because a login ran out: what was sold has to be kept. A till does that
//! with its own token, unless the configuration wants a person for `sell`.

use axum::http::Method;
use storebox_proto::estate::channel::Right as ChannelRight;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::token::Right;

use super::Caller;
use crate::http::identity::Identity;
use crate::http::problem::Refusal;
use crate::login::Person;

/// The first line that fits decides: the beginning of the path, its end, and the right.
const RIGHTS: &[(&str, &str, Right)] = &[
    ("/v1/printers/", "/decision", Right::Manage),
    ("/v1/printers/", "/recover", Right::Manage),
    ("/v1/printers/", "", Right::Print),
    ("/v1/drawers/", "", Right::Drawer),
    ("/v1/scales/", "", Right::Weigh),
    ("/v1/displays/", "", Right::Weigh),
    ("/v1/scanners/", "", Right::Weigh),
    ("/v1/transactions", "", Right::Sell),
    ("/v1/documents", "", Right::Sell),
];

/// What changes nothing of the shop's: the own login, and the till's account of itself.
///
/// Services of a channel are asked by POST also where they only read; the channel judges them itself, by the same
/// access entry.
const OWN: [&str; 3] = ["/v1/session", "/v1/terminal/", "/v1/channel/"];

/// The right that a request needs, if it needs one.
pub(super) fn needed(method: &Method, path: &str) -> Option<Right> {
    if method.is_safe() {
        return None;
    }
    let fits =
        |(start, end, _): &&(&str, &str, Right)| path.starts_with(start) && path.ends_with(end);
    RIGHTS.iter().find(fits).map(|(_, _, right)| *right)
}

/// Refuses what the person, or the till without one, may not do.
pub(super) fn check(
    caller: &Caller,
    required: &[Right],
    method: &Method,
    path: &str,
) -> Result<(), Refusal> {
    let Some(Identity::Terminal(_)) = caller.identity else { return Ok(()) };
    let reads_only = |person: &Person| person.channel == Some(ChannelRight::ReadOnly);
    let is_own = OWN.iter().any(|own| path.starts_with(own));
    if !method.is_safe() && !is_own && caller.person.as_ref().is_some_and(reads_only) {
        let detail = "in the channel of this till this person may only read";
        return Err(Refusal::new(Code::ReadOnly, detail));
    }
    let Some(right) = needed(method, path) else { return Ok(()) };
    permit(caller, required, right)
}

/// Refuses a right that the person, or the till without one, does not have.
fn permit(caller: &Caller, required: &[Right], right: Right) -> Result<(), Refusal> {
    let Some(Identity::Terminal(_)) = caller.identity else { return Ok(()) };
    match &caller.person {
        None if required.contains(&right) => {
            let detail = format!("for {} somebody has to be logged in", right.as_str());
            Err(Refusal::new(Code::PersonRequired, detail))
        }
        None => Ok(()),
        Some(person) if person.rights.has(right) => Ok(()),
        Some(_) => {
            let detail = format!("no role of this person has the right {:?}", right.as_str());
            Err(Refusal::new(Code::RightMissing, detail))
        }
    }
}

/// Whether whoever asks may open drawers: for a handler of what may hold a drawer's pulse among other things.
#[derive(Debug, Clone)]
pub(in crate::http) struct Drawers(Option<Problem>);

impl Drawers {
    /// What the table says.
    pub(in crate::http) fn of(caller: &Caller, required: &[Right]) -> Self {
        Self(permit(caller, required, Right::Drawer).err().map(|refusal| refusal.0))
    }

    /// Refuses if not.
    pub(in crate::http) fn check(&self) -> Result<(), Refusal> {
        self.0.clone().map_or(Ok(()), |problem| Err(Refusal(problem)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_till_opens_drawers_alone_unless_that_needs_somebody() {
        let till = Some(Identity::Terminal("till-1".parse().unwrap()));
        let caller = Caller { identity: till, ..Caller::default() };
        assert!(Drawers::of(&caller, &[Right::Sell]).check().is_ok());
        let refused = Drawers::of(&caller, &[Right::Drawer]).check().unwrap_err();
        assert_eq!(refused.0.code, Code::PersonRequired);
        let operator = Caller { identity: Some(Identity::Operator), ..Caller::default() };
        assert!(Drawers::of(&operator, &[Right::Drawer]).check().is_ok());
    }

    #[test]
    fn every_change_at_a_device_needs_its_right_and_a_look_none() {
        for (path, right) in [
            ("/v1/drawers/d1/open", Some(Right::Drawer)),
            ("/v1/printers/p1/jobs", Some(Right::Print)),
            ("/v1/printers/p1/jobs/1/decision", Some(Right::Manage)),
            ("/v1/printers/p1/recover", Some(Right::Manage)),
            ("/v1/scales/s1/tare", Some(Right::Weigh)),
            ("/v1/displays/d1", Some(Right::Weigh)),
            ("/v1/transactions", Some(Right::Sell)),
            ("/v1/transactions/batch", Some(Right::Sell)),
            ("/v1/terminal/login", None),
            ("/v1/session", None),
        ] {
            assert_eq!(needed(&Method::POST, path), right, "{path}");
            assert_eq!(needed(&Method::GET, path), None, "{path}");
        }
    }
}
