use serde_json::{Map, Value};

use super::kind_of;
use crate::fault::RenderProblem;

/// An object of keys and values, in their order.
pub(super) fn make_json_object(arguments: &[&Value]) -> Result<Value, RenderProblem> {
    let mut members = Map::new();
    for pair in arguments.chunks(2) {
        let [key, value] = pair else { continue };
        let Value::String(key) = key else {
            return Err(wrong("make_json_object", "strings as keys", key));
        };
        if members.insert(key.clone(), (*value).clone()).is_some() {
            return Err(RenderProblem::DuplicateKey { key: key.clone() });
        }
    }
    Ok(Value::Object(members))
}

/// An object of an array's items under their numbers, counted from the second argument or zero. It keeps their
/// order, where a sorting encoder would put "10" before "2".
pub(super) fn slice_to_index_map(arguments: &[&Value]) -> Result<Value, RenderProblem> {
    const NAME: &str = "slice_to_index_map";
    let items = match arguments.first() {
        Some(Value::Array(items)) => items,
        other => return Err(wrong(NAME, "an array", other.copied().unwrap_or(&Value::Null))),
    };
    let start = match arguments.get(1) {
        None => 0,
        Some(start) => start.as_i64().ok_or_else(|| wrong(NAME, "a whole number to start by", start))?,
    };
    let last = i64::try_from(items.len()).ok().and_then(|length| start.checked_add(length));
    let last = last.ok_or(RenderProblem::Overflow)?;
    let members = (start..last).zip(items).map(|(index, item)| (index.to_string(), item.clone()));
    Ok(Value::Object(members.collect()))
}

fn wrong(function: &'static str, takes: &'static str, found: &Value) -> RenderProblem {
    let found = match found {
        Value::Number(number) if number.is_f64() => "a fraction",
        other => kind_of(other),
    };
    RenderProblem::WrongType { function, takes, found }
}
