//! The beginning of a JSON object, read as if it had ended there.

use serde_json::Value;

/// What the beginning of an object has: what is open is closed, and a part that is cut is left out. `None`: it is none.
pub(crate) fn read(start: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(start);
    let Open { closing, end, in_string } = Open::of(&text)?;
    let kept = text.get(..end)?;
    let kept = if in_string { kept } else { kept.trim_end().trim_end_matches(',') };
    let quote = if in_string { "\"" } else { "" };
    // What was cut may have been a name, or the colon after it.
    ["", ":null", "null"].into_iter().find_map(|rest| {
        let whole = format!("{kept}{quote}{rest}{closing}");
        serde_json::from_str(&whole).ok().filter(Value::is_object)
    })
}

/// Where a text stops that has not ended.
struct Open {
    /// The brackets that close what is open.
    closing: String,
    /// Up to where it can be kept.
    end: usize,
    in_string: bool,
}

impl Open {
    fn of(text: &str) -> Option<Self> {
        let (mut stack, mut in_string) = (Vec::new(), false);
        // Where the escape, or the word outside of strings, began that may be cut.
        let (mut escape, mut word) = (None::<(usize, u8)>, None);
        for (at, byte) in text.bytes().enumerate() {
            if in_string {
                match (escape, byte) {
                    (Some((_, 0)), b'u') => escape = Some((at.checked_sub(1)?, 4)),
                    (Some((_, 0)), _) => escape = None,
                    (Some((from, left)), _) => escape = (left > 1).then_some((from, left.saturating_sub(1))),
                    (None, b'\\') => escape = Some((at, 0)),
                    (None, b'"') => in_string = false,
                    (None, _) => {}
                }
                continue;
            }
            let is_word = byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            word = if is_word { word.or(Some(at)) } else { None };
            match byte {
                b'"' => in_string = true,
                b'{' => stack.push('}'),
                b'[' => stack.push(']'),
                b'}' | b']' => drop(stack.pop()?),
                _ => {}
            }
        }
        let cut = if in_string { escape.map(|(from, _)| from) } else { word };
        Some(Self { closing: stack.iter().rev().collect(), end: cut.unwrap_or(text.len()), in_string })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_cut_is_closed() {
        for (start, expected) in [
            (r#"{"a":1,"b":[{"c":"d"#, json!({"a": 1, "b": [{"c": "d"}]})),
            (r#"{"a":1,"b":[{"c":"d","#, json!({"a": 1, "b": [{"c": "d"}]})),
            (r#"{"a":1,"b"#, json!({"a": 1, "b": null})),
            (r#"{"a":1,"b":"#, json!({"a": 1, "b": null})),
            (r#"{"a":1,"b":tr"#, json!({"a": 1, "b": null})),
            (r#"{"a":[1,23"#, json!({"a": [1]})),
            (r#"{"a":"x\"#, json!({"a": "x"})),
            (r#"{"a":"x\u00"#, json!({"a": "x"})),
            (r#"{"a":"x\u00e9"#, json!({"a": "xé"})),
            (r#"{"a":"x\\"#, json!({"a": "x\\"})),
            ("{", json!({})),
        ] {
            assert_eq!(read(start.as_bytes()), Some(expected), "{start}");
        }
        for none in ["", "}", "nothing"] {
            assert_eq!(read(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn wherever_a_text_is_cut_its_beginning_is_read(at in 1..70_usize) {
            let text = r#"{"m": [{"r": "水\n\u00e9\"", "n": -1.5e3, "t": true}, [null, {}], "x"]}"#.as_bytes();
            let read = read(&text[..at.min(text.len())]).unwrap();
            let role = read["m"][0]["r"].as_str().unwrap_or_default();
            let is_beginning = "水\né\"".starts_with(role.trim_end_matches(char::REPLACEMENT_CHARACTER));
            prop_assert!(is_beginning, "{}", role);
        }
    }
}
