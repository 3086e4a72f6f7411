use core::cmp::Ordering;

use serde_json::{Number, Value};

use super::{Function, kind_of};
use crate::fault::RenderProblem;

/// Whether the first argument stands to any other as `holds` wants it. Values of different kinds cannot be
/// compared, except that nothing but null equals null.
pub(super) fn compare(
    function: Function,
    arguments: &[&Value],
    holds: fn(Ordering) -> bool,
) -> Result<Value, RenderProblem> {
    let Some((left, others)) = arguments.split_first() else { return Ok(Value::Bool(false)) };
    for right in others {
        let incomparable = || RenderProblem::Incomparable {
            function: function.name(),
            left: kind_of(left),
            right: kind_of(right),
        };
        let equality = matches!(function, Function::Eq | Function::Ne);
        if holds(order(left, right, equality).ok_or_else(incomparable)?) {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn order(left: &Value, right: &Value, equality: bool) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) if equality => Some(left.cmp(right)),
        (Value::Null, Value::Null) if equality => Some(Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) if equality => Some(Ordering::Less),
        _ => None,
    }
}

/// Whole numbers are compared as such: a float would take neighbours beyond 2^53 for the same.
pub(crate) fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
