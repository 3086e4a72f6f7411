//! Resources of OAuth: the descriptions that clients find them by, and whom a verified token stands for.

use std::rc::Rc;

use serde_json::{Map, Value};
use weir_core::{ConfigError, Cx, Head, Metric, Reply};
use weir_schema::Name;
use weir_schema::auth::Resource as Config;
use weir_schema::mcp::Place;
use weir_schema::oauth::{Scope, WELL_KNOWN, joined};
use weir_schema::state::{Grant, Token};

use crate::claims;
use crate::filter::{INSUFFICIENT_SCOPE, INVALID_TOKEN, UNCHECKED_TOKEN};
use crate::reply;

/// The resources of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Resources(Vec<Rc<Resource>>);

/// A resource that tokens are for.
#[derive(Debug)]
pub(crate) struct Resource {
    config: Config,
    /// What its metadata says.
    described: String,
    /// `resource_metadata` and `scope` of every challenge.
    challenge: String,
    needed: String,
    failed: String,
}

/// Whom a verified token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) consumer: String,
    pub(crate) key_id: String,
    pub(crate) domain: Name,
    pub(crate) grant: Grant,
    pub(crate) token: Token,
}

/// What there is of a token in a request to a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// One that was verified.
    Verified(Box<Bearer>),
    /// One that may not be used.
    Refused(Reply, Failure),
    /// None; there may be a key.
    Nothing,
}

/// Why a token may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Invalid,
    Scope,
    /// The issuer's keys are not to be had.
    Unavailable,
}

impl Failure {
    pub(crate) fn metric(self) -> Metric {
        match self {
            Self::Invalid => INVALID_TOKEN,
            Self::Scope => INSUFFICIENT_SCOPE,
            Self::Unavailable => UNCHECKED_TOKEN,
        }
    }
}

impl Resources {
    pub(crate) fn of(configs: Vec<Config>) -> Result<Self, ConfigError> {
        for (at, config) in configs.iter().enumerate() {
            let wrong = |field: &str, problem| {
                Err(ConfigError { field: format!("resources[{at}].{field}"), problem })
            };
            if config.payload.is_empty() {
                return wrong("payload", "names no metadata");
            }
            if config.claim.is_empty() {
                return wrong("claim", "names no claim");
            }
            if config.authorization_servers.is_empty() {
                return wrong("authorization_servers", "names nobody who issues tokens");
            }
            if Name::try_from(format!("{}{}", config.prefix, "a".repeat(ROOM))).is_err() {
                return wrong("prefix", "cannot begin a consumer's name");
            }
        }
        Ok(Self(configs.into_iter().map(|config| Rc::new(Resource::of(config))).collect()))
    }

    /// The resource that a request to this path is for.
    pub(crate) fn find<'a>(&'a self, path: &str, domain: Option<&'a Name>) -> Option<&'a Rc<Resource>> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        self.of_domain(domain).find(|resource| resource.config.path.find(path).is_some())
    }

    /// The description that is asked for, if a request asks for one: no credential is needed to see it.
    pub(crate) fn describe(&self, head: &Head<'_>, domain: Option<&Name>) -> Option<Reply> {
        if self.0.is_empty() {
            return None;
        }
        let path = head.text(":path")?;
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let below = path.strip_prefix(WELL_KNOWN).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let mut own = self.of_domain(domain);
        let found = match below {
            // The whole host's; which of several resources it would be is not said.
            "" | "/" => own.next().filter(|_| own.next().is_none()),
            path => own.find(|resource| {
                matches!(resource.config.path.find(path), Some(Place::Endpoint | Place::Sse | Place::Message))
            }),
        };
        Some(match (found, head.text(":method")) {
            (None, _) => reply::no_resource(),
            (Some(_), Some("OPTIONS")) => reply::preflight(),
            (Some(resource), Some("GET" | "HEAD")) => reply::described(resource.described.clone()),
            (Some(_), _) => reply::only_get(),
        })
    }

    fn of_domain<'a>(&'a self, domain: Option<&'a Name>) -> impl Iterator<Item = &'a Rc<Resource>> {
        self.0.iter().filter(move |resource| match (&resource.config.domain, domain) {
            (None, _) => true,
            (Some(own), Some(asked)) => own == asked,
            (Some(own), None) => *own == Name::default_domain(),
        })
    }
}

