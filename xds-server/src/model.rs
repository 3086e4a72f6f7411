//! What a gateway serves, checked: every name is unique and every reference leads somewhere.
//!
//! The model knows neither the file it was read from nor the resources it becomes.

mod domain;
mod duration;
mod gateway;
mod health;
mod label;
mod mcp;
mod profile;
mod quota;
mod registries;
mod route;
mod service;
mod template;
mod upstream;
mod weight;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    net::IpAddr,
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use weir_schema::compat::{CredentialHeader, Profile, Protocol, Rules};
use weir_schema::quota::{Limits, Prices};
use weir_schema::{KeyHash, ModelName, ModelPattern, Name, Timestamp};

use crate::{
    secret::Secret,
    suggest::{hint, nearest},
};

pub use domain::{Domain, ServerTls, label};
pub use duration::{InvalidSpan, Span};
pub use health::{CircuitBreakers, InvalidPercent, OutlierDetection, Percent};
pub use label::{InvalidLabel, Label};
pub use mcp::*;
pub use profile::{Profiles, built_in};
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

/// Someone who answers requests for models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The provider's name, and that of its cluster.
    pub name: Name,
    /// What kind of API it has. Absent: OpenAI's.
    pub profile: Option<Name>,
    /// What its API needs: what is said of the provider alone, and in a model what its profile says too.
    pub needs: Profile,
    /// Where it is reached.
    pub upstream: Upstream,
    /// The secrets it is called with: none, one, or a pool of several.
    pub credentials: Vec<Name>,
    /// The certificate authorities it is verified with, as a file that Envoy reads. Absent: the system's.
    pub ca: Option<PathBuf>,
    /// Whether it speaks HTTP/2 without TLS.
    pub http2: bool,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// When a node that fails gets no requests.
    pub outlier_detection: OutlierDetection,
    /// How much may be under way there at once.
    pub circuit_breakers: CircuitBreakers,
    /// How much may be used. Absent: no limit of its own.
    pub limits: Option<Limits>,
    /// The interfaces that it speaks, the preferred one first; at least one.
    pub protocols: Vec<Protocol>,
    /// The header that its credentials are sent in.
    pub credential_header: CredentialHeader,
    /// The domains whose callers may use the files, batches and responses that it keeps. They are all in one account,
    /// so each of these callers sees everyone's.
    pub stored_for: Vec<Name>,
}

/// A model that callers may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicModel {
    /// What a request's `model` says. With one `*`, which stands for any characters, it is for every such name that no
    /// other model has.
    pub name: ModelName,
    /// Other names for it.
    pub aliases: Vec<ModelName>,
    /// The tenant it is for; there it stands before a shared model of this name. Absent: it is shared.
    pub domain: Option<Name>,
    /// Who answers, at least one.
    pub targets: Vec<Target>,
    /// How long an answer may take to begin, at each target. Absent: as long as the other limits let it.
    pub first_token_timeout: Option<Duration>,
    /// How long neither side may be silent.
    pub idle_timeout: Duration,
    /// How long an answer may take as a whole, from the end of the request. Absent: as long as it flows.
    pub total_timeout: Option<Duration>,
    /// `owned_by` in the list of models.
    pub owned_by: String,
    /// What its tokens cost. Absent: nothing.
    pub prices: Option<Prices>,
    /// How much may be used. Absent: no limit of its own.
    pub limits: Option<Limits>,
    /// What it needs at its upstreams, beside what their APIs need.
    pub compat: Option<Rules>,
}

