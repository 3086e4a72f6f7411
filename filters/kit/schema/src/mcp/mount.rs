//! The paths of an MCP server.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Where an MCP server is called: at one path, `/logs`, or with `/*` at its end at a path and below, `/logs/*`.
///
/// Below it, `/logs`, `/logs/` and `/logs/mcp` are one endpoint; `/logs/sse` and `/logs/message` are those of the
/// revision 2024-11-05.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "json-schema",
    schemars(extend("pattern" = r"^(/[A-Za-z0-9._~-]+)+(/\*)?$", "maxLength" = 256))
)]
#[serde(try_from = "String", into = "String")]
pub struct Mount(String);

/// What stands at a path of an MCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its endpoint.
    Endpoint,
    /// The stream of the revision 2024-11-05.
    Sse,
    /// Where that revision's clients send their messages.
    Message,
    /// Nothing.
    Nowhere,
}

impl Mount {
    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the endpoint.
    pub fn base(&self) -> &str {
        self.0.strip_suffix(BELOW).unwrap_or(&self.0)
    }

    /// What stands at `path`, a request's without its query; `None` if it is none of this server's.
    ///
    /// ```
    /// # use weir_schema::mcp::{Mount, Place};
    /// let mount = Mount::try_from("/logs/*".to_owned())?;
    /// assert_eq!(mount.find("/logs/mcp"), Some(Place::Endpoint));
    /// assert_eq!(mount.find("/logs/more"), Some(Place::Nowhere));
    /// assert_eq!(mount.find("/logsmore"), None);
    /// # Ok::<(), weir_schema::mcp::InvalidMount>(())
    /// ```
    pub fn find(&self, path: &str) -> Option<Place> {
        let rest = path.strip_prefix(self.base())?;
        if !self.0.ends_with(BELOW) {
            return rest.is_empty().then_some(Place::Endpoint);
        }
        match rest {
            "" | "/" | "/mcp" => Some(Place::Endpoint),
            "/sse" => Some(Place::Sse),
            "/message" => Some(Place::Message),
            _ => rest.starts_with('/').then_some(Place::Nowhere),
        }
    }

    /// Whether a request could be both this server's and the other's.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.find(other.base()).is_some() || other.find(self.base()).is_some()
    }
}

impl TryFrom<String> for Mount {
    type Error = InvalidMount;

    fn try_from(text: String) -> Result<Self, InvalidMount> {
        let base = text.strip_suffix(BELOW).unwrap_or(&text);
        let segments = base.strip_prefix('/').ok_or(InvalidMount)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let segment = |text: &str| !text.is_empty() && text != "." && text != ".." && text.bytes().all(plain);
        if text.len() > MAX_LEN || !segments.split('/').all(segment) {
            return Err(InvalidMount);
        }
        Ok(Self(text))
    }
}

impl From<Mount> for String {
    fn from(mount: Mount) -> Self {
        mount.0
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the path of an MCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidMount;

impl fmt::Display for InvalidMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path is /name or /name/* of letters, digits, '-', '.', '_' and '~'")
    }
}

impl core::error::Error for InvalidMount {}

const BELOW: &str = "/*";
const MAX_LEN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<Mount, InvalidMount> {
        Mount::try_from(text.to_owned())
    }

    #[test]
    fn an_exact_path_is_one_endpoint() {
        let exact = mount("/a/logs").unwrap();
        let places = ["/a/logs", "/a/logs/", "/a/logs/sse", "/a/log"].map(|path| exact.find(path));
        assert_eq!(places, [Some(Place::Endpoint), None, None, None]);
    }

    #[test]
    fn a_path_and_what_is_below_it_has_the_endpoints_of_all_revisions() {
        let below = mount("/logs/*").unwrap();
        for (path, place) in [
            ("/logs", Some(Place::Endpoint)),
            ("/logs/", Some(Place::Endpoint)),
            ("/logs/mcp", Some(Place::Endpoint)),
            ("/logs/sse", Some(Place::Sse)),
            ("/logs/message", Some(Place::Message)),
            ("/logs/sse/", Some(Place::Nowhere)),
            ("/logs2", None),
            ("/", None),
        ] {
            assert_eq!(below.find(path), place, "{path}");
        }
        assert_eq!((below.base(), below.as_str()), ("/logs", "/logs/*"));
    }

    #[test]
    fn overlapping_paths_are_told() {
        let pairs =
            [("/a/*", "/a/b", true), ("/a/b/*", "/a/*", true), ("/a", "/a/b", false), ("/a", "/a", true)];
        for (one, other, expected) in pairs {
            assert_eq!(mount(one).unwrap().overlaps(&mount(other).unwrap()), expected, "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_plain_path_is_refused() {
        for text in ["", "/", "/*", "logs", "/logs/", "/a//b", "/a/../b", "/a b", "/a%2fb", "/a?x", "/a/*/b"]
        {
            assert_eq!(mount(text), Err(InvalidMount), "{text}");
        }
    }
}
