//! Values taken for what they are meant to be, without loss.

use serde_json::{Number, Value};

use super::Schema;

/// The types that a schema allows; nothing if it allows all.
pub(super) fn types(schema: &Schema) -> Option<impl Iterator<Item = &str>> {
    let kinds = match schema.get("type")? {
        one @ Value::String(_) => std::slice::from_ref(one),
        Value::Array(several) => several.as_slice(),
        _ => return None,
    };
    Some(kinds.iter().filter_map(Value::as_str))
}

/// Whether a value is of a type.
pub(super) fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

/// Whether a schema takes `null` for a value.
pub(super) fn takes_null(schema: &Value) -> bool {
    let types = schema.as_object().and_then(types);
    types.is_none_or(|mut types| types.any(|kind| kind == "null"))
}

/// The value as the schema's type, if it can be one without loss; otherwise as it is.
pub(super) fn coerce(schema: &Schema, value: Value) -> Value {
    let Some(types) = types(schema) else { return value };
    let types: Vec<_> = types.collect();
    if types.iter().any(|kind| is(kind, &value) && *kind != "integer") {
        return value;
    }
    types.into_iter().find_map(|kind| meant(kind, &value)).unwrap_or(value)
}

fn meant(kind: &str, value: &Value) -> Option<Value> {
    match (kind, value) {
        ("string", Value::Number(number)) => Some(number.to_string().into()),
        ("string", Value::Bool(truth)) => Some(truth.to_string().into()),
        ("integer", Value::Number(number)) => integer(number),
        ("integer", Value::String(text)) => integer(&text.parse().ok()?),
        ("number", Value::String(text)) => text.parse().ok().map(Value::Number),
        ("boolean", Value::String(text)) => text.parse().ok().map(Value::Bool),
        _ => None,
    }
}

/// A number without a fraction, written without one.
fn integer(number: &Number) -> Option<Value> {
    if number.is_i64() || number.is_u64() {
        return Some(Value::Number(number.clone()));
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
    format!("{float:.0}").parse().ok().map(Value::Number)
}

/// A type in a sentence.
pub(super) fn article(kind: &str) -> String {
    match kind {
        "integer" | "array" | "object" => format!("an {kind}"),
        "null" => kind.into(),
        _ => format!("a {kind}"),
    }
}

/// Up to here a double has every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;
