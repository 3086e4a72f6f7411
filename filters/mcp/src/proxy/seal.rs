//! Sessions at servers behind this one, as clients hold them: sealed, so that no Envoy has to remember any.
//!
//! `Mcp-Session-Id` is `k1.` and in Base64 the key's id and an AES-SIV ciphertext (RFC 5297). AES-SIV needs no nonce, and a
//! module has no entropy to make one of: equal sessions have equal tokens, which tells nobody anything. What the token is
//! bound to, the server and the caller, goes into its associated data, each part by itself.

use std::fmt;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use weir_core::UnixTime;
use weir_schema::mcp::{SessionKey, SessionKeys};

use crate::version::Version;

/// A session at one server or at several, as a client has begun it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// The revision that the client speaks.
    #[serde(rename = "p")]
    pub(crate) version: Version,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "e")]
    pub(crate) expires: u64,
    /// What it is at each server, by the server's name.
    #[serde(rename = "b")]
    pub(crate) parts: Vec<(String, Session)>,
}

/// A session at a server, as the server has begun it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its id, if the server has given one.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none", default)]
    pub(crate) id: Option<String>,
    /// The revision that the server speaks in it.
    #[serde(rename = "p")]
    pub(crate) version: Version,
}

/// Whose a session is: the server's name, and the caller's if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder<'a> {
    pub(crate) server: &'a str,
    pub(crate) consumer: Option<&'a str>,
}

/// Seals and opens sessions.
#[derive(Debug)]
pub(crate) struct Sealer {
    /// The first seals; all of them open.
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: [u8; ID],
    key: [u8; LENGTH],
}

impl Sealer {
    /// The keys of an answer, and of those before it such as may have sealed what is still held. `None`: it has none.
    pub(crate) fn of(keys: &SessionKeys, before: Option<&Self>) -> Option<Self> {
        let mut all: Vec<Key> = keys.keys.iter().map(Key::of).collect::<Option<_>>()?;
        for known in before.into_iter().flat_map(|before| &before.keys) {
            if all.iter().all(|key| key.id != known.id) {
                all.push(known.clone());
            }
        }
        all.truncate(MAX_KEYS);
        (!keys.keys.is_empty()).then_some(Self { keys: all })
    }

    /// A session as its client holds it. `None`: it would be too long.
    pub(crate) fn seal(&self, holder: Holder<'_>, session: &Sealed) -> Option<String> {
        let key = self.keys.first()?;
        let text = serde_json::to_vec(session).ok()?;
        let sealed = key.cipher().encrypt(holder.associated(&key.id), &text).ok()?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([key.id.as_slice(), &sealed].concat()));
        (token.len() <= LONGEST).then_some(token)
    }

    /// The session that a client holds, if it is this holder's, and not over.
    pub(crate) fn open(&self, holder: Holder<'_>, token: &[u8], now: UnixTime) -> Option<Sealed> {
        if token.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX.as_bytes())?).ok()?;
        let (id, sealed) = bytes.split_first_chunk::<ID>()?;
        let key = self.keys.iter().find(|key| key.id == *id)?;
        let text = key.cipher().decrypt(holder.associated(id), sealed).ok()?;
        let session: Sealed = serde_json::from_slice(&text).ok()?;
        (now.seconds() < session.expires).then_some(session)
    }

    /// Whether a token says that one of these keys has sealed it.
    pub(crate) fn knows(&self, token: &[u8]) -> bool {
        let id = token.strip_prefix(PREFIX.as_bytes()).and_then(|rest| rest.get(..ID_CHARS));
        let id = id.and_then(|id| URL_SAFE_NO_PAD.decode(id).ok());
        // These characters say more than the id: also the first bytes of the ciphertext.
        self.keys.iter().any(|key| id.as_ref().is_some_and(|id| id.starts_with(&key.id)))
    }

    /// A note that only who holds `token` can read again: what has become of its session at `server`.
    pub(crate) fn seal_note(&self, token: &[u8], server: &str, session: &Session) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let text = serde_json::to_vec(session).ok()?;
        key.cipher().encrypt([NOTE, token, server.as_bytes()], &text).ok()
    }

    /// What such a note says.
    pub(crate) fn open_note(&self, token: &[u8], server: &str, note: &[u8]) -> Option<Session> {
        let open = |key: &Key| key.cipher().decrypt([NOTE, token, server.as_bytes()], note).ok();
        serde_json::from_slice(&self.keys.iter().find_map(open)?).ok()
    }
}

impl Sealed {
    /// A session that begins now.
    pub(crate) fn new(now: UnixTime, version: Version, parts: Vec<(String, Session)>) -> Self {
        Self { version, expires: now.seconds().saturating_add(LIFETIME_SECS), parts }
    }
}

impl<'a> Holder<'a> {
    /// What a token is bound to. A caller without a name is none whose name is empty.
    fn associated(&self, key: &'a [u8]) -> [&'a [u8]; 5] {
        let (kind, name) = match self.consumer {
            Some(name) => (b"caller".as_slice(), name.as_bytes()),
            None => (b"anyone".as_slice(), b"".as_slice()),
        };
        [SESSION, key, self.server.as_bytes(), kind, name]
    }
}

impl Key {
    fn of(key: &SessionKey) -> Option<Self> {
        let id = u32::from_str_radix(&key.id, 16).ok().filter(|_| key.id.len() == 2 * ID)?;
        let key = STANDARD.decode(&key.key).ok()?.try_into().ok()?;
        Some(Self { id: id.to_be_bytes(), key })
    }

    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new(&self.key.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:02x?})", self.id)
    }
}

