//! Ticket by ticket and amount by amount: what the tills sold against what head office holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use storebox_proto::ids::{LaneId, TxKey};
use storebox_proto::ticket::Envelope;
use storebox_proto::ticket::envelope::CASH_UP;

use super::till::Sold;

/// Differences that are told one by one; more are only counted.
const TOLD_MAX: usize = 10;

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub transactions: usize,
    pub tickets: usize,
    pub lines: usize,
    /// The sum of what head office holds, in cents.
    pub gross_cents: i64,
    pub differences: Vec<String>,
}

impl Verdict {
    /// Whether nothing was lost, doubled, changed or reordered.
    pub fn holds(&self) -> bool {
        self.differences.is_empty() && self.transactions > 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, tickets, lines, gross_cents, differences } = self;
        let gross = Amount(*gross_cents);
        write!(f, "{transactions} transactions, {tickets} tickets, {lines} lines, {gross} USD: ")?;
        if self.holds() {
            return write!(f, "head office holds exactly what the tills sold");
        }
        write!(f, "{} DIFFERENCES", differences.len())?;
        differences.iter().take(TOLD_MAX).try_for_each(|text| write!(f, "\n  {text}"))
    }
}

/// Compares the tills' memory with the ledger in the order of the ledger.
pub fn compare(sold: &[Sold], ledger: &[Envelope]) -> Verdict {
    let mut verdict = Verdict { transactions: ledger.len(), ..Verdict::default() };
    let by_key: BTreeMap<TxKey, &Sold> =
        sold.iter().map(|sold| (sold.envelope.key, sold)).collect();
    let mut seen = BTreeSet::new();
    for held in ledger {
        if !seen.insert(held.key) {
            verdict.differences.push(format!("{} {} is there twice", held.kind, held.key));
        }
        match by_key.get(&held.key) {
            None => verdict.differences.push(format!("{} {} was never sold", held.kind, held.key)),
            Some(sold) => verdict.compare_one(sold, held),
        }
    }
    for (key, sold) in by_key.iter().filter(|(key, _)| !seen.contains(*key)) {
        verdict.differences.push(format!("{} {key} is LOST", sold.envelope.kind));
    }
    verdict.differences.extend(order_breaks(ledger));
    verdict
}

impl Verdict {
    fn compare_one(&mut self, sold: &Sold, held: &Envelope) {
        if held.digest() != sold.digest {
            self.differences.push(format!("{} {} has another content", held.kind, held.key));
        }
        if held.kind.as_str() != "Order" {
            return;
        }
        self.tickets += 1;
        let gross = field_cents(&held.payload, "gross");
        let lines = held.payload.get("lines").and_then(Value::as_array);
        let lines = lines.map_or(&[] as &[Value], Vec::as_slice);
        let sum: Option<i64> =
            lines.iter().map(|line| field_cents(line.as_object()?, "lineAmount")).sum();
        self.lines += lines.len();
        self.gross_cents += gross.unwrap_or(0);
        let sold_gross = field_cents(&sold.envelope.payload, "gross");
        if gross.is_none() || gross != sold_gross || gross != sum {
            let text =
                format!("ticket {}: sold {sold_gross:?}, held {gross:?}, lines {sum:?}", held.key);
            self.differences.push(text);
        }
    }
}

/// Lanes in order of sequence, dependencies first, a cash-up behind its session.
fn order_breaks(ledger: &[Envelope]) -> Vec<String> {
    let place: BTreeMap<TxKey, usize> =
        ledger.iter().enumerate().map(|(index, envelope)| (envelope.key, index)).collect();
    let mut lanes: BTreeMap<&LaneId, &Envelope> = BTreeMap::new();
    let mut closed: BTreeMap<&str, TxKey> = BTreeMap::new();
    let mut breaks = Vec::new();
    for (index, envelope) in ledger.iter().enumerate() {
        let key = envelope.key;
        let before = lanes.insert(&envelope.lane, envelope);
        if before.is_some_and(|before| before.sequence > envelope.sequence) {
            breaks.push(format!("{key} came too late in lane {}", envelope.lane));
        }
        for needed in &envelope.depends_on {
            if place.get(needed).is_none_or(|place| *place > index) {
                breaks.push(format!("{key} came before {needed}, which it depends on"));
            }
        }
        let Some(session) = envelope.session.as_deref() else { continue };
        if let Some(cash_up) = closed.get(session) {
            breaks.push(format!("{key} came behind the cash-up {cash_up} of its session"));
        }
        if envelope.kind.as_str() == CASH_UP {
            closed.insert(session, key);
        }
    }
    breaks
}

