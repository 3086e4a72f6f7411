//! `discovery`: the registries.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_schema::Name;

use crate::model::{self, BaseUrl, Span};

/// `discovery`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Discovery {
    /// How long a node that has gone is kept, without new requests.
    pub drain: Span,
    /// How long a registry must say that there are no nodes at all.
    pub believe_empty_after: Span,
    /// bilibili/discovery.
    pub bilibili: Option<Bilibili>,
    /// Consul.
    pub consul: Option<Consul>,
    /// Nacos.
    pub nacos: Option<Nacos>,
    /// Kubernetes.
    pub kubernetes: Option<Kubernetes>,
}

/// `discovery.bilibili`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bilibili {
    /// Its base URL.
    pub url: BaseUrl,
    /// The certificate authorities to trust, as a file.
    pub ca: Option<PathBuf>,
}

/// `discovery.consul`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consul {
    /// Its base URL.
    pub url: BaseUrl,
    /// The certificate authorities to trust, as a file.
    pub ca: Option<PathBuf>,
    /// The name of the secret with its token.
    pub token: Option<Name>,
}

/// `discovery.nacos`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nacos {
    /// Its base URL, `/nacos` included.
    pub url: BaseUrl,
    /// The certificate authorities to trust, as a file.
    pub ca: Option<PathBuf>,
    /// How often it is asked.
    #[serde(default = "nacos_interval")]
    pub interval: Span,
}

/// `discovery.kubernetes`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// The base URL of the API server.
    pub url: BaseUrl,
    /// The file with the token.
    pub token_file: Option<PathBuf>,
    /// The certificate authorities to trust, as a file.
    pub ca: Option<PathBuf>,
}

impl Discovery {
    pub(super) fn into_model(self) -> model::Registries {
        model::Registries {
            settling: model::Settling {
                drain: self.drain.duration(),
                empty: self.believe_empty_after.duration(),
            },
            bilibili: self.bilibili.map(|Bilibili { url, ca }| model::Server { url, ca }),
            consul: self
                .consul
                .map(|Consul { url, ca, token }| model::Consul { server: model::Server { url, ca }, token }),
            nacos: self.nacos.map(|Nacos { url, ca, interval }| model::Nacos {
                server: model::Server { url, ca },
                interval: interval.duration(),
            }),
            kubernetes: self.kubernetes.map(|Kubernetes { url, ca, token_file }| model::Kubernetes {
                server: model::Server { url, ca },
                token_file,
            }),
        }
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            drain: Span::from_secs(30),
            believe_empty_after: Span::from_secs(60),
            bilibili: None,
            consul: None,
            nacos: None,
            kubernetes: None,
        }
    }
}

fn nacos_interval() -> Span {
    Span::from_secs(5)
}
