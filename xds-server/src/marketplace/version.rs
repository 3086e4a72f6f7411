//! Versions of servers.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One version of a server, as its publisher writes it: no range of them, and not `latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("pattern" = r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,254}$", "not" = {"const": "latest"}))]
#[serde(try_from = "String", into = "String")]
pub struct ListingVersion(String);

impl ListingVersion {
    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ListingVersion {
    type Error = InvalidListingVersion;

    fn try_from(text: String) -> Result<Self, InvalidListingVersion> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+_-".contains(&byte);
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = starts && text.len() <= LONGEST && text.bytes().all(plain);
        let is_range = text.split('.').any(|part| part.eq_ignore_ascii_case("x"));
        if fits && !is_range && text != super::LATEST { Ok(Self(text)) } else { Err(InvalidListingVersion) }
    }
}

impl From<ListingVersion> for String {
    fn from(version: ListingVersion) -> Self {
        version.0
    }
}

impl fmt::Display for ListingVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is one version such as 1.0.2, not a range and not \"latest\", of at most 255 characters")]
pub struct InvalidListingVersion;

const LONGEST: usize = 255;
