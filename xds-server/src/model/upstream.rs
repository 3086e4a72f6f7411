//! Where a provider is reached.

use std::{fmt, net::IpAddr};

use http::{Uri, uri::PathAndQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The base URL of a provider's API: `https://api.openai.com/v1`, `http://127.0.0.1:8080/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^https?://[^?#@]+$"))]
pub struct Upstream {
    tls: bool,
    host: Host,
    port: u16,
    path: String,
}

/// The host of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address, which needs no look-up.
    Ip(IpAddr),
    /// A DNS name.
    Dns(String),
}

impl Upstream {
    /// Whether it is reached over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Its host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its port; 443 or 80 where the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path below which its API lies, without a slash at its end: `/v1`, or nothing.
    pub fn base_path(&self) -> &str {
        &self.path
    }

    /// What a request's `host` header says.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Host::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Ip(IpAddr::V4(address)) => address.to_string(),
            Host::Dns(name) => name.clone(),
        };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }
}

impl TryFrom<String> for Upstream {
    type Error = InvalidUpstream;

    fn try_from(text: String) -> Result<Self, InvalidUpstream> {
        if text.contains('#') {
            return Err(InvalidUpstream::Extra);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUpstream::Url)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidUpstream::Scheme),
        };
        let authority = uri.authority().ok_or(InvalidUpstream::Url)?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(InvalidUpstream::Extra);
        }
        let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match after_host {
            "" => default_port(tls),
            _ => authority.port_u16().filter(|port| *port != 0).ok_or(InvalidUpstream::Port)?,
        };
        let path = uri.path_and_query().map_or("", PathAndQuery::path).trim_end_matches('/').to_owned();
        Ok(Self { tls, host: Host::parse(authority.host())?, port, path })
    }
}

impl From<Upstream> for String {
    fn from(upstream: Upstream) -> Self {
        let scheme = if upstream.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", upstream.authority(), upstream.path)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, InvalidUpstream> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Ip(address));
        }
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(InvalidUpstream::Host);
        }
        Ok(Self::Dns(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns(name) => f.write_str(name),
        }
    }
}

/// Why a text is not the URL of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpstream {
    /// It is no URL at all.
    #[error("an upstream is a URL such as https://api.openai.com/v1")]
    Url,
    /// It is reached by something else.
    #[error("an upstream's URL begins with http:// or https://")]
    Scheme,
    /// It says more than where the API lies.
    #[error("an upstream's URL has no user, query or fragment")]
    Extra,
    /// The port is no port.
    #[error("an upstream's port is a number from 1 to 65535")]
    Port,
    /// The host is neither an address nor a name.
    #[error("an upstream's host is an IP address or a DNS name")]
    Host,
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(text: &str) -> Result<Upstream, InvalidUpstream> {
        Upstream::try_from(text.to_owned())
    }

    #[test]
    fn a_url_is_taken_apart() {
        let dns = Host::Dns("api.openai.com".into());
        let expected = Upstream { tls: true, host: dns, port: 443, path: "/v1".into() };
        assert_eq!(upstream("https://API.openai.com/v1/"), Ok(expected.clone()));
        assert_eq!(expected.authority(), "api.openai.com");
        let local = upstream("http://[::1]:8080").unwrap();
        assert_eq!((local.authority().as_str(), local.base_path()), ("[::1]:8080", ""));
        assert_eq!(local.host(), &Host::Ip("::1".parse().unwrap()));
    }

    #[test]
    fn anything_but_a_base_url_is_refused() {
        for (text, problem) in [
            ("", InvalidUpstream::Url),
            ("http://", InvalidUpstream::Url),
            ("api.openai.com/v1", InvalidUpstream::Url),
            ("api.openai.com", InvalidUpstream::Scheme),
            ("discovery://infra.llm", InvalidUpstream::Scheme),
            ("https://user:key@host/v1", InvalidUpstream::Extra),
            ("https://host/v1?key=1", InvalidUpstream::Extra),
            ("https://host/v1#top", InvalidUpstream::Extra),
            ("https://host:0/v1", InvalidUpstream::Port),
            ("https://host:65536/v1", InvalidUpstream::Port),
            ("https://a..b/v1", InvalidUpstream::Host),
        ] {
            assert_eq!(upstream(text), Err(problem), "{text}");
        }
    }
}
