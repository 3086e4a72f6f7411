//! What a request head says of the caller, and what of it may go no further.

use weir_core::Head;
use weir_schema::{HEADER_PREFIX, KeyHash, PROVIDER_HEADER, STEERING_HEADERS};

use sha2::{Digest, Sha256};

/// The hash of the key a request carries. `None`: it carries none that could be one.
///
/// `authorization: Bearer` (RFC 6750) comes before `x-api-key` (Anthropic's clients) and `api-key` (Azure's).
pub(crate) fn presented(head: &Head<'_>) -> Option<KeyHash> {
    let bearer = head.get("authorization").and_then(bearer);
    let secret = bearer.or_else(|| head.get("x-api-key")).or_else(|| head.get("api-key"))?;
    if secret.is_empty() || secret.len() > MAX_SECRET_BYTES {
        return None;
    }
    Some(KeyHash::from_bytes(Sha256::digest(secret).into()))
}

/// The names of the header fields that must not reach another filter or an upstream; of a message that is relayed, the
/// credential may.
pub(crate) fn private_fields(head: &Head<'_>, is_relayed: bool) -> Vec<String> {
    let mut names: Vec<String> = head
        .fields()
        .filter_map(|(name, _)| str::from_utf8(name).ok())
        .filter(|name| {
            let ours = name.starts_with(HEADER_PREFIX) && *name != PROVIDER_HEADER;
            let is_credential = !is_relayed && CREDENTIALS.contains(name);
            is_credential || ours || STEERING_HEADERS.contains(name)
        })
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| secret.trim_ascii())
}

const BEARER: &[u8] = b"Bearer ";
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
const MAX_SECRET_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_where_each_client_puts_it() {
        let secret = Some(KeyHash::from_bytes(Sha256::digest(b"wk-1").into()));
        for (name, value) in [
            ("authorization", "Bearer wk-1"),
            ("authorization", "bearer   wk-1 "),
            ("x-api-key", "wk-1"),
            ("api-key", "wk-1"),
        ] {
            assert_eq!(presented(&Head::new(&[(name, value)], true)), secret, "{name}: {value}");
        }
        let both = [("api-key", "other"), ("authorization", "Basic x"), ("x-api-key", "wk-1")];
        assert_eq!(presented(&Head::new(&both, true)), secret);
    }

    #[test]
    fn what_cannot_be_a_key_is_none() {
        let long = "x".repeat(513);
        for value in ["", "Bearer", "Bearer ", "Basic wk-1", "wk-1", &format!("Bearer {long}")] {
            assert_eq!(presented(&Head::new(&[("authorization", value)], true)), None, "{value}");
        }
        assert_eq!(presented(&Head::new(&[("x-api-key", "")], true)), None);
    }

    #[test]
    fn credentials_and_what_only_weir_or_envoy_may_say_are_private() {
        let fields = [
            (":path", &b"/"[..]),
            ("x-weir-route", b"a"),
            ("x-weir-route", b"b"),
            ("x-weir-provider", b"openai"),
            ("authorization", b"\xff"),
            ("x-envoy-max-retries", b"9"),
            ("x-gateway-destination-endpoint", b"127.0.0.1:22"),
            ("x-weird", b"stays"),
            ("user-agent", b"curl"),
        ];
        let private =
            ["authorization", "x-envoy-max-retries", "x-gateway-destination-endpoint", "x-weir-route"];
        assert_eq!(private_fields(&Head::new(&fields, true), false), private);
    }
}
