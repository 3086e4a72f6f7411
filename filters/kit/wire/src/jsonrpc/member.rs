//! The members of a JSON object, as they are written.

use core::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object that matter.
#[derive(Clone, Debug, Default)]
pub struct Members<'a>(Vec<(&'static str, &'a RawValue)>);

/// Why a value has no members that could be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMembers {
    /// It is no object.
    NotObject,
    /// A member that matters stands there twice, perhaps in another case.
    Twice,
}

impl<'a> Members<'a> {
    /// Reads those of `known`.
    pub fn parse(raw: &'a RawValue, known: &[&'static str]) -> Result<Self, NotMembers> {
        let found = raw.deserialize_map(Find(known)).map_err(|_| NotMembers::NotObject)?;
        found.ok_or(NotMembers::Twice)
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

struct Find<'k>(&'k [&'static str]);

impl<'de> Visitor<'de> for Find<'_> {
    /// Nothing if a member stands there twice.
    type Value = Option<Members<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Some(Members::default());
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            let folded = fold(&key);
            let Some(known) = self.0.iter().find(|known| fold(known) == folded) else { continue };
            let twice = key != **known || members.as_ref().is_some_and(|found| found.get(known).is_some());
            match &mut members {
                Some(found) if !twice => found.0.push((known, value)),
                _ => members = None,
            }
        }
        Ok(members)
    }
}

/// A key as a parser that ignores case compares it: two letters outside ASCII are folded into it.
///
/// Source: Go, encoding/json, `foldRune`.
fn fold(key: &str) -> String {
    let letter = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(letter).collect()
}
