//! What can be wrong with a model.

use std::{collections::BTreeSet, fmt::Display};

use weir_schema::{ModelName, Name};

use super::{MAX_ATTEMPTS, OF_OBJECTS, provider::RESERVED};
use crate::suggest::{hint, nearest};

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

pub(super) fn unique<N: Ord + Display>(kind: &str, names: impl Iterator<Item = N>) -> Result<(), ModelError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if let Some(name) = seen.replace(name) {
            return Err(ModelError { at: format!("{kind}.{name}"), problem: Problem::Duplicate });
        }
    }
    Ok(())
}

pub(super) fn known<'a>(
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
