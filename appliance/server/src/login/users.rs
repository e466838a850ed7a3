//! Users, roles, token keys and access to channels, as masterdata has them.
//!
//! `User`: `id`, `searchKey` (what is typed), `name`, `active`, `roles` (ids), `password` (a hash), and optionally
//! `sites` (where it may log in) and `validUntil`. `Role`: `id`, `rights` (words). `TokenKey`: `id` (the key's id),
//! `node`, `publicKey`, `active`. What a record does not say clearly is read as "no".

use ed25519_dalek::VerifyingKey;
use serde_json::{Map, Value};
use storebox_proto::estate::channel::{
    ACCESS, Access, Definition, Right as ChannelRight, TERMINAL,
};
use storebox_proto::ids::{NodeId, SiteId};
use storebox_proto::limits::USER_ROLES_MAX;
use storebox_proto::time::Timestamp;
use storebox_proto::token::{Right, Rights};

use super::password::Hashed;
use crate::masterdata::Masterdata;

const USER: &str = "User";
const ROLE: &str = "Role";
const TOKEN_KEY: &str = "TokenKey";
/// Access entries of one channel that are looked at.
const ENTRIES_MAX: usize = 1000;

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) roles: Vec<String>,
    pub(super) password: Option<Hashed>,
    /// Changes with everything that a login rests on.
    pub(super) version: u64,
}

/// Who logs in under this name here and now.
pub(super) fn by_name(
    masterdata: &Masterdata,
    name: &str,
    site: &SiteId,
    at: Timestamp,
) -> Option<User> {
    let record =
        masterdata.look(USER, "searchKey", name).or_else(|| masterdata.look(USER, "id", name));
    read(&record?, site, at)
}

/// The user with this id, if it may work here and now.
pub(super) fn by_id(
    masterdata: &Masterdata,
    id: &str,
    site: &SiteId,
    at: Timestamp,
) -> Option<User> {
    read(&masterdata.look(USER, "id", id)?, site, at)
}

fn read(record: &Map<String, Value>, site: &SiteId, at: Timestamp) -> Option<User> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    if !is_active(record) {
        return None;
    }
    if let Some(sites) = record.get("sites") {
        let here = sites.as_array()?.iter().any(|one| one.as_str() == Some(site.as_str()));
        here.then_some(())?;
    }
    if let Some(until) = record.get("validUntil").filter(|until| !until.is_null()) {
        let until: Timestamp = until.as_str()?.parse().ok()?;
        (at < until).then_some(())?;
    }
    let id = text("id")?.to_owned();
    let roles = match record.get("roles") {
        Some(roles) => roles
            .as_array()?
            .iter()
            .map(|role| role.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()?,
        None => Vec::new(),
    };
    (roles.len() <= USER_ROLES_MAX).then_some(())?;
    let password = text("password").unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    for part in roles.iter().map(String::as_str).chain([password]) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let [a, b, c, d, e, f, ..] = *hasher.finalize().as_bytes();
    // 48 bits: a number that every JSON reader keeps exactly.
    let version = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    let name = text("name").unwrap_or(&id).to_owned();
    Some(User { id, name, roles, password: Hashed::parse(password), version })
}

fn is_active(record: &Map<String, Value>) -> bool {
    match record.get("active") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(active)) => *active,
        Some(Value::String(word)) => word == "Y" || word == "true",
        Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// What these roles may do, together.
pub(super) fn rights(masterdata: &Masterdata, roles: &[String]) -> Rights {
    let mut rights = Rights::default();
    for role in roles {
        let Some(record) = masterdata.look(ROLE, "id", role).filter(is_active) else {
            continue;
        };
        let words = record.get("rights").and_then(Value::as_array);
        for word in words.into_iter().flatten().filter_map(Value::as_str) {
            if let Some(right) = Right::of(word) {
                rights = rights.with(right);
            }
        }
    }
    rights
}

/// What a person may do in the channel of a till.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InChannel {
    /// The till belongs to none, or nobody was given access to it: the roles alone decide.
    Free,
    /// This.
    May(ChannelRight),
    /// Others were given access, this person not.
    Nothing,
}

/// What a person with these roles may do in the channel of this till.
pub(super) fn in_channel(
    masterdata: &Masterdata,
    till: &str,
    user: &str,
    roles: &[String],
) -> InChannel {
    let terminal = masterdata
        .look(TERMINAL, "id", till)
        .or_else(|| masterdata.look(TERMINAL, "searchKey", till));
    let channel = terminal.as_ref().and_then(|record| record.get("channelId")?.as_str());
    let Some(channel) = channel else { return InChannel::Free };
    let entries = masterdata.look_all(ACCESS, "channelId", channel, ENTRIES_MAX);
    if entries.is_empty() {
        return InChannel::Free;
    }
    let entries = entries.iter().filter_map(|record| Access::from_fields(record).ok());
    let mine = entries.filter(|entry| {
        let by_role = entry.role_id.as_ref().is_some_and(|role| roles.contains(role));
        by_role || entry.user_id.as_deref() == Some(user)
    });
    mine.map(|entry| entry.right).max().map_or(InChannel::Nothing, InChannel::May)
}

/// The box and public key behind the id of a token key.
pub(super) fn token_key(masterdata: &Masterdata, kid: &str) -> Option<(NodeId, VerifyingKey)> {
    let record = masterdata.look(TOKEN_KEY, "id", kid).filter(is_active)?;
    let node = record.get("node")?.as_str()?.parse().ok()?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(record.get("publicKey")?.as_str()?, &mut bytes).ok()?;
    Some((node, VerifyingKey::from_bytes(&bytes).ok()?))
}
