//! Keys that sessions are sealed with.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Where the filter asks for the keys that it seals sessions with, as no configuration of Envoy may have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionSource {
    /// The cluster that is asked.
    pub cluster: String,
    /// The path that answers with [`SessionKeys`].
    pub path: String,
    /// The ids of these keys, if they are known beforehand: others are asked for at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epoch: Vec<String>,
}

/// The keys that sessions are sealed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKeys {
    /// The first seals; all of them open.
    pub keys: Vec<SessionKey>,
}

/// A key that sessions are sealed with. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKey {
    /// Tells it from others: four bytes in hexadecimal digits.
    pub id: String,
    /// 64 bytes in Base64.
    pub key: String,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", self.id)
    }
}
