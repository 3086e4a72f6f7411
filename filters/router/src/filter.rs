//! The filter with one configuration.

use std::borrow::Cow;
use std::rc::Rc;

use weir_core::{ConfigError, Filter, Metric, Reply, StreamId};
use weir_schema::cooling::Terms;
use weir_schema::router::{Config, Identity, McpEndpoint};
use weir_wire::translate;

use crate::catalog::Catalog;
use crate::pins::Pins;
use crate::stream::RouterStream;

/// Sends each request to its model's route.
#[derive(Debug)]
pub struct Router {
    pub(crate) catalog: Catalog,
    pub(crate) pins: Pins,
    pub(crate) mcp: Vec<McpEndpoint>,
    pub(crate) identity: Identity,
    pub(crate) body_bytes: u64,
    pub(crate) held_body_bytes: u64,
    pub(crate) replay_body_bytes: u64,
    pub(crate) cooling: Option<Terms>,
}

impl Filter for Router {
    const NAME: &'static str = "router";
    const METRICS: &'static [Metric] =
        &[ROUTED, PASSED, TO_MCP, LISTED, UNKNOWN_MODEL, UNKNOWN_PROVIDER, BAD_REQUEST, UNIDENTIFIED];
    type Config = Config;
    type Stream = RouterStream;

    fn new(config: Config) -> Result<Self, ConfigError> {
        if config.held_body_bytes > config.body_bytes {
            return Err(ConfigError { field: "held_body_bytes".into(), problem: "is more than body_bytes" });
        }
        let catalog = Catalog::of(config.models, config.domains, config.providers, config.default_model)?;
        if catalog.has_domains() && config.identity == Identity::None {
            return Err(ConfigError {
                field: "domains".into(),
                problem: "nobody says which one a caller is of",
            });
        }
        Ok(Self {
            catalog,
            pins: Pins::of(config.pins),
            mcp: config.mcp,
            identity: config.identity,
            body_bytes: config.body_bytes.get().into(),
            held_body_bytes: config.held_body_bytes.get().into(),
            replay_body_bytes: config.replay_body_bytes.get().into(),
            cooling: config.cooling,
        })
    }

    fn worded(path: &str, reply: Reply) -> Reply {
        match translate::worded(path, reply.status, &reply.body) {
            Some(body) => Reply { body: Cow::Owned(body), ..reply },
            None => reply,
        }
    }

    fn stream(self: &Rc<Self>, _: StreamId) -> RouterStream {
        RouterStream::begin(Rc::clone(self))
    }
}

/// Requests that were sent to their model's route.
pub(crate) const ROUTED: Metric = Metric::counter("weir.router.routed_total");
/// Requests that were sent to a provider by its name.
pub(crate) const PASSED: Metric = Metric::counter("weir.router.passed_total");
/// Requests to MCP servers.
pub(crate) const TO_MCP: Metric = Metric::counter("weir.router.to_mcp_total");
/// Requests for a provider that does not exist, or that keeps nothing for the caller.
pub(crate) const UNKNOWN_PROVIDER: Metric = Metric::counter("weir.router.unknown_provider_total");
/// Requests about the models themselves that were answered.
pub(crate) const LISTED: Metric = Metric::counter("weir.router.listed_total");
/// Requests for a model that does not exist, or that the caller may not use.
pub(crate) const UNKNOWN_MODEL: Metric = Metric::counter("weir.router.unknown_model_total");
/// Requests that were refused for their path, their headers or their body.
pub(crate) const BAD_REQUEST: Metric = Metric::counter("weir.router.bad_request_total");
/// Requests that no `auth` filter had identified, or of a domain unknown here, though the configuration requires it.
pub(crate) const UNIDENTIFIED: Metric = Metric::counter("weir.router.unidentified_total");
