//! Where a provider is reached.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
};

use http::{Uri, uri::PathAndQuery};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};

use super::service::{InvalidService, Service};

/// Where a provider's API lies: `https://api.openai.com/v1`, a list of such URLs with addresses, or a service
/// in a registry: `discovery://infra.llm.index?env=prod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    tls: bool,
    at: At,
    path: String,
    written: Written,
}

/// An upstream as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    One(
        #[schemars(regex(pattern = r"^(https?|discovery|consul|nacos|kubernetes|file)://[^#@]+$"))]
        String,
    ),
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// Who is behind an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// One host.
    Host(Host, u16),
    /// These nodes.
    Nodes(Vec<SocketAddr>),
    /// The nodes that a registry knows.
    Service(Service),
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

    /// Who is behind it.
    pub fn at(&self) -> &At {
        &self.at
    }

    /// The service that a registry is asked for.
    pub fn service(&self) -> Option<&Service> {
        match &self.at {
            At::Service(service) => Some(service),
            At::Host(..) | At::Nodes(_) => None,
        }
    }

    /// Whether there may be more than one node behind it: of a name over TLS, Envoy knows one host.
    pub fn may_have_several(&self) -> bool {
        match &self.at {
            At::Host(Host::Ip(_), _) => false,
            At::Host(Host::Dns(_), _) => !self.tls,
            At::Nodes(nodes) => nodes.len() > 1,
            At::Service(_) => true,
        }
    }

    /// The path below which its API lies, without a slash at its end: `/v1`, or nothing.
    pub fn base_path(&self) -> &str {
        &self.path
    }

    /// What a request's `host` header says; nothing where it is the chosen node's address.
    pub fn authority(&self) -> Option<String> {
        let At::Host(host, port) = &self.at else { return None };
        let host = match host {
            Host::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Ip(IpAddr::V4(address)) => address.to_string(),
            Host::Dns(name) => name.clone(),
        };
        Some(if *port == default_port(self.tls) { host } else { format!("{host}:{port}") })
    }

    /// The upstream with all these nodes, which differ in their addresses only.
    fn of_nodes(urls: Vec<Self>) -> Result<Self, InvalidUpstream> {
        let path = urls.first().ok_or(InvalidUpstream::NoNodes)?.path.clone();
        let written = Written::Many(urls.iter().flat_map(Self::texts).map(str::to_owned).collect());
        let mut nodes = Vec::new();
        for url in urls {
            match url.at {
                At::Host(Host::Ip(address), port) if !url.tls && url.path == path => {
                    nodes.push(SocketAddr::new(address, port));
                }
                At::Host(..) | At::Nodes(_) | At::Service(_) => return Err(InvalidUpstream::Nodes),
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        Ok(Self { tls: false, at: At::Nodes(nodes), path, written })
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        match &self.written {
            Written::One(text) => std::slice::from_ref(text).iter(),
            Written::Many(texts) => texts.iter(),
        }
        .map(String::as_str)
    }
}

impl TryFrom<String> for Upstream {
    type Error = InvalidUpstream;

    fn try_from(text: String) -> Result<Self, InvalidUpstream> {
        if text.contains('#') {
            return Err(InvalidUpstream::Extra);
        }
        if let Some((service, path)) = Service::parse(&text)? {
            return Ok(Self { tls: false, at: At::Service(service), path, written: Written::One(text) });
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
        let at = At::Host(Host::parse(authority.host())?, port);
        Ok(Self { tls, at, path, written: Written::One(text) })
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Upstream;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL or a list of URLs")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Upstream, E> {
        Upstream::try_from(text.to_owned()).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Upstream, A::Error> {
        let mut urls = Vec::new();
        while let Some(url) = list.next_element::<String>()? {
            urls.push(Upstream::try_from(url).map_err(de::Error::custom)?);
        }
        Upstream::of_nodes(urls).map_err(de::Error::custom)
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl JsonSchema for Upstream {
    fn schema_name() -> Cow<'static, str> {
        "Upstream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpstream {
    /// It is no URL at all.
    #[error("an upstream is a URL such as https://api.openai.com/v1")]
    Url,
    /// It is reached by something else.
    #[error(
        "an upstream begins with http://, https://, discovery://, consul://, nacos://, kubernetes:// or file://"
    )]
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
    /// A list without nodes.
    #[error("a list of nodes has at least one")]
    NoNodes,
    /// Nodes that one cluster cannot have.
    #[error("each of several nodes is http:// with an IP address, and all have the same path")]
    Nodes,
    /// What is named in a registry is not written right.
    #[error(transparent)]
    Service(#[from] InvalidService),
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
        let at = At::Host(Host::Dns("api.openai.com".into()), 443);
        let text = "https://API.openai.com/v1/";
        let expected = Upstream { tls: true, at, path: "/v1".into(), written: Written::One(text.into()) };
        assert_eq!(upstream(text), Ok(expected.clone()));
        assert_eq!(expected.authority().as_deref(), Some("api.openai.com"));
        let local = upstream("http://[::1]:8080").unwrap();
        assert_eq!((local.authority().as_deref(), local.base_path()), (Some("[::1]:8080"), ""));
        assert_eq!(local.at(), &At::Host(Host::Ip("::1".parse().unwrap()), 8080));
    }

    #[test]
    fn a_list_of_nodes_is_one_upstream() {
        let nodes =
            |urls: &[&str]| Upstream::of_nodes(urls.iter().map(|url| upstream(url).unwrap()).collect());
        let two = nodes(&["http://10.0.0.2:8000/v1", "http://10.0.0.1:8000/v1/"]).unwrap();
        let sorted = ["10.0.0.1:8000", "10.0.0.2:8000"].map(|node| node.parse().unwrap());
        assert_eq!((two.at(), two.base_path()), (&At::Nodes(sorted.to_vec()), "/v1"));
        assert_eq!(two.authority(), None);
        assert_eq!(nodes(&[]), Err(InvalidUpstream::NoNodes));
        for wrong in ["https://10.0.0.2/v1", "http://node/v1", "http://10.0.0.2/v2", "consul://llm"] {
            assert_eq!(nodes(&["http://10.0.0.1/v1", wrong]), Err(InvalidUpstream::Nodes), "{wrong}");
        }
    }

    #[test]
    fn a_service_has_the_usual_base_path_unless_it_says_otherwise() {
        assert_eq!(upstream("discovery://infra.llm.index?env=prod").unwrap().base_path(), "/v1");
        assert_eq!(upstream("consul://llm?path=/openai/v1/").unwrap().base_path(), "/openai/v1");
    }

    #[test]
    fn anything_but_a_base_url_is_refused() {
        for (text, problem) in [
            ("", InvalidUpstream::Url),
            ("http://", InvalidUpstream::Url),
            ("api.openai.com/v1", InvalidUpstream::Url),
            ("api.openai.com", InvalidUpstream::Scheme),
            ("etcd://infra.llm", InvalidUpstream::Scheme),
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
