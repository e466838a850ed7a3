//! Spans as OTLP over HTTP in JSON: ids in hexadecimal digits, numbers of 64 bits as text.

use serde_json::{Value, json};

use super::span::Span;

/// The status of what failed.
const STATUS_ERROR: u8 = 2;

/// Who tells, as attributes.
pub(super) fn resource(node: &str, role: &str) -> Value {
    let facts = [
        ("service.name", "storebox".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", node.to_owned()),
        ("storebox.role", role.to_owned()),
    ];
    json!({ "attributes": attributes(&facts) })
}

/// The body of a request.
pub(super) fn body(resource: &Value, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{"scope": {"name": "storebox"}, "spans": spans}],
    }]})
}

fn span(span: &Span) -> Value {
    let mut told = json!({
        "traceId": hex::encode(span.trace),
        "spanId": hex::encode(span.id),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": span.begun.as_nanos().to_string(),
        "endTimeUnixNano": span.ended.as_nanos().to_string(),
        "attributes": attributes(&span.facts),
    });
    if let Some(parent) = span.parent {
        told["parentSpanId"] = json!(hex::encode(parent));
    }
    if let Some(why) = &span.failed {
        told["status"] = json!({"code": STATUS_ERROR, "message": why});
    }
    told
}

fn attributes(facts: &[(&'static str, String)]) -> Vec<Value> {
    let told = |(name, value): &(&'static str, String)| json!({"key": name, "value": {"stringValue": value}});
    facts.iter().map(told).collect()
}
