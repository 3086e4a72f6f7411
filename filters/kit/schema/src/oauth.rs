//! OAuth as resource servers know it: resources, scopes, and what tells clients of them.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The identifier of a protected resource, which is the audience of its tokens and where its clients find it:
/// `https://mcp.example.com/logs` (RFC 8707, section 2; RFC 9728, section 1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "json-schema",
    schemars(extend("pattern" = r"^https?://[a-z0-9._:\[\]-]+(/[A-Za-z0-9._~-]+)*$", "maxLength" = 512))
)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceUri(String);

/// A scope of a token (RFC 6749, section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(extend("pattern" = r"^[!#-\[\]-~]{1,128}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

impl ResourceUri {
    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its path; nothing for a whole host.
    pub fn path(&self) -> &str {
        self.split().1
    }

    /// Where its metadata is (RFC 9728, section 3.1).
    ///
    /// ```
    /// # use weir_schema::oauth::ResourceUri;
    /// let resource = ResourceUri::try_from("https://mcp.example.com/logs".to_owned())?;
    /// assert_eq!(resource.path(), "/logs");
    /// let metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/logs";
    /// assert_eq!(resource.metadata(), metadata);
    /// # Ok::<(), weir_schema::oauth::InvalidOAuth>(())
    /// ```
    pub fn metadata(&self) -> String {
        let (origin, path) = self.split();
        format!("{origin}{WELL_KNOWN}{path}")
    }

    /// The part up to the host and its port, and the path behind it.
    fn split(&self) -> (&str, &str) {
        self.0.split_at(self.0.match_indices('/').nth(2).map_or(self.0.len(), |(at, _)| at))
    }
}

impl TryFrom<String> for ResourceUri {
    type Error = InvalidOAuth;

    fn try_from(text: String) -> Result<Self, InvalidOAuth> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(InvalidOAuth::Resource)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let of_host =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._:[]-".contains(&byte);
        let of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        let segment = |text: &str| !text.is_empty() && text.bytes().all(of_path);
        let has_path = !path.is_empty();
        let plain = !host.is_empty() && host.bytes().all(of_host);
        if text.len() > MAX_LEN || !plain || (has_path && !path.split('/').skip(1).all(segment)) {
            return Err(InvalidOAuth::Resource);
        }
        Ok(Self(text))
    }
}

impl From<ResourceUri> for String {
    fn from(resource: ResourceUri) -> Self {
        resource.0
    }
}

impl Scope {
    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidOAuth;

    fn try_from(text: String) -> Result<Self, InvalidOAuth> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.is_empty() || text.len() > MAX_SCOPE || !text.bytes().all(plain) {
            return Err(InvalidOAuth::Scope);
        }
        Ok(Self(text))
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

/// Scopes as tokens and challenges have them: with a space between them, each once.
pub fn joined<'a>(scopes: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = Vec::new();
    for scope in scopes {
        if !known.contains(&scope) {
            known.push(scope);
        }
    }
    known.join(" ")
}

/// Why a text is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidOAuth {
    /// It is no identifier of a resource.
    Resource,
    /// It is no scope.
    Scope,
}

impl fmt::Display for InvalidOAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource => {
                "a resource is a URL such as https://mcp.example.com/logs, in lower case up to its path, and without a slash at its end, a query or a fragment"
            }
            Self::Scope => "a scope has 1 to 128 printable ASCII characters, and no space, quote or backslash",
        })
    }
}

impl core::error::Error for InvalidOAuth {}

/// Where the metadata of protected resources is, before the path of each (RFC 9728, section 3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

const MAX_LEN: usize = 512;
const MAX_SCOPE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_a_url_in_its_one_form() {
        let of = |text: &str| ResourceUri::try_from(text.to_owned());
        let whole = of("http://[::1]:8080").unwrap();
        assert_eq!(
            (whole.path(), whole.metadata().as_str()),
            ("", "http://[::1]:8080/.well-known/oauth-protected-resource")
        );
        for text in [
            "",
            "mcp.example.com/logs",
            "ftp://mcp.example.com",
            "https://",
            "https:///logs",
            "https://MCP.example.com/logs",
            "https://mcp.example.com/",
            "https://mcp.example.com/logs/",
            "https://mcp.example.com//logs",
            "https://mcp.example.com/logs?a=b",
            "https://mcp.example.com/logs#a",
            "https://user@mcp.example.com/logs",
            "https://mcp.example.com/\"",
        ] {
            assert_eq!(of(text), Err(InvalidOAuth::Resource), "{text}");
        }
    }

    #[test]
    fn a_scope_can_stand_in_a_challenge() {
        for text in ["", "a b", "a\"", "a\\", "ü", &"x".repeat(129)] {
            assert_eq!(Scope::try_from(text.to_owned()), Err(InvalidOAuth::Scope), "{text}");
        }
        assert_eq!(Scope::try_from("mcp:tools/read".to_owned()).unwrap().as_str(), "mcp:tools/read");
        assert_eq!(joined(["a", "b", "a"]), "a b");
    }
}
