//! Configuration of the `mcp` filter: which MCP servers there are, and what answers for each.
//!
//! MCP is the Model Context Protocol, revisions 2025-03-26 to 2026-07-28 over Streamable HTTP.

mod mount;
mod names;
mod session;
mod tool;

use core::num::NonZeroU32;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Name, oauth::Scope, router::Identity};

pub use mount::{InvalidMount, Mount, Place};
pub use names::{ArgName, InvalidMcpName, ToolName, ToolPattern};
pub use session::{SessionKey, SessionKeys, SessionSource};
pub use tool::{Annotations, Arg, ArgStyle, ArgType, Header, Position, Request, Shape, Step, Template, Tool};

/// Configuration of the `mcp` filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The MCP servers.
    #[serde(default)]
    pub servers: Vec<Server>,
    /// Whether `auth` stands before this filter.
    #[serde(default)]
    pub identity: Identity,
    /// Whether [`HUB_ROUTE`] leads to a hub: it holds the streams that no filter can, and tells of changes of lists.
    #[serde(default)]
    pub hub: bool,
    /// Where the keys are that sessions at servers behind this one are sealed with. Absent: the session of one server is
    /// bound to its caller as far as this Envoy remembers, and several servers are for clients without sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionSource>,
}

/// What the route table matches in [`crate::ROUTE_HEADER`] for the hub. No model's route has this name.
pub const HUB_ROUTE: &str = "+mcp-hub";

/// An MCP server as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The server's name, as quotas, metrics and the access log have it.
    pub name: Name,
    /// The tenant it is for. Absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    /// Where it is called.
    pub path: Mount,
    /// The values of `Origin` that a browser may send, such as `https://chat.example.com`; `*` for any. A request
    /// without `Origin` comes from no page. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// The largest request body in bytes; more is answered 413. Default 64 KiB.
    #[serde(default = "default_request_bytes")]
    pub request_bytes: NonZeroU32,
    /// Who may use which tools: a tool that no grant covers is neither listed nor called. Absent: everyone may use all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<Grant>>,
    /// What answers.
    pub backend: Backend,
}

/// Tools, and who may use them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Patterns of the tools.
    pub tools: Vec<ToolPattern>,
    /// The consumers. Absent: everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<BTreeSet<Name>>,
    /// The scopes that a token must have, all of them. With any, the grant is for callers with tokens alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

/// What answers for an MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// The filter itself, from calls of REST APIs.
    Orchestrator(Box<Orchestrator>),
    /// Another MCP server.
    Proxy(Box<Proxy>),
}

/// An MCP server that is made of REST APIs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Orchestrator {
    /// What it says of itself.
    pub server: Info,
    /// Its tools, in the order they are listed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// What can be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Prompts for people to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Prompt>,
    /// How many items a list has on one page. Default 100.
    #[serde(default = "default_page_size")]
    pub page_size: NonZeroU32,
    /// The largest answer in bytes that is read from an API. Default 1 MiB.
    #[serde(default = "default_response_bytes")]
    pub response_bytes: NonZeroU32,
    /// How long a tool without a limit of its own may take as a whole. Default 30 s.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: NonZeroU32,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// A name for programs.
    pub name: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its version. Default `1.0.0`.
    #[serde(default = "default_version")]
    pub version: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How a model should use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// Something that can be read: one thing at its `uri`, or many at the URIs of a `uri_template`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its URI with variables, `logs://app/{appid}`. A variable is a part of the URI without a slash.
    #[serde(default, alias = "uriTemplate", skip_serializing_if = "Option::is_none")]
    pub uri_template: Option<String>,
    /// A name for programs.
    pub name: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its media type.
    #[serde(default, alias = "mimeType", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// What it says, where that is always the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What is asked for it otherwise; its templates have the variables of the `uri_template`.
    #[serde(default, alias = "requestTemplate", skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// What completes its variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
}

/// A prompt for people to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// A name for programs.
    pub name: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it needs to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Variable>,
    /// What it becomes.
    pub messages: Vec<Message>,
}

/// A text that a prompt or the URI of a resource needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: ArgName,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// Values that complete what a user has begun to write.
    #[serde(default, alias = "enumValues", skip_serializing_if = "Vec::is_empty")]
    pub enum_values: Vec<String>,
}

/// A message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What: a template over the prompt's arguments.
    pub text: Template,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// An MCP server that passes on to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// The servers behind it. Of one everything passes; tools and prompts of several are `<name>__<tool>`, and their
    /// resources `<name>+<uri>`.
    pub upstreams: Vec<McpUpstream>,
    /// Patterns of the tools that pass. Default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_tools: Option<Vec<ToolPattern>>,
    /// Patterns of the tools that do not pass, whatever else says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny_tools: Vec<ToolPattern>,
    /// Request header fields that pass, beside those of the protocol. Credentials never do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward_headers: Vec<String>,
    /// The largest answer in bytes that is read to be changed: a list of tools. Default 1 MiB.
    #[serde(default = "default_response_bytes")]
    pub response_bytes: NonZeroU32,
    /// How long a call that this filter makes itself may take. Default 30 s.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: NonZeroU32,
}

/// An MCP server behind a [`Proxy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct McpUpstream {
    /// Its name, with which its tools begin where there are several.
    pub name: Name,
    /// The cluster it is in.
    pub cluster: String,
    /// What the route table matches in [`crate::ROUTE_HEADER`].
    pub route: String,
    /// What `:authority` says of calls that this filter makes itself. Default the cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The path of its endpoint.
    pub path: String,
    /// What it speaks.
    #[serde(default)]
    pub protocol: Transport,
    /// The revision of the protocol that it speaks, where requests of the other era are to be converted. Absent: they
    /// pass as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// A revision of the protocol that an MCP server may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub enum Revision {
    /// With sessions.
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    /// With sessions.
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    /// With sessions.
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    /// Each request stands for itself.
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

impl McpUpstream {
    /// Whether its name can stand before those of its tools and resources: `[a-z][a-z0-9-]*`, at most 32 long. The first
    /// `__` of a tool's name then ends it, and a URI may begin with it.
    pub fn can_be_prefix(&self) -> bool {
        let name = self.name.as_str();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        name.len() <= 32 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(plain)
    }
}

/// What an MCP server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Streamable HTTP: one endpoint.
    #[default]
    Streamable,
    /// HTTP with SSE, of the revision 2024-11-05: a stream, and an endpoint that it names.
    Sse,
}

fn default_request_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(64 * 1024 - 1)
}

fn default_response_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1024 * 1024 - 1)
}

fn default_page_size() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(99)
}

fn default_timeout_ms() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(29_999)
}

fn default_version() -> String {
    "1.0.0".into()
}
