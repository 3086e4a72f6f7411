//! Where services are looked up, and how quickly what is found there is believed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use weir_schema::Name;

use super::Service;

/// The registries that services are looked up in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registries {
    /// How quickly a node's end is believed.
    pub settling: Settling,
    /// bilibili/discovery.
    pub bilibili: Option<Server>,
    /// Consul.
    pub consul: Option<Consul>,
    /// Nacos.
    pub nacos: Option<Nacos>,
    /// Kubernetes. Absent: the cluster that the control plane runs in.
    pub kubernetes: Option<Kubernetes>,
}

/// Where an API lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its base URL.
    pub url: BaseUrl,
    /// The certificate authorities that it is checked with, as a file. Absent: the system's.
    pub ca: Option<PathBuf>,
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
    /// Its API.
    pub server: Server,
    /// The secret with its token.
    pub token: Option<Name>,
}

/// Where Nacos's API lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nacos {
    /// Its API; the URL has `/nacos` in it.
    pub server: Server,
    /// How often it is asked.
    pub interval: Duration,
}

/// Where Kubernetes' API lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The API server.
    pub server: Server,
    /// The file with the token, read again for each request.
    pub token_file: Option<PathBuf>,
}

impl Registries {
    /// The key that would say where a service is looked up, if it is missing.
    pub(super) fn missing(&self, service: &Service) -> Option<&'static str> {
        match service {
            Service::Bilibili { .. } => self.bilibili.is_none().then_some("discovery.bilibili"),
            Service::Consul { .. } => self.consul.is_none().then_some("discovery.consul"),
            Service::Nacos { .. } => self.nacos.is_none().then_some("discovery.nacos"),
            Service::Kubernetes { .. } | Service::File { .. } => None,
        }
    }

    /// The files that are read, each with the key that names it.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let Self { bilibili, consul, nacos, kubernetes, .. } = self;
        let authorities = [
            ("discovery.bilibili.ca", bilibili.as_ref()),
            ("discovery.consul.ca", consul.as_ref().map(|consul| &consul.server)),
            ("discovery.nacos.ca", nacos.as_ref().map(|nacos| &nacos.server)),
            ("discovery.kubernetes.ca", kubernetes.as_ref().map(|kubernetes| &kubernetes.server)),
        ];
        let token = kubernetes.as_ref().and_then(|kubernetes| kubernetes.token_file.as_deref());
        let authorities =
            authorities.into_iter().filter_map(|(key, server)| Some((key, server?.ca.as_deref()?)));
        authorities.chain(token.map(|token| ("discovery.kubernetes.token_file", token)))
    }
}

/// The base URL of a registry, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^https?://[^?#@]+$"))]
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
