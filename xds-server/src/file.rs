//! The file people write: its shape, its defaults, and errors that say where.

pub mod discovery;
mod error;
mod hashes;
mod openapi;
mod prefix;
mod quota;
mod route;
mod template;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_schema::compat::{CredentialHeader, Profile, Protocol, Rules};
use weir_schema::quota::{Limits as Allowance, Prices};
use weir_schema::{HostPattern, ModelName, ModelPattern, Name, Timestamp};

use crate::{
    model::{self, CircuitBreakers, Label, Model, ModelError, OutlierDetection, Span, Upstream, Weight},
    secret::{Secret, SecretSource},
};

pub use error::{FileError, Place};
pub use hashes::Hashes;
pub use prefix::{InvalidPrefix, KeyPrefix};
pub use quota::{Match, Quota};
pub use route::{McpRegistry, Middleware, Route, RouteProtocol};
pub use template::{Case, StoredTemplate, TemplateUse, VersionUse};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where the gateway listens, and its limits. Every Envoy serves it.
    pub gateway: Option<Gateway>,
    /// Several gateways in its place: an Envoy serves the one that its cluster is named after.
    pub gateways: Vec<Gateway>,
    /// Secrets, by reference only.
    pub secrets: BTreeMap<Name, SecretSource>,
    /// The registries that upstreams are looked up in.
    pub discovery: discovery::Discovery,
    /// The tenants.
    pub domains: Vec<Domain>,
    /// Who may call.
    pub consumers: Vec<Consumer>,
    /// What callers identify themselves with.
    pub keys: Vec<Key>,
    /// What the APIs of providers need beside OpenAI's own, by name, beside the built-in ones.
    pub profiles: BTreeMap<Name, Profile>,
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

/// `gateway`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// The name of the Envoys that serve it.
    pub name: Name,
    /// Where it listens.
    pub listen: Listen,
    /// What it refuses.
    pub limits: Limits,
    /// Where Envoy writes its access log.
    pub access_log: AccessLog,
    /// Whether answers say in headers who has given them.
    pub response_headers: bool,
    /// Whether its Envoys answer for what they admit to this control plane's ledger. Not said in the file.
    #[serde(skip)]
    pub has_ledger: bool,
    /// The model of a request that names none.
    pub default_model: Option<ModelName>,
    /// Whether its Envoys send usage records. Not said in the file.
    #[serde(skip)]
    pub has_records: bool,
    /// The tenants that it serves. Default all.
    pub domains: Vec<Name>,
    /// The models that it serves. Default all of its tenants'.
    pub models: Vec<ModelPattern>,
    /// When a target that fails is left alone.
    pub cooling: Cooling,
    /// What sessions at MCP servers are sealed with. Default a secret of this process.
    pub mcp_sessions: Option<SessionSecrets>,
}

/// `gateway.listen`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// An IP address.
    pub address: IpAddr,
    /// A port.
    pub port: NonZeroU16,
}

/// `gateway.limits`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "GatewayLimits")]
pub struct Limits {
    /// The largest request body in bytes.
    pub request_body: NonZeroU32,
    /// How many keys are sent to Envoy whole; where there are more, it looks them up.
    pub inline_keys: u32,
    /// The largest request body in bytes that is sent again to a model's next target.
    pub replay_body: NonZeroU32,
}

/// `gateway.cooling`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cooling {
    /// After how many failures without an answer between them; 0 for never.
    pub failures: u32,
    /// For how long.
    pub time: Span,
    /// For how long at most if it says itself when to come back.
    pub longest: Span,
}

/// `gateway.mcp_sessions`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionSecrets {
    /// The name of the secret that seals.
    pub secret: Name,
    /// The one before it, which still opens.
    pub previous: Option<Name>,
}

/// `gateway.access_log`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// The file.
    pub file: PathBuf,
}

/// `domains[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The tenant's name.
    pub name: Name,
    /// The hosts that are its own.
    pub hosts: Vec<HostPattern>,
    /// The shared models that it sees beside its own.
    #[serde(default = "any_model")]
    pub models: Vec<ModelPattern>,
    /// The model of a request that names none. Default the gateway's.
    pub default_model: Option<ModelName>,
    /// How it is reached over TLS.
    pub tls: Option<ServerTls>,
}

/// `domains[].tls`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The name of the secret that has its certificate and chain.
    pub certificate: Name,
    /// The name of the secret that has the certificate's private key.
    pub key: Name,
}

/// `consumers[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// The consumer's name.
    pub name: Name,
    /// The tenant it belongs to. Default `default`.
    pub domain: Option<Name>,
    /// What is known about it.
    #[serde(default)]
    pub labels: BTreeMap<Name, Label>,
    /// How much may be used.
    pub limits: Option<Box<Allowance>>,
}

