use core::cmp::Ordering;
use core::fmt::Write;

use serde_json::{Map, Number, Value};

use super::{Bounds, Kind, Misfit, Rules};
use crate::function::{kind_of, numbers};

/// Adds what is wrong with `value`, which stands at `at`.
pub(super) fn check(rules: &Rules, value: &Value, at: &mut String, misfits: &mut Vec<Misfit>) {
    if misfits.len() >= MAX_MISFITS {
        return;
    }
    let mut misfit = |problem: String| misfits.push(Misfit { at: at.clone(), problem });
    if rules.never {
        return misfit("is not known".to_owned());
    }
    if let Some(kinds) = &rules.kinds
        && !kinds.iter().any(|kind| kind.has(value))
    {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        return misfit(format!("must be {}, not {}", names.join(" or "), kind_of(value)));
    }
    if let Some(values) = &rules.one_of
        && !values.iter().any(|allowed| equal(allowed, value))
    {
        let values: Vec<_> = values.iter().take(MAX_SHOWN).map(ToString::to_string).collect();
        misfit(format!("must be one of {}", values.join(", ")));
    }
    match value {
        Value::Number(number) => check_number(rules, number, &mut misfit),
        Value::String(text) => {
            check_count(rules.characters, || text.chars().count(), "characters", &mut misfit)
        }
        Value::Array(items) => {
            check_count(rules.length, || items.len(), "items", &mut misfit);
            check_items(rules, items, at, misfits);
        }
        Value::Object(members) => {
            check_count(rules.members, || members.len(), "members", &mut misfit);
            check_members(rules, members, at, misfits);
        }
        Value::Null | Value::Bool(_) => {}
    }
    for shape in &rules.all_of {
        check(&shape.0, value, at, misfits);
    }
    if !rules.any_of.is_empty() {
        let fits = |shape: &super::Shape| shape.check(value).is_empty();
        if !rules.any_of.iter().any(fits) {
            misfits.push(Misfit { at: at.clone(), problem: "fits none of the forms it may have".to_owned() });
        }
    }
}

fn check_number(rules: &Rules, number: &Number, misfit: &mut impl FnMut(String)) {
    let compared = |limit: &Option<Number>, holds: fn(Ordering) -> bool| {
        limit.clone().filter(|limit| !numbers(number, limit).is_some_and(holds))
    };
    for (broken, must) in [
        (compared(&rules.minimum, Ordering::is_ge), "at least"),
        (compared(&rules.maximum, Ordering::is_le), "at most"),
        (compared(&rules.exclusive_minimum, Ordering::is_gt), "more than"),
        (compared(&rules.exclusive_maximum, Ordering::is_lt), "less than"),
    ] {
        if let Some(limit) = broken {
            misfit(format!("must be {must} {limit}"));
        }
    }
}

fn check_count(bounds: Bounds, count: impl Fn() -> usize, what: &str, misfit: &mut impl FnMut(String)) {
    if bounds == Bounds::default() {
        return;
    }
    let count = count();
    if let Some(least) = bounds.least.filter(|least| count < *least) {
        misfit(format!("must have {least} {what} or more, not {count}"));
    }
    if let Some(most) = bounds.most.filter(|most| count > *most) {
        misfit(format!("may have {most} {what}, not {count}"));
    }
}

fn check_items(rules: &Rules, items: &[Value], at: &mut String, misfits: &mut Vec<Misfit>) {
    if let Some(shape) = &rules.items {
        for (index, item) in items.iter().enumerate() {
            let here = at.len();
            // A text takes all that is written to it.
            let _written = write!(at, "[{index}]");
            check(&shape.0, item, at, misfits);
            at.truncate(here);
        }
    }
    if rules.unique {
        let mut seen = std::collections::HashSet::new();
        if !items.iter().all(|item| seen.insert(item.to_string())) {
            misfits.push(Misfit { at: at.clone(), problem: "must not have an item twice".to_owned() });
        }
    }
}

fn check_members(rules: &Rules, members: &Map<String, Value>, at: &mut String, misfits: &mut Vec<Misfit>) {
    for name in rules.required.iter().filter(|name| !members.contains_key(*name)) {
        within(at, name, |at| misfits.push(Misfit { at: at.clone(), problem: "is missing".to_owned() }));
    }
    for (name, member) in members {
        let shape = rules.properties.get(name).or(rules.additional.as_ref());
        if let Some(shape) = shape {
            within(at, name, |at| check(&shape.0, member, at, misfits));
        }
    }
}

fn within(at: &mut String, name: &str, then: impl FnOnce(&mut String)) {
    let here = at.len();
    if !at.is_empty() {
        at.push('.');
    }
    at.extend(name.chars().take(MAX_NAME));
    then(at);
    at.truncate(here);
}

/// One and 1.0 are the same number.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => numbers(one, other).is_some_and(Ordering::is_eq),
        (one, other) => one == other,
    }
}

impl Kind {
    fn has(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::String => value.is_string(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// How many misfits are told.
const MAX_MISFITS: usize = 20;
/// How many values that are allowed are told.
const MAX_SHOWN: usize = 20;
/// How much of a member's name is told.
const MAX_NAME: usize = 64;
