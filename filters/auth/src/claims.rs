//! What a token says, as Envoy hands it on, and the names that are made of it.

use sha2::{Digest, Sha256};
use weir_schema::Name;

/// A claim that is a text.
pub(crate) fn text(value: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(value).ok()?;
    let fits = !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    fits.then_some(text)
}

/// Scopes that are a list, or a text with spaces between them.
pub(crate) fn scopes(value: Vec<u8>) -> Option<String> {
    list(&value).or_else(|| text(value))
}

/// A claim that is a list of texts, with spaces between them.
///
/// Envoy gives a list as pairs (proxy-wasm: "Serialization"): their number, the lengths of each pair, then the pairs, with
/// a zero behind each half; the second half is empty.
fn list(value: &[u8]) -> Option<String> {
    let (items, mut rest) = lengths(value)?;
    let mut texts = Vec::with_capacity(items.len());
    for length in items {
        let (item, behind) = rest.split_at_checked(length)?;
        rest = behind.strip_prefix(b"\0\0")?;
        texts.push(text(item.to_vec()).filter(|text| !text.contains(' '))?);
    }
    rest.is_empty().then(|| texts.join(" "))
}

/// The lengths of a list's items, and what is behind them.
fn lengths(value: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let number = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
    let (count, mut rest) = value.split_first_chunk::<4>()?;
    let count = number(count).filter(|count| *count <= MAX_ITEMS)?;
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        let (first, behind) = rest.split_first_chunk::<4>()?;
        rest = behind.strip_prefix(&[0; 4])?;
        lengths.push(number(first)?);
    }
    Some((lengths, rest))
}

/// The consumer that a claim names. Two claims never name one: a character that no name may have is written as a slash and
/// the two hexadecimal digits of each of its bytes, and a claim that would still be no name, as a hash.
pub(crate) fn consumer(prefix: &str, claim: &str) -> String {
    let mut name = prefix.to_owned();
    for byte in claim.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("/{byte:02x}")),
        }
    }
    // No digit of a hexadecimal number is an h.
    Name::try_from(name).map_or_else(|_| format!("{prefix}u/h{}", hash(&[claim])), String::from)
}

/// A short hash of several texts.
pub(crate) fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the value of `authorization` is a JWT, and so no key (RFC 7519, section 3: the first part is a JSON object in
/// base64).
pub(crate) fn is_token(value: &[u8]) -> bool {
    let token = value.split(|byte| *byte == b' ').next_back().unwrap_or_default();
    token.starts_with(b"eyJ") && token.iter().filter(|byte| **byte == b'.').count() == 2
}

const MAX_TEXT: usize = 4096;
const MAX_ITEMS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_envoy_writes_it() {
        let mut value = b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0p\0\0qq\0\0".to_vec();
        assert_eq!(list(&value).as_deref(), Some("p qq"));
        for end in 0..value.len() {
            assert_eq!(list(&value[..end]), None, "{end}");
        }
        value.push(0);
        assert_eq!(list(&value), None);
        assert_eq!(list(b"\xff\xff\xff\xff"), None);
        assert_eq!(list(b"\x01\0\0\0\x03\0\0\0\0\0\0\0a b\0\0"), None);
        assert_eq!(list(b"\0\0\0\0").as_deref(), Some(""));
        assert_eq!(scopes(b"a b".to_vec()).as_deref(), Some("a b"));
    }

    #[test]
    fn a_text_has_no_control_characters() {
        assert_eq!(text("Zoë".into()).as_deref(), Some("Zoë"));
        for none in [&b""[..], b"a\nb", b"\xff", b"\0\0\0\x10V\xc1\xdaA", &[b'a'; 4097]] {
            assert_eq!(text(none.to_vec()), None);
        }
    }

    #[test]
    fn every_claim_names_a_consumer_of_its_own() {
        let of = |claim: &str| consumer("oauth/", claim);
        assert_eq!(of("alice"), "oauth/alice");
        assert_eq!(of("Alice@example.com"), "oauth//41lice/40example.com");
        assert_eq!(of("auth0|1/2"), "oauth/auth0/7c1/2f2");
        assert_eq!(consumer("", "alice"), "alice");
        let (long, other) = ("x".repeat(200), format!("{}y", "x".repeat(199)));
        for claim in [long.as_str(), &other, "_x", "üüü"] {
            assert!(Name::try_from(consumer("", claim)).is_ok(), "{claim}");
        }
        assert_ne!(of(&long), of(&other));
        assert_ne!(consumer("", "_x"), consumer("", "/5fx"));
        assert_ne!(of(&consumer("", &long)), of(&long));
    }

    #[test]
    fn a_key_is_no_token() {
        assert!(is_token(b"Bearer eyJhbGciOiJub25lIn0.e30.") && is_token(b"bearer eyJh.e30.c2ln"));
        for key in [&b"Bearer wk-1"[..], b"Bearer eyJ.x", b"Bearer a.b.c", b"", b"Basic eyJ"] {
            assert!(!is_token(key));
        }
    }
}
