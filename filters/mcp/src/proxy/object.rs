//! A JSON object whose members are taken, put and left as they are written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an object, in order, each with its JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Object<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Object<'a> {
    /// Reads an object. `None`: it is none, or a member stands there twice.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(json).ok()?;
        raw.deserialize_map(Members).ok()
    }

    /// A member's JSON.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, json)| json.as_ref())
    }

    /// A member that is a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|json| serde_json::from_str(json).ok())
    }

    /// A member, whatever it is.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        self.get(name).and_then(|json| serde_json::from_str(json).ok())
    }

    /// Puts a member in the place of the one that has its name, or behind all others.
    pub(super) fn put(&mut self, name: &str, json: impl Into<Cow<'a, str>>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = json.into(),
            None => self.0.push((name.into(), json.into())),
        }
    }

    /// Takes members away.
    pub(super) fn take(&mut self, is_taken: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| !is_taken(name));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, json)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}:{json}", Value::from(name.as_str()))?;
        }
        f.write_str("}")
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object::default();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if object.get(&name).is_some() {
                return Err(A::Error::custom("a member stands there twice"));
            }
            object.0.push((name, value.get().into()));
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_as_it_is_written() {
        let mut object =
            Object::parse(r#" {"a" : 1.50, "b": {"c" : [ 1 ]}, "\u0064": "x", "e": null}"#).unwrap();
        assert_eq!((object.get("a"), object.text("d").as_deref()), (Some("1.50"), Some("x")));
        object.put("a", "2");
        object.put("f", r#""g""#);
        object.take(|name| name == "e");
        assert_eq!(object.to_string(), r#"{"a":2,"b":{"c" : [ 1 ]},"d":"x","f":"g"}"#);
    }

    #[test]
    fn what_is_no_object_or_says_a_thing_twice_is_not_read() {
        for json in ["[]", "1", "{", r#"{"a":1,"\u0061":2}"#] {
            assert_eq!(Object::parse(json), None, "{json}");
        }
        assert_eq!(Object::parse("{}").unwrap().to_string(), "{}");
    }
}
