//! The filter with one configuration.

use std::borrow::Cow;
use std::rc::Rc;

use weir_core::{Answer, CallError, CallId, ConfigError, Cx, Filter, Metric, Reply, StreamId};
use weir_schema::auth::{Config, ModelCheck};
use weir_schema::mcp::{Mount, Place};
use weir_wire::translate;

use crate::directory::Directory;
use crate::hosts::Hosts;
use crate::lookup::Lookups;
use crate::resource::Resources;
use crate::stream::AuthStream;

/// Checks API keys, and says who is calling.
#[derive(Debug)]
pub struct Auth {
    pub(crate) hosts: Option<Hosts>,
    pub(crate) directory: Directory,
    pub(crate) lookups: Option<Lookups>,
    pub(crate) model_check: ModelCheck,
    pub(crate) held_body_bytes: u64,
    pub(crate) relayed: Vec<Mount>,
    pub(crate) resources: Resources,
}

impl Filter for Auth {
    const NAME: &'static str = "auth";
    const METRICS: &'static [Metric] = &[
        ALLOWED,
        UNKNOWN_HOST,
        MISSING_KEY,
        INVALID_KEY,
        EXPIRED_KEY,
        MODEL_DENIED,
        BAD_BODY,
        MISSING_TOKEN,
        INVALID_TOKEN,
        INSUFFICIENT_SCOPE,
        UNCHECKED_TOKEN,
        LOOKUPS,
        LOOKUP_FAILURES,
    ];
    type Config = Config;
    type Stream = AuthStream;

    fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self {
            hosts: Hosts::of(config.domains)?,
            directory: Directory::of(config.keys)?,
            lookups: config.lookup.map(Lookups::of).transpose()?,
            model_check: config.model_check,
            held_body_bytes: config.held_body_bytes.get().into(),
            relayed: config.relayed,
            resources: Resources::of(config.resources)?,
        })
    }

    fn worded(path: &str, reply: Reply) -> Reply {
        match translate::worded(path, reply.status, &reply.body) {
            Some(body) => Reply { body: Cow::Owned(body), ..reply },
            None => reply,
        }
    }

    fn stream(self: &Rc<Self>, id: StreamId) -> AuthStream {
        AuthStream::begin(Rc::clone(self), id)
    }

    fn on_call_done(&self, cx: &mut Cx<'_>, call: CallId, outcome: Result<Answer<'_>, CallError>) {
        if let Some(lookups) = &self.lookups {
            lookups.on_call_done(cx, call, outcome);
        }
    }
}

impl Auth {
    /// Whether what is sent to `path` comes back here by way of the hub.
    pub(crate) fn is_relayed(&self, path: Option<&str>) -> bool {
        let Some(path) = path.filter(|_| !self.relayed.is_empty()) else { return false };
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        self.relayed.iter().any(|mount| mount.find(path) == Some(Place::Message))
    }
}

/// Requests whose key was accepted.
pub(crate) const ALLOWED: Metric = Metric::counter("weir.auth.allowed_total");
/// Requests to a host that belongs to no domain.
pub(crate) const UNKNOWN_HOST: Metric = Metric::counter("weir.auth.unknown_host_total");
/// Requests without a key.
pub(crate) const MISSING_KEY: Metric = Metric::counter("weir.auth.missing_key_total");
/// Requests with a key that is unknown, disabled or of another domain.
pub(crate) const INVALID_KEY: Metric = Metric::counter("weir.auth.invalid_key_total");
/// Requests with a key that has expired.
pub(crate) const EXPIRED_KEY: Metric = Metric::counter("weir.auth.expired_key_total");
/// Requests for a model that the key does not allow.
pub(crate) const MODEL_DENIED: Metric = Metric::counter("weir.auth.model_denied_total");
/// Requests whose body was refused while its model was looked for.
pub(crate) const BAD_BODY: Metric = Metric::counter("weir.auth.bad_body_total");
/// Requests to a resource of OAuth without a token.
pub(crate) const MISSING_TOKEN: Metric = Metric::counter("weir.auth.missing_token_total");
/// Requests with a token that is not valid there.
pub(crate) const INVALID_TOKEN: Metric = Metric::counter("weir.auth.invalid_token_total");
/// Requests with a token that lacks a scope which every request needs.
pub(crate) const INSUFFICIENT_SCOPE: Metric = Metric::counter("weir.auth.insufficient_scope_total");
/// Requests with a token that could not be verified, as its issuer's keys were not to be had; they were answered 503.
pub(crate) const UNCHECKED_TOKEN: Metric = Metric::counter("weir.auth.unchecked_token_total");
/// Lookups of unknown keys that were sent.
pub(crate) const LOOKUPS: Metric = Metric::counter("weir.auth.lookups_total");
/// Lookups that brought no verdict; their requests were answered 503.
pub(crate) const LOOKUP_FAILURES: Metric = Metric::counter("weir.auth.lookup_failures_total");