impl Resource {
    fn of(config: Config) -> Self {
        let needed = joined(config.scopes.iter().map(Scope::as_str));
        let scope = if needed.is_empty() { String::new() } else { format!(r#", scope="{needed}""#) };
        Self {
            described: described(&config),
            challenge: format!(r#"resource_metadata="{}"{scope}"#, config.resource.metadata()),
            failed: format!("{}.failed", config.payload),
            needed,
            config,
        }
    }

    pub(crate) fn allows_keys(&self) -> bool {
        self.config.allow_keys
    }

    /// Looks for a token that Envoy has verified for this resource.
    pub(crate) fn presented(&self, cx: &Cx<'_>, head: &Head<'_>, domain: Option<&Name>) -> Presented {
        let said = |claim: &str| cx.attribute(&["metadata", METADATA, VERIFIER, &self.config.payload, claim]);
        let text = |claim: &str| said(claim).and_then(claims::text);
        let subject = text(SUBJECT);
        let named = if self.config.claim == SUBJECT { subject.clone() } else { text(&self.config.claim) };
        let Some(named) = named else { return self.failure(cx, head) };
        let scopes = match said("scope").and_then(claims::text) {
            Some(scopes) => scopes,
            None => said("scp").and_then(claims::scopes).unwrap_or_default(),
        };
        let token = Token::of(&self.config.resource.metadata(), &self.needed, &scopes);
        if !self.config.scopes.iter().all(|scope| token.has(scope.as_str())) {
            return Presented::Refused(reply::insufficient_scope(token.challenge([])), Failure::Scope);
        }
        let domain = domain.cloned().unwrap_or_else(Name::default_domain);
        let subject = subject.as_deref().unwrap_or(&named);
        let issuer = self.config.authorization_servers.first().map_or("", String::as_str);
        Presented::Verified(Box::new(Bearer {
            consumer: claims::consumer(&self.config.prefix, &named),
            key_id: format!("token/{}", claims::hash(&[issuer, subject])),
            grant: Grant::of(&domain, &[]),
            domain,
            token,
        }))
    }

    /// Nothing was verified: says why, if there was something that is no key.
    fn failure(&self, cx: &Cx<'_>, head: &Head<'_>) -> Presented {
        if !head.get("authorization").is_some_and(claims::is_token) {
            return Presented::Nothing;
        }
        let why = cx.attribute(&["metadata", METADATA, VERIFIER, &self.failed, "message"]);
        match why.and_then(claims::text) {
            Some(why) if why.starts_with(NO_KEYS) => {
                Presented::Refused(reply::issuer_unavailable(), Failure::Unavailable)
            }
            why => {
                let why = why.as_deref().unwrap_or("the token says not whom it stands for");
                Presented::Refused(self.invalid(why), Failure::Invalid)
            }
        }
    }

    /// The answer to a request without a credential.
    pub(crate) fn missing(&self) -> Reply {
        reply::missing_token(format!("Bearer {}", self.challenge))
    }

    /// The answer to a request with one that does not work.
    pub(crate) fn invalid(&self, why: &str) -> Reply {
        let why: String = why
            .chars()
            .filter(|c| (' '..='~').contains(c) && !"\"\\".contains(*c))
            .take(MAX_REASON)
            .collect();
        let error = format!(r#"Bearer error="invalid_token", error_description="{why}", "#);
        reply::invalid_token(format!("{error}{}", self.challenge))
    }

    /// The same answer, with which a client finds out where tokens are issued.
    pub(crate) fn challenged(&self, reply: Reply) -> Reply {
        if reply.status != 401 {
            return reply;
        }
        let mut reply = reply;
        reply.headers.retain(|(name, _)| *name != reply::CHALLENGE);
        reply.with_header(reply::CHALLENGE, format!(r#"Bearer error="invalid_token", {}"#, self.challenge))
    }
}

/// Whether the query of a path has a token in it, where it would be logged (RFC 6750, section 5.3).
pub(crate) fn has_token_in_query(path: &str) -> bool {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair.split('=').next() == Some("access_token"))
}

fn described(config: &Config) -> String {
    let mut described = Map::new();
    described.insert("resource".into(), config.resource.as_str().into());
    described.insert("authorization_servers".into(), config.authorization_servers.as_slice().into());
    if !config.scopes_supported.is_empty() {
        let scopes = config.scopes_supported.iter().map(Scope::as_str).collect::<Vec<_>>();
        described.insert("scopes_supported".into(), scopes.into());
    }
    described.insert("bearer_methods_supported".into(), ["header"].as_slice().into());
    if let Some(title) = &config.title {
        described.insert("resource_name".into(), title.as_str().into());
    }
    Value::Object(described).to_string()
}

const METADATA: &str = "filter_metadata";
/// Under which name Envoy's filter `jwt_authn` has its dynamic metadata.
const VERIFIER: &str = "envoy.filters.http.jwt_authn";
const SUBJECT: &str = "sub";
/// How `jwt_authn` begins to say that it could not get the issuer's keys.
const NO_KEYS: &str = "Jwks remote fetch is failed";
const MAX_REASON: usize = 128;
/// How much of a consumer's name a prefix leaves to a claim, at least.
const ROOM: usize = 64;
