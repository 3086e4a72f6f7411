//! A service as a registry knows it.

use std::{collections::BTreeMap, fmt, path::PathBuf};

/// What a registry is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// `discovery://appid?env=&zone=&color=`: bilibili/discovery.
    Bilibili {
        /// The service.
        appid: String,
        /// Where it runs: `prod` unless another is named.
        env: String,
        /// Only this zone's nodes.
        zone: Option<String>,
        /// Only nodes of this colour.
        color: Option<String>,
    },
    /// `consul://service?tag=&dc=`
    Consul {
        /// The service.
        service: String,
        /// Only nodes with this tag.
        tag: Option<String>,
        /// The data centre; the agent's own unless another is named.
        dc: Option<String>,
    },
    /// `nacos://service?namespace=&group=`
    Nacos {
        /// The service.
        service: String,
        /// The namespace; the public one unless another is named.
        namespace: Option<String>,
        /// The group; `DEFAULT_GROUP` unless another is named.
        group: Option<String>,
    },
    /// `kubernetes://namespace/service?port=`
    Kubernetes {
        /// The namespace.
        namespace: String,
        /// The service.
        service: String,
        /// The name or number of the port; not needed if there is only one.
        port: Option<String>,
    },
    /// `file://path`: a list in a file; a relative path starts at the folder of the configuration file.
    File {
        /// The file.
        path: PathBuf,
    },
}

impl Service {
    /// Reads a service's URL and the base path of its API; nothing if the URL is of another scheme.
    pub fn parse(text: &str) -> Result<Option<(Self, String)>, InvalidService> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        if !SCHEMES.contains(&scheme) {
            return Ok(None);
        }
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut query = Query::parse(query)?;
        let path = query.take("path").unwrap_or_else(|| "/v1".into());
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidService::Path);
        }
        let name = decode(name)?;
        if name.is_empty() {
            return Err(InvalidService::Name);
        }
        let service = Self::of(scheme, name, &mut query)?;
        query.end()?;
        Ok(Some((service, path.trim_end_matches('/').to_owned())))
    }

    fn of(scheme: &str, name: String, query: &mut Query) -> Result<Self, InvalidService> {
        Ok(match scheme {
            "discovery" => Self::Bilibili {
                appid: name,
                env: query.take("env").unwrap_or_else(|| "prod".into()),
                zone: query.take("zone"),
                color: query.take("color"),
            },
            "consul" => Self::Consul { service: name, tag: query.take("tag"), dc: query.take("dc") },
            "nacos" => {
                Self::Nacos { service: name, namespace: query.take("namespace"), group: query.take("group") }
            }
            "kubernetes" => {
                let (namespace, service) = name.split_once('/').ok_or(InvalidService::Namespace)?;
                let is_label = |label: &str| {
                    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                    !label.is_empty() && label.bytes().all(plain)
                };
                if !is_label(namespace) || !is_label(service) {
                    return Err(InvalidService::Namespace);
                }
                Self::Kubernetes {
                    namespace: namespace.into(),
                    service: service.into(),
                    port: query.take("port"),
                }
            }
            _ => Self::File { path: name.into() },
        })
    }
}

/// Its URL, without the base path: equal services have equal texts.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bilibili { appid, env, zone, color } => {
                write!(f, "discovery://{}?env={}", encode(appid), encode(env))?;
                parameters(f, '&', &[("zone", zone), ("color", color)])
            }
            Self::Consul { service, tag, dc } => {
                write!(f, "consul://{}", encode(service))?;
                parameters(f, '?', &[("tag", tag), ("dc", dc)])
            }
            Self::Nacos { service, namespace, group } => {
                write!(f, "nacos://{}", encode(service))?;
                parameters(f, '?', &[("namespace", namespace), ("group", group)])
            }
            Self::Kubernetes { namespace, service, port } => {
                write!(f, "kubernetes://{namespace}/{service}")?;
                parameters(f, '?', &[("port", port)])
            }
            Self::File { path } => write!(f, "file://{}", encode(&path.to_string_lossy())),
        }
    }
}

fn parameters(f: &mut fmt::Formatter<'_>, first: char, pairs: &[(&str, &Option<String>)]) -> fmt::Result {
    let mut separator = first;
    for (name, value) in pairs {
        if let Some(value) = value {
            write!(f, "{separator}{name}={}", encode(value))?;
            separator = '&';
        }
    }
    Ok(())
}

/// What stands behind the question mark.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Result<Self, InvalidService> {
        let mut values = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(InvalidService::Query)?;
            let value = decode(value)?;
            if value.is_empty() || values.insert(name.to_owned(), value).is_some() {
                return Err(InvalidService::Query);
            }
        }
        Ok(Self(values))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn end(self) -> Result<(), InvalidService> {
        self.0.into_keys().next().map_or(Ok(()), |name| Err(InvalidService::Unknown(name)))
    }
}

/// A text as it stands in a URL's query.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub(crate) fn decode(text: &str) -> Result<String, InvalidService> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).ok_or(InvalidService::Escape)?;
        bytes.push(u8::from_str_radix(hex, 16).map_err(|_| InvalidService::Escape)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| InvalidService::Escape)
}

/// Why a text does not name a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidService {
    /// There is no name.
    #[error("the URL names no service")]
    Name,
    /// Kubernetes needs two names.
    #[error("a service of Kubernetes is kubernetes://namespace/service")]
    Namespace,
    /// The base path is none.
    #[error("the base path begins with a slash, as in ?path=/v1")]
    Path,
    /// The query is not one.
    #[error("what follows the question mark is name=value&name=value, each name once")]
    Query,
    /// The query has something else.
    #[error("this kind of service has no \"{0}\"")]
    Unknown(String),
    /// An escape cannot be read.
    #[error("a percent sign is followed by two hexadecimal digits, and the whole is UTF-8")]
    Escape,
}

const SCHEMES: [&str; 5] = ["discovery", "consul", "nacos", "kubernetes", "file"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, InvalidService> {
        Service::parse(text).map(|service| service.unwrap().0.to_string())
    }

    #[test]
    fn a_service_is_written_in_one_way() {
        for (text, canonical) in [
            ("discovery://infra.llm.index?env=prod", "discovery://infra.llm.index?env=prod"),
            ("discovery://a?zone=sh001&path=/v2", "discovery://a?env=prod&zone=sh001"),
            ("consul://llm?dc=b&tag=gpu", "consul://llm?tag=gpu&dc=b"),
            ("nacos://g%40%40llm?group=a", "nacos://g%40%40llm?group=a"),
            ("kubernetes://models/vllm?port=http", "kubernetes://models/vllm?port=http"),
            ("file://nodes.yaml", "file://nodes.yaml"),
            ("file:///etc/weir/nodes.yaml", "file:///etc/weir/nodes.yaml"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(canonical));
        }
        assert_eq!(Service::parse("https://api.openai.com/v1?env=prod"), Ok(None));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, problem) in [
            ("discovery://", InvalidService::Name),
            ("consul://llm?tags=a", InvalidService::Unknown("tags".into())),
            ("consul://llm?tag", InvalidService::Query),
            ("consul://llm?tag=", InvalidService::Query),
            ("consul://llm?tag=a&tag=b", InvalidService::Query),
            ("consul://llm?path=v1", InvalidService::Path),
            ("consul://%zz", InvalidService::Escape),
            ("kubernetes://vllm", InvalidService::Namespace),
            ("kubernetes://models/../vllm", InvalidService::Namespace),
        ] {
            assert_eq!(parse(text), Err(problem), "{text}");
        }
    }
}
