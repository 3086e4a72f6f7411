//! How a value is written where it goes, so that it stays one value there.

use core::fmt::Write;

/// Writes a text so that it is one part of a path, or one name or value of a query: all but letters, digits and
/// `-._~` becomes `%XX` (RFC 3986, section 2.3).
pub fn percent(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // A text takes whatever is written to it.
            let _written = write!(into, "%{byte:02X}");
        }
    }
}

/// A text percent-encoded.
pub fn percented(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    percent(text, &mut encoded);
    encoded
}

/// Writes a text so that it can stand in a header field: what is not ASCII becomes `%XX`. False if it has a control
/// character, which none may have.
pub fn field(text: &str, into: &mut String) -> bool {
    for c in text.chars() {
        match c {
            ' '..='~' => into.push(c),
            _ if c.is_ascii() => return false,
            _ => percent(c.encode_utf8(&mut [0; 4]), into),
        }
    }
    true
}

/// Writes a text so that it can stand inside a JSON string.
pub fn json_inside(text: &str, into: &mut String) {
    let quoted = serde_json::Value::from(text).to_string();
    into.push_str(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_url_is_one_value() {
        assert_eq!(percented("a&b=c/../?#% 你\r\n~"), "a%26b%3Dc%2F..%2F%3F%23%25%20%E4%BD%A0%0D%0A~");
    }

    #[test]
    fn a_header_has_no_control_characters() {
        let mut value = String::new();
        assert!(field("a \"b\" é", &mut value));
        assert_eq!(value, "a \"b\" %C3%A9");
        for text in ["a\r\nX: y", "\0", "\x7f", "\t"] {
            assert!(!field(text, &mut String::new()), "{text:?}");
        }
    }

    #[test]
    fn a_value_in_a_json_string_ends_no_string() {
        let mut value = String::new();
        json_inside("a\"b\\c\n你", &mut value);
        assert_eq!(value, r#"a\"b\\c\n你"#);
    }
}