fn field_cents(fields: &serde_json::Map<String, Value>, name: &str) -> Option<i64> {
    cents(fields.get(name)?.as_str()?)
}

/// `12.30` as 1230; nothing else is an amount.
fn cents(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.')?;
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !numeric(whole) || !numeric(part) || part.len() != 2 {
        return None;
    }
    let value = whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(part.parse().ok()?)?;
    Some(if negative { -value } else { value })
}

/// Cents, written as money.
struct Amount(i64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::till::mint_key;
    use super::*;

    fn sale(
        kind: &str,
        lane: &str,
        sequence: u64,
        depends_on: Vec<TxKey>,
        gross: &str,
    ) -> Envelope {
        let payload = json!({"gross": gross, "lines": [{"lineAmount": gross}]});
        Envelope {
            key: mint_key(),
            kind: kind.parse().unwrap(),
            terminal: "till-1".parse().unwrap(),
            epoch: 1,
            sequence,
            lane: lane.parse().unwrap(),
            depends_on,
            session: Some("till-1-1".to_owned()),
            occurred_at: crate::env::timestamp(),
            clock: crate::env::clock_confidence(),
            payload: payload.as_object().unwrap().clone(),
        }
    }

    fn day() -> (Vec<Sold>, Vec<Envelope>) {
        let first = sale("Order", "ticket:1", 1, vec![], "12.30");
        let paid = sale("Payment", "ticket:1", 2, vec![first.key], "12.30");
        let second = sale("Order", "ticket:2", 3, vec![], "0.70");
        let closed = sale(CASH_UP, "session:1", 4, vec![], "0.00");
        let ledger = vec![first, paid, second, closed];
        let remember =
            |envelope: &Envelope| Sold { digest: envelope.digest(), envelope: envelope.clone() };
        (ledger.iter().map(remember).collect(), ledger)
    }

    #[test]
    fn the_same_on_both_sides_holds() {
        let (sold, mut ledger) = day();
        let verdict = compare(&sold, &ledger);
        assert!(verdict.holds(), "{verdict}");
        assert_eq!((verdict.tickets, verdict.gross_cents), (2, 1300));
        ledger.swap(0, 2);
        ledger.swap(1, 2);
        assert!(compare(&sold, &ledger).holds(), "other lanes may overtake");
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        type Breaking = fn(&mut Vec<Envelope>);
        let breakings: [(&str, Breaking); 7] = [
            ("LOST", |ledger| drop(ledger.remove(2))),
            ("twice", |ledger| ledger.push(ledger[0].clone())),
            ("never sold", |ledger| ledger.push(sale("Order", "ticket:9", 9, vec![], "1.00"))),
            ("another content", |ledger| {
                drop(ledger[0].payload.insert("gross".into(), json!("12.31")))
            }),
            ("held Some(1231)", |ledger| {
                drop(ledger[0].payload.insert("gross".into(), json!("12.31")))
            }),
            ("depends on", |ledger| ledger.swap(0, 1)),
            ("behind the cash-up", |ledger| ledger.swap(2, 3)),
        ];
        for (expected, breaking) in breakings {
            let (sold, mut ledger) = day();
            breaking(&mut ledger);
            let verdict = compare(&sold, &ledger);
            assert!(!verdict.holds());
            assert!(verdict.to_string().contains(expected), "{expected}: {verdict}");
        }
        assert!(!compare(&[], &[]).holds(), "nothing sold proves nothing");
    }

    #[test]
    fn only_decimal_text_is_money() {
        assert_eq!(cents("12.30"), Some(1230));
        assert_eq!(cents("-0.05"), Some(-5));
        for bad in ["", "1", "1.2", "1.234", "1e3.00", "+1.00", ".50", "99999999999999999999.00"] {
            assert_eq!(cents(bad), None, "{bad}");
        }
        assert_eq!(Amount(-5).to_string(), "-0.05");
    }
}
