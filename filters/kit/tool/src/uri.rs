//! URIs with variables.

use crate::LoadError;
use serde_json::{Map, Value};

/// A URI with variables, `logs://app/{appid}`: each is a part without a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UriTemplate {
    /// The text before each variable, with its name.
    parts: Vec<(String, String)>,
    tail: String,
}

impl UriTemplate {
    pub(crate) fn parse(text: &str) -> Result<Self, LoadError> {
        let wrong = |problem| LoadError::new("uri_template", problem);
        let mut parts: Vec<(String, String)> = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or_else(|| wrong("\"{\" without \"}\""))?;
            if before.is_empty() && !parts.is_empty() {
                return Err(wrong("between two variables stands a text"));
            }
            parts.push((before.into(), name.into()));
            rest = tail;
        }
        Ok(Self { parts, tail: rest.into() })
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|(_, name)| name.as_str())
    }

    /// The variables of a URI, if it is one of these.
    pub(crate) fn read(&self, uri: &str) -> Option<Map<String, Value>> {
        let mut values = Map::new();
        let mut rest = uri;
        let mut parts = self.parts.iter().peekable();
        while let Some((before, name)) = parts.next() {
            rest = rest.strip_prefix(before.as_str())?;
            let after = parts.peek().map_or(self.tail.as_str(), |(next, _)| next.as_str());
            let end = match after {
                "" => rest.len(),
                after => rest.find(after)?,
            };
            let (value, tail) = rest.split_at_checked(end)?;
            let value = decoded(value)?;
            if value.is_empty() || value.contains('/') {
                return None;
            }
            values.insert(name.clone(), value.into());
            rest = tail;
        }
        (rest == self.tail).then_some(values)
    }
}

/// A text without `%XX`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_found_in_a_uri() {
        let template = UriTemplate::parse("logs://app/{appid}/day/{day}").unwrap();
        let read = |uri: &str| template.read(uri).map(Value::Object);
        assert_eq!(read("logs://app/a%20b/day/1"), Some(json!({"appid": "a b", "day": "1"})));
        for uri in
            ["logs://app//day/1", "logs://app/a/b/day/1", "logs://app/a%2Fb/day/1", "logs://app/a/day/", "x"]
        {
            assert_eq!(read(uri), None, "{uri}");
        }
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        assert!(UriTemplate::parse("a://{b}{c}").is_err());
        assert!(UriTemplate::parse("a://{b").is_err());
    }
}
