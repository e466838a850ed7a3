//! JSON as a script sees it, and back.
//!
//! A number that is no integer is a decimal, so that a price stays what it was; what has too many digits for one is
//! refused rather than rounded.

use rhai::{Array, Dynamic, Map as Fields};
use rust_decimal::Decimal;
use serde_json::{Map, Number, Value};

use super::{ELEMENTS_MAX, FIELDS_MAX, ScriptFault, TEXT_BYTES_MAX};

/// Values within values.
const DEPTH_MAX: usize = 64;

/// What may still be taken.
struct Room {
    text: usize,
    elements: usize,
    fields: usize,
}

impl Room {
    fn new() -> Self {
        Self { text: TEXT_BYTES_MAX, elements: ELEMENTS_MAX, fields: FIELDS_MAX }
    }

    fn take(left: &mut usize, count: usize, what: &str) -> Result<(), ScriptFault> {
        *left = left
            .checked_sub(count)
            .ok_or_else(|| ScriptFault::Value(format!("has more {what} than a script is given")))?;
        Ok(())
    }
}

/// JSON for a script.
pub(super) fn enter(json: Value) -> Result<Dynamic, ScriptFault> {
    inward(json, &mut Room::new(), DEPTH_MAX)
}

fn inward(json: Value, room: &mut Room, depth: usize) -> Result<Dynamic, ScriptFault> {
    let deeper = deeper(depth)?;
    Ok(match json {
        Value::Null => Dynamic::UNIT,
        Value::Bool(yes) => yes.into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => Dynamic::from_decimal(decimal(&number)?),
        },
        Value::String(text) => {
            Room::take(&mut room.text, text.len(), "text")?;
            text.into()
        }
        Value::Array(list) => {
            Room::take(&mut room.elements, list.len(), "elements")?;
            let list: Result<Array, _> =
                list.into_iter().map(|value| inward(value, room, deeper)).collect();
            Dynamic::from_array(list?)
        }
        Value::Object(fields) => {
            Room::take(&mut room.fields, fields.len(), "fields")?;
            let mut map = Fields::new();
            for (name, value) in fields {
                map.insert(name.into(), inward(value, room, deeper)?);
            }
            Dynamic::from_map(map)
        }
    })
}

fn decimal(number: &Number) -> Result<Decimal, ScriptFault> {
    let text = number.to_string();
    let exact = Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text));
    exact.map_err(|_| ScriptFault::Value(format!("the number {text} has too many digits")))
}

/// What a script gives back, as JSON.
pub(super) fn leave(object: &Dynamic) -> Result<Value, ScriptFault> {
    outward(object, &mut Room::new(), DEPTH_MAX)
}

fn outward(object: &Dynamic, room: &mut Room, depth: usize) -> Result<Value, ScriptFault> {
    let deeper = deeper(depth)?;
    if object.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(yes) = object.as_bool() {
        return Ok(Value::Bool(yes));
    }
    if let Ok(whole) = object.as_int() {
        return Ok(Value::Number(whole.into()));
    }
    if object.is_decimal() {
        return number(object);
    }
    if let Ok(character) = object.as_char() {
        return Ok(Value::String(character.to_string()));
    }
    if let Ok(text) = object.as_immutable_string_ref() {
        Room::take(&mut room.text, text.len(), "text")?;
        return Ok(Value::String(text.to_string()));
    }
    if let Ok(list) = object.as_array_ref() {
        Room::take(&mut room.elements, list.len(), "elements")?;
        let values: Result<Vec<_>, _> =
            list.iter().map(|value| outward(value, room, deeper)).collect();
        return Ok(Value::Array(values?));
    }
    if let Ok(map) = object.as_map_ref() {
        Room::take(&mut room.fields, map.len(), "fields")?;
        let mut fields = Map::new();
        for (name, value) in map.iter() {
            fields.insert(name.to_string(), outward(value, room, deeper)?);
        }
        return Ok(Value::Object(fields));
    }
    Err(ScriptFault::Value(format!("gives back a {}, which is no JSON", object.type_name())))
}

fn number(object: &Dynamic) -> Result<Value, ScriptFault> {
    let decimal = object.as_decimal().unwrap_or_default().normalize();
    let text = decimal.to_string();
    serde_json::from_str::<Number>(&text)
        .map(Value::Number)
        .map_err(|_| ScriptFault::Value(format!("gives back the number {text}, which is no JSON")))
}

fn deeper(depth: usize) -> Result<usize, ScriptFault> {
    let fault = || ScriptFault::Value(format!("is nested deeper than {DEPTH_MAX}"));
    depth.checked_sub(1).ok_or_else(fault)
}
