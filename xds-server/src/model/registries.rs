//! Where services are looked up, and how quickly what is found there is believed.

use std::{path::PathBuf, time::Duration};

use weir_schema::Name;

/// The registries that services are looked up in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registries {
    /// How quickly a node's end is believed.
    pub settling: Settling,
    /// The base URL of bilibili/discovery.
    pub bilibili: Option<BaseUrl>,
    /// Consul.
    pub consul: Option<Consul>,
    /// Nacos.
    pub nacos: Option<Nacos>,
    /// Kubernetes. Absent: the cluster that the control plane runs in.
    pub kubernetes: Option<Kubernetes>,
}

/// How quickly a node's end is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settling {
    /// How long a node that has gone is kept, without new requests.
    pub drain: Duration,
    /// How long a registry must say that there are no nodes at all.
    pub empty: Duration,
}

/// Where Consul's API lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consul {
    /// Its base URL.
    pub url: BaseUrl,
    /// The secret with its token.
    pub token: Option<Name>,
}

/// Where Nacos's API lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nacos {
    /// Its base URL, `/nacos` included.
    pub url: BaseUrl,
    /// How often it is asked.
    pub interval: Duration,
}

/// Where Kubernetes' API lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Its base URL.
    pub url: BaseUrl,
    /// The file with the token, read again for each request.
    pub token_file: Option<PathBuf>,
    /// The certificate authorities to trust, as a file.
    pub ca: Option<PathBuf>,
}

/// The base URL of a registry, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = InvalidBaseUrl;

    fn try_from(text: String) -> Result<Self, InvalidBaseUrl> {
        let uri: http::Uri = text.parse().map_err(|_| InvalidBaseUrl)?;
        let authority = uri.authority().ok_or(InvalidBaseUrl)?;
        let plain = uri.query().is_none() && !text.contains('#') && !authority.as_str().contains('@');
        match uri.scheme_str() {
            Some("http" | "https") if plain => Ok(Self(text.trim_end_matches('/').into())),
            _ => Err(InvalidBaseUrl),
        }
    }
}

impl<'de> serde::Deserialize<'de> for BaseUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// The text is not the base URL of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a registry's URL begins with http:// or https://, and has no user, query or fragment")]
pub struct InvalidBaseUrl;
