//! One row: from whatever spelling to the canonical record, or a fault that names its field.

use bytes::Bytes;
use serde_json::{Map, Value};
use storebox_proto::estate;
use storebox_proto::feed::registry::MODEL_OF_MODELS;
use storebox_proto::feed::{ModelDef, Record};
use storebox_proto::ids::{InvalidName, RecordId};
use storebox_proto::limits::RECORD_BYTES_MAX;

use super::fault::{RowFault, quote};

/// Integers up to here survive every JSON reader.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A valid row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: RecordId,
    /// The canonical JSON; nothing if the row removes the record.
    pub(super) body: Option<Bytes>,
}

/// Reads the JSON of a line; it must be one object.
pub(super) fn object(line: &[u8]) -> Result<Map<String, Value>, RowFault> {
    let text = std::str::from_utf8(line).map_err(|error| {
        RowFault::row(format!("not UTF-8 from byte {} on", error.valid_up_to() + 1))
    })?;
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(RowFault::row("a JSON object is wanted")),
        Err(error) => Err(RowFault::row(format!("not JSON at column {}: {error}", error.column()))),
    }
}

/// Checks a record against its model and spells it canonically: sorted keys, no spaces.
pub(super) fn record(def: &ModelDef, fields: Map<String, Value>) -> Result<Row, RowFault> {
    let id = id_of(&fields)?;
    let active = match fields.get("active") {
        None | Some(Value::Bool(true)) => true,
        Some(Value::Bool(false)) => false,
        Some(_) => return Err(RowFault::field("active", "must be true or false")),
    };
    for index in &def.indexes {
        match fields.get(&index.field) {
            None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {}
            Some(Value::Array(_) | Value::Object(_)) => {
                let what = "is indexed and must be a string, number or boolean";
                return Err(RowFault::field(&index.field, what));
            }
        }
    }
    for (field, value) in &fields {
        exact(value).map_err(|number| {
            let what = format!("{number} cannot be kept exactly; write it as a string");
            RowFault::field(field, what)
        })?;
    }
    if !active {
        return Ok(Row { id, body: None });
    }
    estate::check(def.name.as_str(), &fields)
        .map_err(|fault| RowFault::field(&fault.path, fault.what))?;
    let body = canonical(fields);
    if body.len() > RECORD_BYTES_MAX {
        let what = format!("record of {} bytes, the limit is {RECORD_BYTES_MAX}", body.len());
        return Err(RowFault::row(what));
    }
    if def.name.as_str() == MODEL_OF_MODELS {
        let record = Record { id: id.clone(), body: body.clone() };
        ModelDef::from_record(&record).map_err(|refused| RowFault::row(refused.to_string()))?;
    }
    Ok(Row { id, body: Some(body) })
}

/// A removal by id.
pub(super) fn removal(id: &Value) -> Result<Row, RowFault> {
    let Value::String(id) = id else {
        return Err(RowFault::field("removed", "must be the id of a record, a string"));
    };
    let id =
        id.parse().map_err(|error: InvalidName| RowFault::field("removed", error.to_string()))?;
    Ok(Row { id, body: None })
}

fn id_of(fields: &Map<String, Value>) -> Result<RecordId, RowFault> {
    match fields.get("id") {
        None => Err(RowFault::field("id", "is missing")),
        Some(Value::String(id)) => {
            id.parse().map_err(|error: InvalidName| RowFault::field("id", error.to_string()))
        }
        Some(other) => {
            let what = format!("must be a string, not {}", quote(&other.to_string()));
            Err(RowFault::field("id", what))
        }
    }
}

/// A number that is a float only because it is too large for an integer has lost digits already.
fn exact(value: &Value) -> Result<(), String> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.abs() >= EXACT_MAX => Err(number.to_string()),
            Some(_) | None => Ok(()),
        },
        Value::Array(items) => items.iter().try_for_each(exact),
        Value::Object(fields) => fields.values().try_for_each(exact),
    }
}

fn canonical(fields: Map<String, Value>) -> Bytes {
    let mut value = Value::Object(fields);
    value.sort_all_objects();
    Bytes::from(serde_json::to_vec(&value).expect("a JSON value has string keys"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storebox_proto::feed::Registry;

    use super::*;

    fn product() -> ModelDef {
        Registry::built_in().get(&"Product".parse().unwrap()).unwrap().clone()
    }

    fn read(line: &str) -> Result<Row, RowFault> {
        record(&product(), object(line.as_bytes())?)
    }

    #[test]
    fn a_row_is_spelled_canonically_whatever_its_spelling() {
        let row = read(r#"{ "name" : "Caf\u00e9", "id":"1", "b":{"z":1,"a":[1.50, 2]} }"#).unwrap();
        let body = row.body.unwrap();
        assert_eq!(body, r#"{"b":{"a":[1.5,2],"z":1},"id":"1","name":"Café"}"#);
        assert_eq!(read(std::str::from_utf8(&body).unwrap()).unwrap().body, Some(body));
    }

    #[test]
    fn an_inactive_record_is_removed() {
        assert_eq!(read(r#"{"id":"1","active":false}"#).unwrap().body, None);
        assert!(read(r#"{"id":"1","active":true}"#).unwrap().body.is_some());
    }

    #[test]
    fn a_bad_row_names_its_field() {
        let long = format!(r#"{{"id":"1","x":"{}"}}"#, "y".repeat(RECORD_BYTES_MAX));
        let bad = [
            (r#"{"name":"x"}"#, Some("id")),
            (r#"{"id":7}"#, Some("id")),
            (r#"{"id":""}"#, Some("id")),
            (r#"{"id":"1","barcode":[1]}"#, Some("barcode")),
            (r#"{"id":"1","active":"yes"}"#, Some("active")),
            (r#"{"id":"1","weight":12345678901234567890123}"#, Some("weight")),
            (r#"{"id":"1","x":{"y":[99999999999999999999]}}"#, Some("x")),
            ("[1]", None),
            (r#"{"id":"1""#, None),
            (&long, None),
        ];
        for (line, field) in bad {
            let fault = read(line).unwrap_err();
            assert_eq!(fault.field.as_deref(), field, "{line:.60}: {}", fault.what);
        }
        assert!(object(b"{\"id\":\"\xff\"}").unwrap_err().what.contains("not UTF-8 from byte 8"));
    }

    #[test]
    fn a_record_of_the_model_model_must_define_one() {
        let model = Registry::built_in().get(&"Model".parse().unwrap()).unwrap().clone();
        let good = object(br#"{"id":"Recipe","feed":"recipes"}"#).unwrap();
        assert!(record(&model, good).is_ok());
        let bad = object(br#"{"id":"Recipe","feed":7}"#).unwrap();
        assert!(record(&model, bad).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_row_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(fields) = object(&bytes) {
                let _ = record(&product(), fields);
            }
        }
    }
}