/// `keys[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key's public name.
    pub id: Name,
    /// Whom it stands for. Default a consumer named as the key.
    pub consumer: Option<Name>,
    /// What is known about it.
    #[serde(default)]
    pub labels: BTreeMap<Name, Label>,
    /// How its secret begins, by which people recognise it.
    pub prefix: Option<KeyPrefix>,
    /// The SHA-256 of its secret, or of several while it is being rotated.
    pub sha256: Hashes,
    /// The models it may use.
    #[serde(default = "any_model")]
    pub models: Vec<ModelPattern>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// Whether it is refused for now.
    #[serde(default)]
    pub disabled: bool,
    /// How much may be used.
    pub limits: Option<Box<Allowance>>,
}

/// `providers[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The provider's name.
    pub name: Name,
    /// What kind of API it has: the name of a profile. Default OpenAI's.
    pub profile: Option<Name>,
    /// The base URL of its API.
    pub upstream: Upstream,
    /// Names of the secrets it is called with.
    #[serde(default)]
    pub credentials: Vec<Name>,
    /// How an https upstream is verified.
    #[serde(default)]
    pub tls: Tls,
    /// Whether an http upstream speaks HTTP/2.
    #[serde(default)]
    pub http2: bool,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: ProviderTimeouts,
    /// When a node that fails gets no requests for a while.
    #[serde(default)]
    pub outlier_detection: OutlierDetection,
    /// How much may be under way there at once.
    #[serde(default)]
    pub circuit_breakers: CircuitBreakers,
    /// How much may be used.
    pub limits: Option<Box<Allowance>>,
    /// The interfaces that it speaks, the preferred one first. Default what its profile says, else chat.
    pub protocols: Option<Vec<Protocol>>,
    /// The header that its credentials are sent in. Default what its profile says, else the one of its first protocol.
    pub credential_header: Option<CredentialHeader>,
    /// The domains whose callers may use the files, batches and responses that it keeps.
    #[serde(default)]
    pub stored_for: Vec<Name>,
}

/// `providers[].tls`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate authorities to trust, as a file that Envoy reads.
    pub ca: Option<PathBuf>,
}

/// `providers[].timeouts`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderTimeouts {
    /// Until a connection is open.
    pub connect: Span,
}

/// `models[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicModel {
    /// What a request's `model` says; one `*` stands for any characters.
    pub name: ModelName,
    /// Other names for it.
    #[serde(default)]
    pub aliases: Vec<ModelName>,
    /// The tenant it is for. Default every one that sees it.
    pub domain: Option<Name>,
    /// Who answers.
    pub targets: Vec<Target>,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// `owned_by` in the list of models.
    #[serde(default = "default_owner")]
    pub owned_by: String,
    /// What its tokens cost.
    pub prices: Option<Box<Prices>>,
    /// How much may be used.
    pub limits: Option<Box<Allowance>>,
    /// What it needs at its upstreams, beside what their profiles say.
    pub compat: Option<Box<Rules>>,
}

/// `models[].targets[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The provider's name.
    pub provider: Name,
    /// The model's name there; `*` is what that of the model's name stands for. Default the same name.
    pub model: Option<ModelName>,
    /// When it is asked: those of the lowest number first.
    #[serde(default)]
    pub priority: u32,
    /// How often it is asked first, beside the others of its priority.
    #[serde(default)]
    pub weight: Weight,
    /// What the model needs there, beside what it needs everywhere.
    pub compat: Option<Box<Rules>>,
}

/// `models[].timeouts`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// How long an answer may take to begin, at each target.
    pub first_token: Option<Span>,
    /// How long neither side may be silent.
    pub idle: Span,
    /// How long an answer may take as a whole.
    pub total: Option<Span>,
}

impl File {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        error::parse(text)
    }

    /// The model that the file describes, with its secrets.
    pub fn into_model(mut self, secrets: BTreeMap<Name, Secret>) -> Result<Model, ModelError> {
        self.expand()?;
        if self.gateway.is_some() && !self.gateways.is_empty() {
            return Err(ModelError { at: "gateways".into(), problem: model::Problem::GatewayBesideGateways });
        }
        Model::new(model::Parts {
            gateway: self.gateway.unwrap_or_default().into_model(),
            gateways: self.gateways.into_iter().map(Gateway::into_model).collect(),
            secrets,
            registries: self.discovery.into_model(),
            domains: self.domains.into_iter().map(Domain::into_model).collect(),
            consumers: self.consumers.into_iter().map(Consumer::into_model).collect(),
            keys: self.keys.into_iter().map(Key::into_model).collect(),
            profiles: self.profiles,
            providers: self.providers.into_iter().map(Provider::into_model).collect(),
            models: self.models.into_iter().map(PublicModel::into_model).collect(),
            quotas: self.quotas.into_iter().map(Quota::into_model).collect(),
            templates: self.templates.into_iter().map(StoredTemplate::into_model).collect(),
            routes: self.routes.into_iter().map(Route::into_model).collect(),
        })
    }
}

