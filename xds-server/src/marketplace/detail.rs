//! What a server is and where it is reached, as `server.json` has it (MCP registry, schema 2025-12-11).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ListingVersion;

/// A server. What the schema has beside these fields is kept as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Parts")]
pub struct Detail {
    /// `reverse-dns/name`.
    pub name: ListingName,
    /// What it is for, in 1 to 100 characters.
    pub description: String,
    /// Its version.
    pub version: ListingVersion,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it is reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<Remote>,
    /// The rest of it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A place where a server is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Remote {
    /// What it speaks.
    pub r#type: Transport,
    /// Where it is.
    #[schemars(extend("pattern" = "^https?://[^\\s]+$"))]
    pub url: String,
    /// The rest of it: header fields and their variables.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Transport {
    /// Streamable HTTP.
    #[serde(rename = "streamable-http")]
    StreamableHttp,
    /// HTTP with SSE, of the revision 2024-11-05.
    #[serde(rename = "sse")]
    Sse,
}

/// The name of a server: a reversed domain name, a slash, and a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("pattern" = r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "minLength" = 3, "maxLength" = 200))]
#[serde(try_from = "String", into = "String")]
pub struct ListingName(String);

/// A server before it is checked.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Server")]
struct Parts {
    /// `reverse-dns/name`.
    name: ListingName,
    /// What it is for.
    #[schemars(length(min = 1, max = 100))]
    description: String,
    /// Its version.
    version: ListingVersion,
    /// A name for people.
    #[schemars(length(min = 1, max = 100))]
    title: Option<String>,
    /// Where it is reached.
    #[serde(default)]
    remotes: Vec<Remote>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl TryFrom<Parts> for Detail {
    type Error = InvalidDetail;

    fn try_from(parts: Parts) -> Result<Self, InvalidDetail> {
        let Parts { name, description, version, title, remotes, rest } = parts;
        let fits = |text: &str| (1..=LONGEST_TEXT).contains(&text.chars().count());
        if !fits(&description) {
            return Err(InvalidDetail::Description);
        }
        if !title.as_deref().is_none_or(fits) {
            return Err(InvalidDetail::Title);
        }
        let is_url = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if remotes.iter().any(|remote| !is_url(&remote.url) || remote.url.contains(char::is_whitespace)) {
            return Err(InvalidDetail::Url);
        }
        // The status of a listing is no part of what is listed.
        if rest.contains_key("status") {
            return Err(InvalidDetail::Status);
        }
        Ok(Self { name, description, version, title, remotes, rest })
    }
}

impl ListingName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ListingName {
    type Error = InvalidDetail;

    fn try_from(text: String) -> Result<Self, InvalidDetail> {
        let plain =
            |more: &'static [u8]| move |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        let is_name = text.split_once('/').is_some_and(|(space, name)| {
            let filled = !space.is_empty() && !name.is_empty();
            filled && space.bytes().all(plain(b".-")) && name.bytes().all(plain(b"._-"))
        });
        if is_name && text.len() <= LONGEST_NAME { Ok(Self(text)) } else { Err(InvalidDetail::Name) }
    }
}

impl From<ListingName> for String {
    fn from(name: ListingName) -> Self {
        name.0
    }
}

impl fmt::Display for ListingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDetail {
    /// Its name is none.
    #[error(
        "a name is a reversed domain name, a slash and a name, such as com.example/logs, of at most 200 characters"
    )]
    Name,
    /// Its description is none.
    #[error("a description has 1 to 100 characters")]
    Description,
    /// Its title is none.
    #[error("a title has 1 to 100 characters")]
    Title,
    /// A remote's URL is none.
    #[error("a remote has a URL that begins with http:// or https://")]
    Url,
    /// A status stands where it does not belong.
    #[error("the status is no part of a server; it is set by PATCH")]
    Status,
}

const LONGEST_TEXT: usize = 100;
const LONGEST_NAME: usize = 200;
