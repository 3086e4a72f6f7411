//! How a key's secret begins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The first characters of a secret, by which people recognise it: at most 12, so that most of it stays unknown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z0-9_-]{1,12}$"))]
pub struct KeyPrefix(String);

impl TryFrom<String> for KeyPrefix {
    type Error = InvalidPrefix;

    fn try_from(text: String) -> Result<Self, InvalidPrefix> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_prefix = (1..=12).contains(&text.len()) && text.bytes().all(fits);
        if is_prefix { Ok(Self(text)) } else { Err(InvalidPrefix) }
    }
}

impl From<KeyPrefix> for String {
    fn from(prefix: KeyPrefix) -> Self {
        prefix.0
    }
}

/// The text is too long to be the beginning of a secret, or could not be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is 1 to 12 letters, digits, dashes and underscores")]
pub struct InvalidPrefix;