/// Who answers requests for a model, and what it calls the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's name.
    pub provider: Name,
    /// The model's name there; `*` is what that of the model's name stands for. Absent: the same name.
    pub model: Option<ModelName>,
    /// When it is asked: those of the lowest number first, the others after them, in order.
    pub priority: u32,
    /// How often it is the first of its priority that is asked, beside the others'.
    pub weight: Weight,
    /// What the model needs there, beside what it needs everywhere.
    pub compat: Option<Rules>,
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

    fn check_provider(&self, provider: &Provider) -> Result<(), ModelError> {
        let refuse = |field: &str, problem| {
            Err(ModelError { at: format!("providers.{}.{field}", provider.name), problem })
        };
        if provider.name.as_str().starts_with(RESERVED) {
            return refuse("name", Problem::Reserved);
        }
        if provider.upstream.is_tls() && provider.http2 {
            return refuse("http2", Problem::Http2OverTls);
        }
        if let Some(section) =
            provider.upstream.service().and_then(|service| self.registries.missing(service))
        {
            return refuse("upstream", Problem::NoRegistry(section));
        }
        match &provider.ca {
            Some(_) if !provider.upstream.is_tls() => return refuse("tls", Problem::TlsWithoutHttps),
            Some(path) if !path.is_absolute() => return refuse("tls.ca", Problem::RelativePath),
            _ => {}
        }
        if provider.protocols.is_empty() {
            return refuse("protocols", Problem::NoProtocol);
        }
        for (nth, name) in provider.credentials.iter().enumerate() {
            let at = || format!("providers.{}.credentials[{nth}]", provider.name);
            self.check_secret(name, Secret::fits_header, Problem::PemCredential, at)?;
            if provider.credentials.iter().take(nth).any(|other| other == name) {
                return Err(ModelError { at: at(), problem: Problem::Duplicate });
            }
        }
        let only = Name::default_domain();
        for (nth, domain) in provider.stored_for.iter().enumerate() {
            let names = self.domains.iter().map(|domain| domain.name.as_str());
            let none = self.domains.is_empty().then_some(only.as_str());
            let at = || format!("providers.{}.stored_for[{nth}]", provider.name);
            known("domain", domain.as_str(), names.chain(none), at)?;
        }
        Ok(())
    }

    /// A secret is there, and is what it is needed for.
    fn check_secret(
        &self,
        name: &Name,
        fits: fn(&Secret) -> bool,
        problem: Problem,
        at: impl FnOnce() -> String,
    ) -> Result<(), ModelError> {
        match self.secrets.get(name) {
            Some(secret) if fits(secret) => Ok(()),
            Some(_) => Err(ModelError { at: at(), problem }),
            None => known("secret", name.as_str(), self.secrets.keys().map(Name::as_str), at),
        }
    }

    fn check_model(&self, model: &PublicModel) -> Result<(), ModelError> {
        let at = |field: &str| format!("models.{}.{field}", model.label());
        if let Some(rules) = &model.compat {
            profile::check_rules(rules, &at("compat"))?;
        }
        let stars = |name: &ModelName| name.as_str().matches('*').count();
        if stars(&model.name) > 1 {
            return Err(ModelError { at: at("name"), problem: Problem::Wildcards });
        }
        for (nth, target) in model.targets.iter().enumerate() {
            if let Some(rules) = &target.compat {
                profile::check_rules(rules, &at(&format!("targets[{nth}].compat")))?;
            }
            if target.model.as_ref().map_or(0, stars) > stars(&model.name) {
                return Err(ModelError {
                    at: at(&format!("targets[{nth}].model")),
                    problem: Problem::StrayWildcard,
                });
            }
            let names = self.providers.iter().map(|provider| provider.name.as_str());
            let at = || at(&format!("targets[{nth}].provider"));
            known("provider", target.provider.as_str(), names, at)?;
            let named = |target: &Target| {
                (target.provider.clone(), target.model.clone().unwrap_or_else(|| model.name.clone()))
            };
            if let Some(first) =
                model.targets.iter().take(nth).position(|other| named(other) == named(target))
            {
                return Err(ModelError { at: at(), problem: Problem::SameTarget(first) });
            }
        }
        let attempts = model.targets.iter().filter_map(|target| self.provider(&target.provider));
        let attempts: usize = attempts.map(|provider| provider.credentials.len().max(1)).sum();
        match attempts {
            0 => Err(ModelError { at: at("targets"), problem: Problem::NoTarget }),
            1..=MAX_ATTEMPTS => Ok(()),
            _ => Err(ModelError { at: at("targets"), problem: Problem::TooManyAttempts }),
        }
    }

    /// Within a domain, and among the shared models, every name and alias means one model.
    fn check_aliases(&self) -> Result<(), ModelError> {
        let names = self.models.iter().map(|model| ((&model.domain, &model.name), model));
        let mut taken: BTreeMap<_, _> = names.collect();
        for model in &self.models {
            for (nth, alias) in model.aliases.iter().enumerate() {
                let refuse =
                    |problem| ModelError { at: format!("models.{}.aliases[{nth}]", model.label()), problem };
                if alias.as_str().contains('*') {
                    return Err(refuse(Problem::WildcardAlias));
                }
                if let Some(other) = taken.insert((&model.domain, alias), model) {
                    return Err(refuse(Problem::TakenAlias(alias.clone(), other.label())));
                }
            }
        }
        Ok(())
    }

    fn provider(&self, name: &Name) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == *name)
    }
}

