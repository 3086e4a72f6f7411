//! Configuration of the `router` filter: which models there are, and where each one's requests go.

use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::compat::RuleText;
use crate::cooling::Terms;
use crate::mcp::{Mount, Place};
use crate::{ModelName, ModelPattern, Name};

/// Configuration of the `router` filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The models that users may ask for.
    pub models: Vec<Model>,
    /// Models of one provider, for requests that a filter before this one has pinned to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// The tenants that `auth` tells apart, each with the models that it sees. Absent: everyone sees every model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// The providers whose files, batches and stored responses callers may use. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Provider>,
    /// The model of a request that names none, for callers whose domain has no such model of its own. Absent: such a
    /// request is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_model: Option<ModelName>,
    /// The MCP servers, whose requests the `mcp` filter answers or sends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mcp: Vec<McpEndpoint>,
    /// Whether `auth` stands before this filter.
    #[serde(default)]
    pub identity: Identity,
    /// The largest request body in bytes; more is answered 413. Default 32 MiB.
    #[serde(default = "default_body_bytes")]
    pub body_bytes: NonZeroU32,
    /// The largest part of a body in bytes that is held while its model is not yet known; more is answered
    /// 413. Keep it at or below the `request_body_buffer_limit` of the virtual host. Default 1 MiB.
    #[serde(default = "default_held_body_bytes")]
    pub held_body_bytes: NonZeroU32,
    /// The largest request body in bytes that is sent again to the next of several targets: the
    /// `request_body_buffer_limit` of their routes. That a body is larger is published. Default 1 MiB.
    #[serde(default = "default_held_body_bytes")]
    pub replay_body_bytes: NonZeroU32,
    /// When a cluster that fails is left alone, as `model-compat` has it. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooling: Option<Terms>,
}

/// A model that users may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What a request's `model` says. With one `*`, which stands for any characters, it is every such name that no
    /// model or alias has; of several, the one with the most before its `*` is meant.
    pub name: ModelName,
    /// Other names for it. It is under `name` that it is allowed and seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<ModelName>,
    /// The tenant it is for; there it stands before a shared model of the same name. Absent: it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    /// What the route table matches in [`crate::ROUTE_HEADER`].
    pub route: Name,
    /// The model's name at its upstream; `*` is what that of `name` stood for. Default the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<ModelName>,
    /// The clusters that may be asked: their `model-compat` writes the model's name, the path and the host of each attempt.
    /// Default none: this filter writes the name, and the route the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// `owned_by` in the list of models. Default `weir`.
    #[serde(default = "default_owner")]
    pub owned_by: String,
    /// `created` in the list of models, in seconds since 1970. Default 0.
    #[serde(default)]
    pub created: u64,
}

/// A model as one of its providers alone serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The `route` of the model that callers know.
    pub of: Name,
    /// The provider.
    pub provider: Name,
    /// The way there.
    pub model: Model,
}

/// A cluster, and what its upstream calls the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The cluster's name.
    pub cluster: String,
    /// The model's name there; `*` is what that of the model's name stood for.
    pub upstream_model: ModelName,
    /// When it is asked: those of the lowest number first. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// How often it is asked first, beside the others of its priority. Default 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: NonZeroU32,
    /// What it needs there. Default what the cluster's configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RuleText>,
}

/// A provider that keeps things for callers: files, batches, responses. They are its account's, so whoever may use them
/// sees those of everybody who may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What a request's [`crate::PROVIDER_HEADER`] says.
    pub name: Name,
    /// What the route table matches in [`crate::ROUTE_HEADER`].
    pub route: String,
    /// The tenants that may use it, and of their callers those who may use every model.
    pub domains: Vec<Name>,
}

/// Where an MCP server is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct McpEndpoint {
    /// The server's name.
    pub server: Name,
    /// The tenant it is for. Absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    /// Its paths.
    pub path: Mount,
    /// The largest request body in bytes that is read for the tools it calls; the `mcp` filter refuses more.
    pub request_bytes: NonZeroU32,
    /// Which of its requests go to the hub ([`crate::mcp::HUB_ROUTE`]). Default none.
    #[serde(default, skip_serializing_if = "Relayed::is_none")]
    pub relayed: Relayed,
}

/// Which requests to an MCP server go to the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Relayed {
    /// None: there is no hub.
    #[default]
    None,
    /// Those of the transport of 2024-11-05.
    Sse,
    /// Those too that open a stream of the server's own messages with GET.
    Streams,
    /// All, whatever is below its path: it is no server, but what tells of the servers.
    All,
}

impl Relayed {
    /// Whether a request goes to the hub.
    pub fn has(self, method: &str, place: Place) -> bool {
        match place {
            Place::Endpoint | Place::Sse | Place::Message | Place::Nowhere if self == Self::All => true,
            Place::Sse => self != Self::None && method == "GET",
            Place::Message => self != Self::None && method == "POST",
            Place::Endpoint => self == Self::Streams && method == "GET",
            Place::Nowhere => false,
        }
    }

    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A tenant, and which of the shared models it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The tenant's name.
    pub name: Name,
    /// Patterns of the shared models that it sees. Default all. Its own models it sees in any case.
    #[serde(default = "any_model")]
    pub models: Vec<ModelPattern>,
    /// The model of a request that names none. Default that of all domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_model: Option<ModelName>,
}

/// Whether the router may believe that a caller has been identified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// A request without the grant that `auth` publishes is refused.
    #[default]
    Required,
    /// Nobody is identified; every caller may use every model.
    None,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(number: &NonZeroU32) -> bool {
    *number == NonZeroU32::MIN
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn any_model() -> Vec<ModelPattern> {
    vec![ModelPattern::any()]
}

fn default_body_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(32 * 1024 * 1024 - 1)
}

fn default_held_body_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1024 * 1024 - 1)
}

fn default_owner() -> String {
    "weir".into()
}
