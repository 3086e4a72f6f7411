//! What a gateway serves, checked: every name is unique and every reference leads somewhere.
//!
//! The model knows neither the file it was read from nor the resources it becomes.

mod domain;
mod duration;
mod error;
mod gateway;
mod health;
mod label;
mod mcp;
mod profile;
mod provider;
mod public;
mod quota;
mod registries;
mod route;
mod service;
mod template;
mod upstream;
mod weight;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use weir_schema::quota::Limits;
use weir_schema::{KeyHash, ModelName, ModelPattern, Name, Timestamp};

use crate::secret::Secret;

pub use domain::{Domain, ServerTls, label};
pub use duration::{InvalidSpan, Span};
pub use error::{ModelError, Problem};
use error::{known, unique};
pub use health::{CircuitBreakers, InvalidPercent, OutlierDetection, Percent};
pub use label::{InvalidLabel, Label};
pub use mcp::*;
pub use profile::{Profiles, built_in};
pub use provider::Provider;
pub use public::{MAX_ATTEMPTS, PublicModel, Target};
pub(crate) use quota::OF_OBJECTS;
pub use quota::{InvalidShare, Match, Quota, Share};
pub use registries::{BaseUrl, Consul, InvalidBaseUrl, Kubernetes, Nacos, Registries, Server, Settling};
pub use route::{Route, RouteAnswer, route_label};
pub use service::{InvalidService, Service};
pub(crate) use service::{decode, encode};
pub use template::{Case, StoredTemplate, TemplateUse, VersionUse, template_label};
pub use upstream::{At, Host, InvalidUpstream, Upstream};
pub use weight::{InvalidWeight, Weight};

/// Everything a gateway serves. Only [`Model::new`] makes one, so what is in it is consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    parts: Parts,
}

/// The objects of a model, before they are checked against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The gateway itself, which every node serves if there are no others.
    pub gateway: Gateway,
    /// Gateways that nodes are told apart by.
    pub gateways: Vec<Gateway>,
    /// What providers are called with, by name.
    pub secrets: BTreeMap<Name, Secret>,
    /// Where services are looked up.
    pub registries: Registries,
    /// The tenants. Empty: there is one, `default`, on every host.
    pub domains: Vec<Domain>,
    /// Who may call. Empty: each key's id is its consumer.
    pub consumers: Vec<Consumer>,
    /// What callers identify themselves with.
    pub keys: Vec<Key>,
    /// What the APIs of providers need, beside the built-in ones.
    pub profiles: Profiles,
    /// Who answers.
    pub providers: Vec<Provider>,
    /// What callers may ask for.
    pub models: Vec<PublicModel>,
    /// Who may use how much.
    pub quotas: Vec<Quota>,
    /// Chat templates that are kept under a name and a version.
    pub templates: Vec<StoredTemplate>,
    /// Paths that are more than a model's API.
    pub routes: Vec<Route>,
}

/// Where the gateway listens, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The name of the Envoys that serve it: their `node.cluster`.
    pub name: Name,
    /// The address to listen at.
    pub address: IpAddr,
    /// The port to listen at.
    pub port: u16,
    /// The largest request body in bytes.
    pub request_body: NonZeroU32,
    /// How many keys the `auth` filter carries; where there are more, it looks them up.
    pub inline_keys: u32,
    /// The largest request body in bytes that is sent again to a model's next target.
    pub replay_body: NonZeroU32,
    /// The file Envoy writes its access log to.
    pub access_log: PathBuf,
    /// Whether answers say in headers who has given them.
    pub response_headers: bool,
    /// Whether limits are shared over the ledger.
    pub has_ledger: bool,
    /// When a target that fails is left alone. Absent: never.
    pub cooling: Option<Cooling>,
    /// The model of a request that names none, for domains without one of their own. Absent: it is refused.
    pub default_model: Option<ModelName>,
    /// Whether usage records are sent.
    pub has_records: bool,
    /// The tenants that it serves. Empty: all.
    pub domains: Vec<Name>,
    /// The models that it serves. Empty: all of its tenants'.
    pub models: Vec<ModelPattern>,
    /// The secrets that sessions at MCP servers are sealed with, the one that seals first. Empty: one of the process.
    pub mcp_sessions: Vec<Name>,
}

