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
    let value = match (rules.set.get(now), rules.defaults.get(now)) {
        (Some(set), _) => Some(json(set)),
        (None, Some(default)) if value == b"null" => Some(json(default)),
        (None, _) => rules.clamp.get(now).and_then(|bounds| clamped(value, bounds)),
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
    let defaults = rules.defaults.iter().filter(|(name, _)| !rules.set.contains_key(*name));
    let added = rules.set.iter().chain(defaults).filter(|(name, _)| !there(name));
    added.map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect()
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
