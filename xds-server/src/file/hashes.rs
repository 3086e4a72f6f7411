//! One hash or several.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor, value::StrDeserializer},
};
use weir_schema::KeyHash;

/// The hashes of a key's secrets, written as one or as a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "Written")]
pub struct Hashes(Vec<KeyHash>);

/// The two forms, for the JSON Schema.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Written {
    One(KeyHash),
    Several(Vec<KeyHash>),
}

impl From<Vec<KeyHash>> for Hashes {
    fn from(hashes: Vec<KeyHash>) -> Self {
        Self(hashes)
    }
}

impl From<Hashes> for Vec<KeyHash> {
    fn from(hashes: Hashes) -> Self {
        hashes.0
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Hashes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the SHA-256 of a key, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Hashes, E> {
        KeyHash::deserialize(StrDeserializer::new(text)).map(|hash| Hashes(vec![hash]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Hashes, A::Error> {
        let mut hashes = Vec::new();
        while let Some(hash) = list.next_element()? {
            hashes.push(hash);
        }
        Ok(Hashes(hashes))
    }
}
