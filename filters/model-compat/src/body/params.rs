//! Rules for the members of a request.

use std::borrow::Cow;

use serde_json::{Number, Value};
use weir_schema::compat::{Bounds, Params};
use weir_wire::walk::Place;

use super::Refused;

/// What becomes of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Kept,
    /// It has another name or another value, as JSON.
    Changed {
        /// The name, with its quotes.
        name: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    },
    Removed,
}

impl Fate {
    /// It has this value.
    pub(super) fn valued(value: impl Into<Vec<u8>>) -> Self {
        Self::Changed { name: None, value: Some(value.into()) }
    }
}

/// What the rules make of each member.
pub(super) fn fates(
    body: &[u8],
    members: &[Place],
    names: &[Cow<'_, str>],
    rules: &Params,
) -> Result<Vec<Fate>, Refused> {
    if *rules == Params::default() {
        return Ok(vec![Fate::Kept; members.len()]);
    }
    let mut fates = Vec::with_capacity(members.len());
    for (place, name) in members.iter().zip(names) {
        let value = body.get(place.value.clone()).unwrap_or_default();
        if rules.refuse.contains(&**name) && value != b"null" {
            return Err(Refused { param: name.to_string() });
        }
        fates.push(fate(name, value, names, rules));
    }
    Ok(fates)
}

fn fate(name: &str, value: &[u8], names: &[Cow<'_, str>], rules: &Params) -> Fate {
    if rules.drop.contains(name) {
        return Fate::Removed;
    }
    let renamed = rules.rename.get(name);
    // Of both names the new one's value stays.
    if renamed.is_some_and(|other| names.iter().any(|name| *name == *other)) {
        return Fate::Removed;
    }
    let now = renamed.map_or(name, String::as_str);
    let rule = |known: &dyn Fn(&str) -> bool| name_of_rule(now, rules, known);
    let set = rule(&|name| rules.set.contains_key(name)).and_then(|name| rules.set.get(name));
    let default = rule(&|name| rules.defaults.contains_key(name)).and_then(|name| rules.defaults.get(name));
    let bounds = rule(&|name| rules.clamp.contains_key(name)).and_then(|name| rules.clamp.get(name));
    let value = match (set, default) {
        (Some(set), _) => Some(json(set)),
        (None, Some(default)) if value == b"null" => Some(json(default)),
        (None, _) => bounds.and_then(|bounds| clamped(value, bounds)),
    };
    match (renamed, value) {
        (None, None) => Fate::Kept,
        (name, value) => Fate::Changed { name: name.map(|name| json(&name.as_str().into())), value },
    }
}

/// The members that are added at the end: those that are set or have a default, and are not there.
pub(super) fn missing(
    members: &[Place],
    names: &[Cow<'_, str>],
    fates: &[Fate],
    rules: &Params,
) -> Vec<String> {
    let there = |wanted: &str| {
        let mut known = members.iter().zip(names).zip(fates);
        known.any(|((_, name), fate)| match fate {
            Fate::Removed => false,
            Fate::Kept | Fate::Changed { .. } => {
                rules.rename.get(&**name).map_or(&**name, String::as_str) == wanted
            }
        })
    };
    let mut added: Vec<(&str, &Value)> = Vec::new();
    for (name, value) in rules.set.iter().chain(&rules.defaults) {
        let name = rules.rename.get(name).unwrap_or(name).as_str();
        if !there(name) && !added.iter().any(|(known, _)| *known == name) {
            added.push((name, value));
        }
    }
    added.into_iter().map(|(name, value)| format!("{}:{value}", Value::from(name))).collect()
}

/// The name under which a rule is known for a member that is called `now`: this one, or one that it has in its place.
fn name_of_rule<'a>(now: &'a str, rules: &'a Params, known: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    let others = rules.rename.iter().filter(|(_, other)| *other == now).map(|(name, _)| name.as_str());
    [now].into_iter().chain(others).find(|name| known(name))
}

/// The bound that a number is beyond.
fn clamped(value: &[u8], bounds: &Bounds) -> Option<Vec<u8>> {
    let number: Number = serde_json::from_slice(value).ok()?;
    let beyond = |bound: &&Number, order: fn(&f64, &f64) -> bool| match (number.as_f64(), bound.as_f64()) {
        (Some(number), Some(bound)) => order(&number, &bound),
        (None, _) | (_, None) => false,
    };
    let over = bounds.max().filter(|max| beyond(max, f64::gt));
    let bound = over.or_else(|| bounds.min().filter(|min| beyond(min, f64::lt)))?;
    Some(bound.to_string().into_bytes())
}

/// A value as JSON.
pub(super) fn json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
