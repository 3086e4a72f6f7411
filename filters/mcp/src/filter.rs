//! The filter with one configuration.

use std::rc::Rc;

use weir_core::{Answer, CallError, CallId, ConfigError, Cx, Filter, Metric, StreamId};
use weir_schema::mcp::Config;
use weir_schema::router::Identity;

use crate::catalog::Catalog;
use crate::proxy::{KEYS_CALL, Keys};
use crate::stream::McpStream;

/// Serves MCP.
#[derive(Debug)]
pub struct Mcp {
    pub(crate) catalog: Catalog,
    pub(crate) identity: Identity,
    pub(crate) hub: bool,
    pub(crate) keys: Option<Keys>,
}

impl Filter for Mcp {
    const NAME: &'static str = "mcp";
    const METRICS: &'static [Metric] = &[
        MESSAGES,
        REFUSED,
        UNIDENTIFIED,
        PASSED,
        RELAYED,
        MISSING,
        CALLS_OK,
        CALLS_REFUSED,
        CALLS_TOOL_ERROR,
        CALLS_UPSTREAM_ERROR,
        CALLS_TIMEOUT,
        CALL_MILLIS,
    ];
    type Config = Config;
    type Stream = McpStream;

    fn new(config: Config) -> Result<Self, ConfigError> {
        let (identity, hub, keys) = (config.identity, config.hub, config.sessions.clone().map(Keys::at));
        Ok(Self { catalog: Catalog::of(config)?, identity, hub, keys })
    }

    fn on_call_done(&self, cx: &mut Cx<'_>, call: CallId, outcome: Result<Answer<'_>, CallError>) {
        if let Some(keys) = self.keys.as_ref().filter(|_| call == KEYS_CALL) {
            keys.learn(cx, outcome);
        }
    }

    fn stream(self: &Rc<Self>, _: StreamId) -> McpStream {
        McpStream::begin(Rc::clone(self))
    }
}

/// Messages that were answered here.
pub(crate) const MESSAGES: Metric = Metric::counter("weir.mcp.messages_total");
/// Requests that were refused for their path, origin, head or body.
pub(crate) const REFUSED: Metric = Metric::counter("weir.mcp.refused_total");
/// Requests that no `auth` filter had identified, though the configuration requires it.
pub(crate) const UNIDENTIFIED: Metric = Metric::counter("weir.mcp.unidentified_total");
/// Requests that passed to a server behind this one.
pub(crate) const PASSED: Metric = Metric::counter("weir.mcp.passed_total");
/// Requests that went to the hub.
pub(crate) const RELAYED: Metric = Metric::counter("weir.mcp.relayed_total");
/// Servers that did not answer when all were asked, each counted.
pub(crate) const MISSING: Metric = Metric::counter("weir.mcp.missing_total");
/// Calls of tools, and readings of resources, that were answered.
pub(crate) const CALLS_OK: Metric = Metric::counter("weir.mcp.calls_ok_total");
/// Those of an unknown tool, one that the caller may not use, or with arguments that do not fit.
pub(crate) const CALLS_REFUSED: Metric = Metric::counter("weir.mcp.calls_refused_total");
/// Those whose answer did not fit the tool.
pub(crate) const CALLS_TOOL_ERROR: Metric = Metric::counter("weir.mcp.calls_tool_error_total");
/// Those that an API answered with an error, or not at all.
pub(crate) const CALLS_UPSTREAM_ERROR: Metric = Metric::counter("weir.mcp.calls_upstream_error_total");
/// Those that took too long.
pub(crate) const CALLS_TIMEOUT: Metric = Metric::counter("weir.mcp.calls_timeout_total");
/// How long calls took.
pub(crate) const CALL_MILLIS: Metric = Metric::histogram("weir.mcp.call_millis");