/// When a target that fails is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooling {
    /// After how many failures without an answer between them.
    pub failures: NonZeroU32,
    /// For how long.
    pub time: Duration,
    /// For how long at most if it says itself when to come back.
    pub longest: Duration,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The consumer's name.
    pub name: Name,
    /// The tenant it belongs to. Absent: `default`.
    pub domain: Option<Name>,
    /// What is known about it.
    pub labels: BTreeMap<Name, Label>,
    /// How much may be used. Absent: no limit of its own.
    pub limits: Option<Limits>,
}

/// An API key: whom it stands for and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's public name.
    pub id: Name,
    /// Whom it stands for. Absent: a consumer named as the key.
    pub consumer: Option<Name>,
    /// SHA-256 of every secret that is accepted for it.
    pub sha256: Vec<KeyHash>,
    /// The models it may use.
    pub models: Vec<ModelPattern>,
    /// When it stops working. Absent: never.
    pub expires_at: Option<Timestamp>,
    /// Whether it is refused for now.
    pub disabled: bool,
    /// How much may be used. Absent: no limit of its own.
    pub limits: Option<Limits>,
}

impl Model {
    /// Checks the parts against each other.
    pub fn new(mut parts: Parts) -> Result<Self, ModelError> {
        parts.check_names()?;
        parts.resolve_profiles()?;
        parts.check_gateways()?;
        parts.check_domains()?;
        parts.check_keys()?;
        parts.check_registries()?;
        for provider in &parts.providers {
            parts.check_provider(provider)?;
        }
        for model in &parts.models {
            parts.check_model(model)?;
        }
        parts.check_aliases()?;
        parts.check_quotas()?;
        parts.check_templates()?;
        parts.check_routes()?;
        Ok(Self { parts })
    }

    /// The checked parts.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The provider that a target names.
    pub fn provider(&self, name: &Name) -> Option<&Provider> {
        self.parts.provider(name)
    }
}

impl Parts {
    fn check_names(&self) -> Result<(), ModelError> {
        unique("consumers", self.consumers.iter().map(|consumer| consumer.name.as_str()))?;
        unique("keys", self.keys.iter().map(|key| key.id.as_str()))?;
        unique("providers", self.providers.iter().map(|provider| provider.name.as_str()))?;
        unique("models", self.models.iter().map(PublicModel::label))
    }

    fn check_keys(&self) -> Result<(), ModelError> {
        let consumers: BTreeSet<_> = self.consumers.iter().map(|consumer| &consumer.name).collect();
        let mut owners = BTreeMap::new();
        for (key, domain) in self.keys_with_domains() {
            let at = |field: &str| format!("keys.{}.{field}", key.id);
            if key.sha256.is_empty() {
                return Err(ModelError { at: at("sha256"), problem: Problem::NoHash });
            }
            for hash in &key.sha256 {
                if let Some(other) = owners.insert(hash, &key.id) {
                    return Err(ModelError { at: at("sha256"), problem: Problem::SharedHash(other.clone()) });
                }
            }
            if let Some(consumer) = key.consumer.as_ref().filter(|name| !consumers.contains(name)) {
                let names = self.consumers.iter().map(|consumer| consumer.name.as_str());
                known("consumer", consumer.as_str(), names, || at("consumer"))?;
            }
            self.check_place(key, &domain)?;
        }
        Ok(())
    }

    fn check_registries(&self) -> Result<(), ModelError> {
        let token = self.registries.consul.as_ref().and_then(|consul| consul.token.as_ref());
        token.map_or(Ok(()), |name| {
            let secrets = self.secrets.keys().map(Name::as_str);
            known("secret", name.as_str(), secrets, || "discovery.consul.token".into())
        })?;
        match self.registries.files().find(|(_, path)| !path.is_absolute()) {
            Some((key, _)) => Err(ModelError { at: key.into(), problem: Problem::RelativePath }),
            None => Ok(()),
        }
    }

    fn provider(&self, name: &Name) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == *name)
    }
}