const PREFIX: &str = "k1.";
/// The length of a key's id, in bytes, and in characters of Base64 that hold all of it.
const ID: usize = 4;
const ID_CHARS: usize = 8;
const LENGTH: usize = 64;
/// The longest token, in bytes.
const LONGEST: usize = 4 * 1024;
/// How many keys open.
const MAX_KEYS: usize = 4;
/// How long a session lasts at most.
const LIFETIME_SECS: u64 = 24 * 3600;

/// What is sealed, so that nothing is taken for something else.
const SESSION: &[u8] = b"weir mcp session";
const NOTE: &[u8] = b"weir mcp note";

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keys by their first bytes.
    pub(crate) fn keys(ids: &[u8]) -> SessionKeys {
        let key = |id: &u8| SessionKey { id: format!("{id:08x}"), key: STANDARD.encode([*id; LENGTH]) };
        SessionKeys { keys: ids.iter().map(key).collect() }
    }

    fn sealer(ids: &[u8]) -> Sealer {
        Sealer::of(&keys(ids), None).unwrap()
    }

    fn session(ids: &[Option<String>]) -> Sealed {
        let part = |(at, id): (usize, &Option<String>)| {
            (format!("s{at}"), Session { id: id.clone(), version: Version::V2025_06_18 })
        };
        Sealed::new(NOW, Version::V2025_11_25, ids.iter().enumerate().map(part).collect())
    }

    const NOW: UnixTime = UnixTime::from_seconds(1_000_000);
    const HOLDER: Holder<'_> = Holder { server: "all", consumer: Some("team") };

    #[test]
    fn a_session_is_opened_with_the_key_that_sealed_it_until_it_is_over() {
        let session = session(&[Some("a".into()), None]);
        let token = sealer(&[1]).seal(HOLDER, &session).unwrap();
        assert!(token.starts_with("k1.") && token.bytes().all(|byte| byte.is_ascii_graphic()));
        let rotated = sealer(&[2, 1]);
        assert!(rotated.knows(token.as_bytes()) && !sealer(&[2]).knows(token.as_bytes()));
        assert_eq!(rotated.open(HOLDER, token.as_bytes(), NOW), Some(session.clone()));
        assert_eq!(sealer(&[2]).open(HOLDER, token.as_bytes(), NOW), None);
        let later = UnixTime::from_seconds(NOW.seconds() + LIFETIME_SECS);
        assert_eq!(rotated.open(HOLDER, token.as_bytes(), later), None);
    }

    #[test]
    fn keys_that_are_gone_open_for_a_while() {
        let old = sealer(&[1]);
        let token = old.seal(HOLDER, &session(&[])).unwrap();
        let mut now = old;
        for next in 2..=4 {
            now = Sealer::of(&keys(&[next]), Some(&now)).unwrap();
            assert!(now.open(HOLDER, token.as_bytes(), NOW).is_some(), "{next}");
        }
        now = Sealer::of(&keys(&[5]), Some(&now)).unwrap();
        assert_eq!(now.open(HOLDER, token.as_bytes(), NOW), None);
        assert!(Sealer::of(&SessionKeys::default(), Some(&now)).is_none());
    }

    #[test]
    fn a_session_that_would_be_too_long_is_not_sealed() {
        assert!(sealer(&[1]).seal(HOLDER, &session(&[Some("x".repeat(2900))])).is_some());
        assert!(sealer(&[1]).seal(HOLDER, &session(&[Some("x".repeat(3100))])).is_none());
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", sealer(&[7])), "Sealer { keys: [Key([00, 00, 00, 07])] }");
        assert_eq!(format!("{:?}", keys(&[7])), "SessionKeys { keys: [SessionKey(00000007)] }");
    }

    #[test]
    fn a_note_is_read_with_its_token_and_server_only() {
        let (sealer, session) = (sealer(&[1]), Session { id: None, version: Version::V2025_03_26 });
        let note = sealer.seal_note(b"k1.a", "logs", &session).unwrap();
        assert_eq!(sealer.open_note(b"k1.a", "logs", &note), Some(session));
        assert_eq!(sealer.open_note(b"k1.b", "logs", &note), None);
        assert_eq!(sealer.open_note(b"k1.a", "wiki", &note), None);
    }

    proptest! {
        #[test]
        fn nobody_opens_what_is_not_its_own(
            ids in prop::collection::vec(prop::option::of("[!-~]{0,40}"), 0..4),
            server in "[a-z]{1,8}", consumer in prop::option::of("[a-z]{0,8}"),
            other in "[a-z]{1,8}", other_consumer in prop::option::of("[a-z]{0,8}"),
            at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<prop::sample::Index>(),
        ) {
            let session = session(&ids);
            let own = Holder { server: &server, consumer: consumer.as_deref() };
            let foreign = Holder { server: &other, consumer: other_consumer.as_deref() };
            let sealer = sealer(&[1]);
            let token = sealer.seal(own, &session).unwrap().into_bytes();
            prop_assert_eq!(sealer.open(own, &token, NOW), Some(session));
            if own != foreign {
                prop_assert_eq!(sealer.open(foreign, &token, NOW), None);
            }
            // A key of the same id that is another.
            let mut forged = keys(&[1]);
            forged.keys[0].key = keys(&[2]).keys[0].key.clone();
            prop_assert_eq!(Sealer::of(&forged, None).unwrap().open(own, &token, NOW), None);
            // Any byte of it.
            let mut bytes = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let tampered = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes));
            prop_assert_eq!(sealer.open(own, tampered.as_bytes(), NOW), None);
            prop_assert_eq!(sealer.open(own, &token[..cut.index(token.len())], NOW), None);
        }
    }
}
