//! What a terminal is told about itself, in one piece: masterdata over configured defaults.
//!
//! A field of the terminal's own record wins over its type's, that over a preference, and that over the
//! configuration of the box.
//! Records of head office are not trusted to be sane: a value of the wrong type or out of range is passed over,
//! because a till that cannot log in helps nobody.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storebox_proto::estate::View;
use storebox_proto::ids::{Hash32, TerminalId};
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_proto::sync::decide::Policy;
use storebox_proto::sync::deferral::Attendance;

use crate::config::TerminalDefaults;

/// The model of terminals.
pub const TERMINAL: &str = "Terminal";
/// The model of what terminals have in common.
pub const TERMINAL_TYPE: &str = "TerminalType";
/// The model of preferences.
pub const PREFERENCE: &str = "Preference";
/// Periods are shorter than a year.
const MINUTES_MAX: u64 = 527_040;

/// All that a terminal needs to work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Its name.
    #[schema(value_type = String)]
    pub terminal: TerminalId,
    /// The epoch in which it numbers its transactions.
    pub epoch: u32,
    /// Who stands at it: `cashier` or `selfCheckout`.
    #[schema(value_type = String)]
    pub attendance: Attendance,
    /// When it refreshes.
    #[schema(value_type = Object)]
    pub policy: Policy,
    /// Minutes that an announced refresh waits for a ticket to end; 0 is at once.
    pub popup_minutes: u32,
    /// Records on one page when it loads masterdata.
    pub batch_size: u32,
    /// Whether it may not log in after a failed full refresh.
    pub refuse_login_after_failed_full: bool,
    /// The servers of its organisation and what they are asked for; nothing where there is one server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub servers: Option<View>,
    /// Its record, as head office has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub record: Option<Map<String, Value>>,
    /// The record of its type, as head office has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub terminal_type: Option<Map<String, Value>>,
}

/// Finds a record of the estate: model, field (or `id`), value.
pub type Look<'a> = &'a dyn Fn(&str, &str, &str) -> Option<Map<String, Value>>;

impl Profile {
    /// Puts together what is known about a terminal.
    pub fn assemble(
        terminal: &TerminalId,
        epoch: u32,
        look: Look<'_>,
        defaults: &TerminalDefaults,
    ) -> Self {
        let name = terminal.as_str();
        let record = look(TERMINAL, "id", name).or_else(|| look(TERMINAL, "searchKey", name));
        let type_id = record.as_ref().and_then(|record| record.get("terminalTypeId")?.as_str());
        let terminal_type = type_id.and_then(|id| look(TERMINAL_TYPE, "id", id));
        let field = |name: &str| -> Option<Value> {
            let own = record.as_ref().and_then(|record| record.get(name));
            let of_type = || terminal_type.as_ref().and_then(|record| record.get(name));
            let preference = || look(PREFERENCE, "property", name)?.remove("value");
            own.or_else(of_type).cloned().or_else(preference)
        };
        let minutes = |name: &str, default: u32| {
            number(field(name)).filter(|&value| value <= MINUTES_MAX).map_or(default, clamp)
        };
        let flag = |name: &str, default: bool| truth(field(name)).unwrap_or(default);
        let page_max = clamp(PAGE_RECORDS_MAX as u64);
        let batch_size = number(field("batchSize")).map_or(defaults.batch_size, clamp);
        let policy = Policy {
            full_minutes: NonZeroU32::new(minutes("fullRefreshMinutes", defaults.full_minutes)),
            incremental_minutes: NonZeroU32::new(minutes(
                "incrementalRefreshMinutes",
                defaults.incremental_minutes,
            )),
            no_auto_incremental_at_login: flag(
                "noAutoIncrementalAtLogin",
                defaults.no_auto_incremental_at_login,
            ),
        };
        Self {
            terminal: terminal.clone(),
            epoch,
            attendance: match flag("selfCheckout", false) {
                true => Attendance::SelfCheckout,
                false => Attendance::Cashier,
            },
            policy,
            popup_minutes: minutes("refreshPopupMinutes", defaults.popup_minutes),
            batch_size: batch_size.clamp(1, page_max),
            refuse_login_after_failed_full: defaults.refuse_login_after_failed_full,
            servers: None,
            record,
            terminal_type,
        }
    }

    /// The organisation that it belongs to, if head office says so.
    pub fn organisation(&self) -> Option<&str> {
        self.record.as_ref()?.get("organizationId")?.as_str()
    }

    /// Changes whenever anything in it does.
    pub fn etag(&self) -> String {
        let bytes = serde_json::to_vec(self).expect("names, numbers and records are JSON");
        format!("\"{}\"", &Hash32::of(&bytes).to_string()[..32])
    }
}

fn clamp(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A number, also when a back office writes it as text.
fn number(value: Option<Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Yes or no, also in the way of the original (`Y`, `N`).
fn truth(value: Option<Value>) -> Option<bool> {
    let value = value?;
    value.as_bool().or_else(|| match value.as_str()? {
        "Y" | "true" => Some(true),
        "N" | "false" => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn profile(records: &[(&str, Value)]) -> Profile {
        let look = |model: &str, field: &str, value: &str| {
            let found = records.iter().find(|(of, record)| *of == model && record[field] == value);
            found.and_then(|(_, record)| record.as_object().cloned())
        };
        let till = "till-1".parse().unwrap();
        Profile::assemble(&till, 1, &look, &TerminalDefaults::default())
    }

    #[test]
    fn a_terminal_that_head_office_does_not_know_gets_the_defaults() {
        let profile = profile(&[]);
        assert_eq!(profile.policy.incremental_minutes, NonZeroU32::new(10));
        assert_eq!((profile.popup_minutes, profile.batch_size), (5, 500));
        assert_eq!(profile.attendance, Attendance::Cashier);
    }

    #[test]
    fn the_record_wins_over_its_type_and_that_over_a_preference() {
        let profile = profile(&[
            (
                "Terminal",
                json!({"id": "t1", "searchKey": "till-1", "terminalTypeId": "sco",
                                "batchSize": "250"}),
            ),
            (
                "TerminalType",
                json!({"id": "sco", "selfCheckout": "Y", "batchSize": 100,
                                    "fullRefreshMinutes": 1440}),
            ),
            ("Preference", json!({"property": "noAutoIncrementalAtLogin", "value": "Y"})),
            ("Preference", json!({"property": "batchSize", "value": 50})),
        ]);
        assert_eq!(profile.batch_size, 250);
        assert_eq!(profile.attendance, Attendance::SelfCheckout);
        assert_eq!(profile.policy.full_minutes, NonZeroU32::new(1440));
        assert!(profile.policy.no_auto_incremental_at_login);
    }

    #[test]
    fn nonsense_from_head_office_is_passed_over() {
        let odd = json!({"id": "till-1", "batchSize": 999_999, "selfCheckout": [],
                         "fullRefreshMinutes": -4, "terminalTypeId": 7});
        let profile = profile(&[("Terminal", odd)]);
        assert_eq!(profile.batch_size, 1000);
        assert_eq!(profile.policy.full_minutes, None);
        assert_eq!(profile.attendance, Attendance::Cashier);
    }

    #[test]
    fn the_etag_follows_the_content() {
        let one = profile(&[]);
        let other = profile(&[("Terminal", json!({"id": "till-1", "name": "Front"}))]);
        assert_eq!(one.etag(), profile(&[]).etag());
        assert_ne!(one.etag(), other.etag());
    }
}
