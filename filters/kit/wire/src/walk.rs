//! Where the parts of a JSON text stand, without reading what is in them.
//!
//! Nothing is decoded and nothing is kept, so a filter can look for one member of an event in a fraction of the time that a
//! parser takes, and replace its bytes alone ([`crate::Splice`]). A text that is not JSON has fewer parts than it seems to.
//!
//! ```
//! # use weir_wire::walk;
//! let json = br#"{"model": "index", "choices": [{"index": 0}, 7]}"#;
//! let names = walk::members(json, 0..json.len()).map(|member| &json[member.name]);
//! assert_eq!(names.collect::<Vec<_>>(), [&b"\"model\""[..], b"\"choices\""]);
//! let choices = walk::member(json, 0..json.len(), b"choices").expect("it is there");
//! assert_eq!(walk::items(json, choices.value).map(|item| &json[item]).nth(1), Some(&b"7"[..]));
//! ```

use core::ops::Range;

use memchr::memchr2;

/// Where a member of an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name as it is written, with its quotes.
    pub name: Range<usize>,
    /// Its value as it is written.
    pub value: Range<usize>,
}

/// The members of an object; ends where the text is no JSON.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    json: &'a [u8],
    at: usize,
}

/// The items of an array; ends where the text is no JSON.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    json: &'a [u8],
    at: usize,
}

/// The members of the object that stands at `object`, if one stands there.
pub fn members(json: &[u8], object: Range<usize>) -> Members<'_> {
    Members { json: json.get(..object.end).unwrap_or_default(), at: object.start }
}

/// The items of the array that stands at `array`, if one stands there.
pub fn items(json: &[u8], array: Range<usize>) -> Items<'_> {
    Items { json: json.get(..array.end).unwrap_or_default(), at: array.start }
}

/// The first member of an object that has this name, which is written without escapes.
pub fn member(json: &[u8], object: Range<usize>, name: &[u8]) -> Option<Place> {
    members(json, object).find(|place| name_of(json, place) == name)
}

/// A member's name as it is written, without its quotes.
pub fn name_of<'a>(json: &'a [u8], place: &Place) -> &'a [u8] {
    inside(json.get(place.name.clone()).unwrap_or_default()).unwrap_or_default()
}

/// What stands between the quotes of a string, its escapes as they are; `None` if it is no string.
pub fn inside(literal: &[u8]) -> Option<&[u8]> {
    literal.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Where the value of a whole text stands; `None` if there is none, or more after it.
pub fn whole(json: &[u8]) -> Option<Range<usize>> {
    first(json).filter(|value| blank(json, value.end) == json.len())
}

/// Where the first value of a text stands; `None` if there is none, or a part of one.
pub fn first(json: &[u8]) -> Option<Range<usize>> {
    let start = blank(json, 0);
    Some(start..skip(json, start)?)
}

impl Iterator for Members<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let start = begin(self.json, self.at, b'{')?;
        let name = start..string(self.json, start)?;
        let colon = blank(self.json, name.end);
        self.json.get(colon).filter(|byte| **byte == b':')?;
        let value = blank(self.json, colon.saturating_add(1));
        let value = value..skip(self.json, value)?;
        self.at = value.end;
        Some(Place { name, value })
    }
}

impl Iterator for Items<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = begin(self.json, self.at, b'[')?;
        let item = start..skip(self.json, start)?;
        self.at = item.end;
        Some(item)
    }
}

/// Where the next part begins: after the bracket that opens, or after a comma.
fn begin(json: &[u8], at: usize, opening: u8) -> Option<usize> {
    let at = blank(json, at);
    let next = *json.get(at)?;
    if next != opening && next != b',' {
        return None;
    }
    let start = blank(json, at.saturating_add(1));
    json.get(start).is_some_and(|byte| !b"]}".contains(byte)).then_some(start)
}

fn blank(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    at.saturating_add(rest.iter().take_while(|byte| b" \t\n\r".contains(byte)).count())
}

/// The end of the value that begins at `at`.
fn skip(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => string(json, at),
        b'{' | b'[' => nested(json, at),
        _ => {
            let rest = json.get(at..)?;
            let len = rest.iter().take_while(|byte| !b",:]}\"{[ \t\n\r".contains(byte)).count();
            (len > 0).then(|| at.saturating_add(len))
        }
    }
}

/// The end of the string that begins at `at`.
fn string(json: &[u8], at: usize) -> Option<usize> {
    json.get(at).filter(|byte| **byte == b'"')?;
    let mut at = at.saturating_add(1);
    loop {
        at = at.saturating_add(memchr2(b'"', b'\\', json.get(at..)?)?);
        if json.get(at) == Some(&b'"') {
            return Some(at.saturating_add(1));
        }
        at = at.saturating_add(2);
    }
}

/// The end of the object or array that begins at `at`.
fn nested(json: &[u8], mut at: usize) -> Option<usize> {
    let mut depth: usize = 0;
    loop {
        match json.get(at)? {
            b'"' => {
                at = string(json, at)?;
                continue;
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at = at.saturating_add(1);
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(json: &[u8], range: Range<usize>) -> Value {
        serde_json::from_slice(&json[range]).unwrap()
    }

    #[test]
    fn a_text_that_is_no_json_has_fewer_parts() {
        for text in
            ["", "{", "[", "{\"a\"", "{\"a\":", "{\"a\" 1}", "\"a", "{,}", "7", "{\"a\":}", "{\"a\\\""]
        {
            assert_eq!(members(text.as_bytes(), 0..text.len()).count(), 0, "{text}");
        }
        let cut = br#"{"a":1,"b":[1,"#;
        assert_eq!(members(cut, 0..cut.len()).count(), 1);
        assert_eq!(members(cut, 0..1000).count(), 0);
        for (text, expected) in
            [(" {} ", Some(1..3)), ("{}{", None), ("", None), ("[1, {\"]\":2}]", Some(0..12))]
        {
            assert_eq!(whole(text.as_bytes()), expected, "{text}");
        }
        assert_eq!((first(b" {}{"), first(b"{\"a\":[]"), first(b" ")), (Some(1..3), None, None));
    }

    #[test]
    fn a_member_is_found_by_its_name_at_its_depth() {
        let json = br#"{"a":{"b":1},"b":"\"}","c":[]}"#;
        let place = member(json, 0..json.len(), b"b").unwrap();
        assert_eq!((&json[place.name], inside(&json[place.value])), (&b"\"b\""[..], Some(&b"\\\"}"[..])));
        assert_eq!(member(json, 0..json.len(), b"d"), None);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(Value::Null),
            "[a\"\\\\\\]}\n,é ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-c\"\\\\]{0,2}", inner), 0..4)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_parts_of_any_value_are_found(object in values(), array in values(), pretty: bool) {
            let value = json!({"o": object, "a": [array, 1], "z": {}});
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            prop_assert_eq!(whole(&text), Some(0..text.len()));
            let found: serde_json::Map<_, _> = members(&text, 0..text.len())
                .map(|place| (read(&text, place.name).as_str().unwrap().to_owned(), read(&text, place.value)))
                .collect();
            prop_assert_eq!(Value::from(found), value.clone());
            let array = member(&text, 0..text.len(), b"a").unwrap().value;
            let found: Vec<_> = items(&text, array).map(|item| read(&text, item)).collect();
            prop_assert_eq!(Value::from(found), value["a"].clone());
        }
    }
}