/// An object that does not fit the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct ModelError {
    /// The object and its field: `models.index.targets[0].provider`.
    pub at: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Two objects of a kind have one name.
    #[error("the name is used twice")]
    Duplicate,
    /// A reference leads nowhere.
    #[error("no {kind} is named \"{name}\"{}", hint(.suggestion.as_deref()))]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
    /// A key for a model that its domain does not see.
    #[error("the domain \"{domain}\" sees no model named \"{name}\"{}", hint(.suggestion.as_deref()))]
    Unseen {
        /// The key's domain.
        domain: Name,
        /// The name that was given.
        name: String,
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
    /// A key without a hash could never be used.
    #[error("a key needs the SHA-256 of its secret")]
    NoHash,
    /// Two keys have one secret.
    #[error("the key \"{0}\" has the same secret")]
    SharedHash(Name),
    /// A domain without a host could never be called.
    #[error("a domain needs at least one host")]
    NoHost,
    /// Two domains have one host, or one has it twice.
    #[error("the domain \"{0}\" has this host already")]
    SharedHost(Name),
    /// One gateway beside several.
    #[error("a file has either gateway or gateways")]
    GatewayBesideGateways,
    /// A certificate that is none.
    #[error("the secret is no certificate in PEM")]
    NotCertificate,
    /// A private key that is none, or that has a pass phrase.
    #[error("the secret is no private key in PEM without a pass phrase")]
    NotPrivateKey,
    /// A secret that could be guessed.
    #[error("the secret has fewer than 32 characters")]
    ShortSecret,
    /// A certificate where a header's value is needed.
    #[error("the secret is a certificate or its key, and cannot be a credential")]
    PemCredential,
    /// Domains with TLS and without, at one port.
    #[error("the domain \"{0}\" has TLS, and one port speaks either TLS or plain HTTP")]
    PlainBesideTls(Name),
    /// A consumer of no domain, though there are domains.
    #[error("there are domains, and none of them is \"default\"; name the consumer's")]
    NoDomain,
    /// A key of no domain, though there are domains.
    #[error("there are domains, and none of them is \"default\"; name a consumer, which has a domain")]
    NoConsumer,
    /// A quota, or limits, that limit nothing.
    #[error(
        "no limit is named; there are rpm, tpm, concurrency, tokens_per_day, tokens_per_month and cost_per_month"
    )]
    NoLimit,
    /// A quota has a name that limits on objects have.
    #[error(
        "names that begin with \"{OF_OBJECTS}\" are those of limits on keys, consumers, models and providers"
    )]
    ReservedQuota,
    /// A route at a path of the models' API.
    #[error("the path is one of the API of models")]
    ModelsPath,
    /// A route with nothing that answers, or with several.
    #[error("a route has exactly one middleware")]
    NotOneAnswer,
    /// A marketplace elsewhere than its clients look for it.
    #[error("the MCP registry API is at \"/v0.1/*\"")]
    RegistryPath,
    /// A URL that is no address of a gateway.
    #[error("is such as https://mcp.example.com, without a path")]
    RegistryUrl,
    /// A template that cannot be used.
    #[error("{0}")]
    Template(String),
    /// An MCP server that cannot work.
    #[error("{0}")]
    Mcp(String),
    /// Two versions of a template have one label.
    #[error("the label \"{0}\" is on the version \"{1}\" already")]
    LabelTaken(Name, Name),
    /// A template that makes something else of a case's variables.
    #[error("the template makes {0} of these variables")]
    Case(String),
    /// A version that is named in no way, or in two.
    #[error("a version is named by its version or by a label")]
    VersionOrLabel,
    /// A template's provider that does not answer for its model.
    #[error("the model \"{0}\" has no target at this provider")]
    NotATarget(ModelName),
    /// A provider has a name of Weir's own clusters.
    #[error("names that begin with \"{RESERVED}\" are Weir's own")]
    Reserved,
    /// TLS negotiates the version of HTTP itself.
    #[error("over https the version of HTTP is negotiated; this key is for http upstreams")]
    Http2OverTls,
    /// TLS settings on a plain upstream.
    #[error("the upstream is not https")]
    TlsWithoutHttps,
    /// A path that Envoy would resolve in its own working directory.
    #[error("the path must be absolute")]
    RelativePath,
    /// Nobody can be asked for a service.
    #[error("the key \"{0}\" is missing, which says where such services are looked up")]
    NoRegistry(&'static str),
    /// A provider that speaks nothing.
    #[error("a provider speaks at least one of chat, responses, messages and gemini")]
    NoProtocol,
    /// A rule for a member of a request that is not for rules.
    #[error("\"{0}\" is the gateway's own to write")]
    OwnMember(String),
    /// A member that would have a third name.
    #[error("its new name is renamed itself")]
    RenamedTwice,
    /// A path that leads to no endpoint.
    #[error("a path begins with \"/\" and has \"{{endpoint}}\", where the request's own goes on")]
    NotPath,
    /// A profile that goes on from itself.
    #[error("the profiles that it goes on from have no end")]
    EndlessProfile,
    /// A name with several `*`.
    #[error("a model's name has at most one \"*\"")]
    Wildcards,
    /// A `*` that stands for nothing.
    #[error("\"*\" is what that of the model's name stands for, which has no other one")]
    StrayWildcard,
    /// An alias with a `*`.
    #[error("an alias is one name, without \"*\"")]
    WildcardAlias,
    /// An alias that means something else already.
    #[error("\"{0}\" is a name or an alias of the model \"{1}\" already")]
    TakenAlias(ModelName, String),
    /// A model that nobody answers for.
    #[error("a model needs at least one target")]
    NoTarget,
    /// A target that is there already.
    #[error("targets[{0}] is the same model of the same provider")]
    SameTarget(usize),
    /// A request that could be tried too often.
    #[error("the targets and the credentials of their providers make more than {MAX_ATTEMPTS} attempts")]
    TooManyAttempts,
}

fn unique<N: Ord + Display>(kind: &str, names: impl Iterator<Item = N>) -> Result<(), ModelError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if let Some(name) = seen.replace(name) {
            return Err(ModelError { at: format!("{kind}.{name}"), problem: Problem::Duplicate });
        }
    }
    Ok(())
}

fn known<'a>(
    kind: &'static str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    at: impl FnOnce() -> String,
) -> Result<(), ModelError> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let suggestion = nearest(name, names).map(str::to_owned);
    Err(ModelError { at: at(), problem: Problem::Unknown { kind, name: name.into(), suggestion } })
}

/// How often one request is tried at most: at each target, with each of its credentials.
pub const MAX_ATTEMPTS: usize = 16;

/// Clusters with this prefix come from Envoy's bootstrap.
const RESERVED: &str = "weir-";
