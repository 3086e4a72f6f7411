//! Host names, as requests name them and as configuration matches them.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The host of a request's `:authority`, without its port, in the one way it is written here: lower-case, no dot
/// at its end, an IPv6 address shortened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

impl Host {
    /// The host that an authority names; `None` if it names none.
    ///
    /// ```
    /// # use weir_schema::Host;
    /// assert_eq!(Host::of(b"AI.Example.com.:8443").unwrap().as_str(), "ai.example.com");
    /// assert_eq!(Host::of(b"ai.example.com,evil.example"), None);
    /// ```
    pub fn of(authority: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(authority).ok()?;
        if let Some(bracketed) = text.strip_prefix('[') {
            let (address, port) = bracketed.split_once(']')?;
            if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
                return None;
            }
            return address.parse::<Ipv6Addr>().ok().map(|address| Self(format!("[{address}]")));
        }
        let host = match text.split_once(':') {
            Some((host, port)) if is_port(port) => host,
            Some(_) => return None,
            None => text,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        is_name(host).then(|| Self(host.to_ascii_lowercase()))
    }

    /// The host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain names above the host, the nearest first; an address has none.
    ///
    /// ```
    /// # use weir_schema::Host;
    /// let host = Host::of(b"a.b.example").unwrap();
    /// assert_eq!(host.parents().collect::<Vec<_>>(), ["b.example", "example"]);
    /// ```
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        let name = Some(self.as_str()).filter(|name| !is_address(name));
        core::iter::successors(name, |name| parent(name)).skip(1)
    }
}

/// The hosts that requests may name: one (`ai.example.com`), all below a name (`*.example.com`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// Every host.
    Any,
    /// Every host below this name, however far, but not the name itself.
    Below(String),
    /// One host.
    One(String),
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidHost;

    fn try_from(text: String) -> Result<Self, InvalidHost> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (host, below) = text.strip_prefix("*.").map_or((text.as_str(), false), |name| (name, true));
        if is_ported(host) {
            return Err(InvalidHost::Port);
        }
        let Host(host) = Host::of(host.as_bytes()).ok_or(InvalidHost::Name)?;
        match below {
            true if is_address(&host) => Err(InvalidHost::Name),
            true => Ok(Self::Below(host)),
            false => Ok(Self::One(host)),
        }
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::One(host) => f.write_str(host),
        }
    }
}

/// Why a text is not the pattern of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHost {
    /// It is no host name, and no pattern of one.
    Name,
    /// It has a port, though a request's port is never looked at.
    Port,
}

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "a host is a name such as ai.example.com, *.example.com for all below it, or * for all"
            }
            Self::Port => "a host is written without a port; every port is meant",
        })
    }
}

impl core::error::Error for InvalidHost {}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

fn is_name(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(plain);
    host.len() <= MAX_NAME && host.split('.').all(label)
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_ported(host: &str) -> bool {
    let after_address = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after_address.contains(':')
}

/// RFC 1035, section 2.3.4.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_from_every_way_to_write_it() {
        for (authority, host) in [
            ("ai.example.com", Some("ai.example.com")),
            ("AI.Example.COM:443", Some("ai.example.com")),
            ("ai.example.com.", Some("ai.example.com")),
            ("ai.example.com:", Some("ai.example.com")),
            ("127.0.0.1:10000", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[0:0::0:1]:80", Some("[::1]")),
            ("my_host-1", Some("my_host-1")),
            ("", None),
            (":80", None),
            (".", None),
            ("a..b", None),
            ("a.b..", None),
            ("user@ai.example.com", None),
            ("evil.example,ai.example.com", None),
            ("evil.example/ai.example.com", None),
            ("ai.example.com:80:80", None),
            ("ai.example.com:http", None),
            ("*.example.com", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("b\u{fc}cher.example", None),
        ] {
            let read = Host::of(authority.as_bytes());
            assert_eq!(read.as_ref().map(Host::as_str), host, "{authority}");
        }
        assert_eq!(Host::of(&[0xff]), None);
    }

    #[test]
    fn an_address_is_below_nothing() {
        for address in ["127.0.0.1", "[::1]"] {
            assert_eq!(Host::of(address.as_bytes()).unwrap().parents().count(), 0);
        }
    }

    #[test]
    fn a_pattern_reads_back_as_it_is_matched() {
        let pattern = |text: &str| HostPattern::try_from(text.to_owned());
        for (text, written) in [
            ("*", "*"),
            ("*.Example.com", "*.example.com"),
            ("AI.example.com.", "ai.example.com"),
            ("[0::1]", "[::1]"),
        ] {
            assert_eq!(pattern(text).unwrap().to_string(), written);
        }
        for (text, problem) in [
            ("", InvalidHost::Name),
            ("*.", InvalidHost::Name),
            ("**", InvalidHost::Name),
            ("a.*.example.com", InvalidHost::Name),
            ("*example.com", InvalidHost::Name),
            ("*.127.0.0.1", InvalidHost::Name),
            ("https://a.example", InvalidHost::Port),
            ("a.example:443", InvalidHost::Port),
            ("[::1]:443", InvalidHost::Port),
        ] {
            assert_eq!(pattern(text), Err(problem), "{text}");
        }
    }
}