impl Gateway {
    fn into_model(self) -> model::Gateway {
        model::Gateway {
            name: self.name,
            address: self.listen.address,
            port: self.listen.port.get(),
            request_body: self.limits.request_body,
            inline_keys: self.limits.inline_keys,
            replay_body: self.limits.replay_body,
            access_log: self.access_log.file,
            response_headers: self.response_headers,
            has_ledger: self.has_ledger,
            default_model: self.default_model,
            has_records: self.has_records,
            domains: self.domains,
            models: self.models,
            cooling: self.cooling.into_model(),
            mcp_sessions: self
                .mcp_sessions
                .map(|SessionSecrets { secret, previous }| {
                    [Some(secret), previous].into_iter().flatten().collect()
                })
                .unwrap_or_default(),
        }
    }
}

impl Domain {
    fn into_model(self) -> model::Domain {
        let Self { name, hosts, models, default_model, tls } = self;
        let tls = tls.map(|ServerTls { certificate, key }| model::ServerTls { certificate, key });
        model::Domain { name, hosts, models, default_model, tls }
    }
}

impl Consumer {
    fn into_model(self) -> model::Consumer {
        model::Consumer {
            name: self.name,
            domain: self.domain,
            labels: self.labels,
            limits: self.limits.map(|limits| *limits),
        }
    }
}

impl Key {
    fn into_model(self) -> model::Key {
        let Self { id, consumer, labels: _, prefix: _, sha256, models, expires_at, disabled, limits } = self;
        model::Key {
            id,
            consumer,
            sha256: sha256.into(),
            models,
            expires_at,
            disabled,
            limits: limits.map(|limits| *limits),
        }
    }
}

impl Provider {
    fn into_model(self) -> model::Provider {
        let needs = Profile {
            protocols: self.protocols.clone(),
            credential_header: self.credential_header,
            ..Profile::default()
        };
        let protocols = self.protocols.unwrap_or_else(|| vec![Protocol::Chat]);
        model::Provider {
            name: self.name,
            profile: self.profile,
            needs,
            upstream: self.upstream,
            credentials: self.credentials,
            ca: self.tls.ca,
            http2: self.http2,
            connect_timeout: self.timeouts.connect.duration(),
            outlier_detection: self.outlier_detection,
            circuit_breakers: self.circuit_breakers,
            limits: self.limits.map(|limits| *limits),
            credential_header: self.credential_header.unwrap_or(CredentialHeader::of(&protocols)),
            protocols,
            stored_for: self.stored_for,
        }
    }
}

impl PublicModel {
    /// What tells the model apart from every other: its name, and its domain if it has one.
    pub fn label(&self) -> String {
        model::label(&self.name, self.domain.as_ref())
    }

    fn into_model(self) -> model::PublicModel {
        model::PublicModel {
            name: self.name,
            aliases: self.aliases,
            domain: self.domain,
            targets: self.targets.into_iter().map(Target::into_model).collect(),
            first_token_timeout: self.timeouts.first_token.map(Span::duration),
            idle_timeout: self.timeouts.idle.duration(),
            total_timeout: self.timeouts.total.map(Span::duration),
            owned_by: self.owned_by,
            prices: self.prices.map(|prices| *prices),
            limits: self.limits.map(|limits| *limits),
            compat: self.compat.map(|rules| *rules),
        }
    }
}

impl Target {
    fn into_model(self) -> model::Target {
        let Self { provider, model, priority, weight, compat } = self;
        model::Target { provider, model, priority, weight, compat: compat.map(|rules| *rules) }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            name: default_gateway(),
            listen: Listen::default(),
            limits: Limits::default(),
            access_log: AccessLog::default(),
            response_headers: true,
            has_ledger: false,
            default_model: None,
            has_records: false,
            domains: Vec::new(),
            models: Vec::new(),
            cooling: Cooling::default(),
            mcp_sessions: None,
        }
    }
}

impl Cooling {
    fn into_model(self) -> Option<model::Cooling> {
        let (time, longest) = (self.time.duration(), self.longest.duration());
        NonZeroU32::new(self.failures).map(|failures| model::Cooling { failures, time, longest })
    }
}

impl Default for Cooling {
    fn default() -> Self {
        Self { failures: 5, time: Span::from_secs(10), longest: Span::from_secs(300) }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), port: NonZeroU16::MIN.saturating_add(9_999) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: NonZeroU32::MIN.saturating_add(32 * 1024 * 1024 - 1),
            inline_keys: 10_000,
            replay_body: NonZeroU32::MIN.saturating_add(1024 * 1024 - 1),
        }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { file: "/dev/stdout".into() }
    }
}

impl Default for ProviderTimeouts {
    fn default() -> Self {
        Self { connect: Span::from_secs(5) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { first_token: None, idle: Span::from_secs(300), total: None }
    }
}

#[expect(clippy::expect_used, reason = "the text is a name")]
fn default_gateway() -> Name {
    Name::try_from("weir".to_owned()).expect("weir is a name")
}

fn any_model() -> Vec<ModelPattern> {
    vec![ModelPattern::any()]
}

fn default_owner() -> String {
    "weir".into()
}
