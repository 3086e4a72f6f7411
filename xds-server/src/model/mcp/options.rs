//! The options of an MCP server as people write them: the article's, and more.
//!
//! Every key is read in snake_case and in camelCase.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_schema::Name;
use weir_schema::mcp::{
    Annotations, Arg, ArgName, Header, Info, Prompt, Revision, Template, ToolName, ToolPattern, Transport,
    Variable,
};
use weir_schema::oauth::Scope;

use super::{OAuth, openapi::OpenApi};
use crate::model::{Label, Span};

/// `v1_mcp_server`: one of `apiOrchestrator` and `proxy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct McpOptions {
    /// The name of these options as a message; it ends with `MCPServerConfig`.
    #[serde(rename = "@type", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A server that is made of REST calls.
    #[serde(rename = "apiOrchestrator", alias = "api_orchestrator", skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<Box<Orchestrator>>,
    /// A server that passes on to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Box<Proxy>>,
    /// The values of `Origin` that browsers may send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Who may use which tools. Default everyone all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<Grant>>,
    /// Whose tokens are accepted. Default nobody's: callers have the gateway's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Box<OAuth>>,
}

/// Tools, and who may use them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Patterns of the tools.
    pub tools: Vec<ToolPattern>,
    /// Consumers. Default everyone, unless there are labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<BTreeSet<Name>>,
    /// Consumers that have all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Name, Label>,
    /// The scopes that a token must have, all of them. With any, the grant is for callers with tokens alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

/// `apiOrchestrator`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Orchestrator {
    /// What the server says of itself.
    pub server: Info,
    /// What the URLs of tools that begin with a slash are behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<OwnUpstream>,
    /// What the APIs are called with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<UpstreamAuth>,
    /// How much, and how long.
    #[serde(default)]
    pub limits: McpLimits,
    /// Its tools.
    #[serde(default)]
    pub tools: Vec<ToolOptions>,
    /// Tools beside them, which an OpenAPI document describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openapi: Option<OpenApi>,
    /// What can be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Prompts for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Prompt>,
    /// How many items a list has on one page.
    #[serde(alias = "pageSize", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<NonZeroU32>,
}

/// Where APIs are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnUpstream {
    /// A host, or a service in a registry: `https://api.example.com`, `discovery://infra.logging`.
    pub url: String,
}

/// What an upstream is called with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamAuth {
    /// How it is sent.
    #[serde(rename = "type", default)]
    pub kind: CredentialType,
    /// The header of an `api_key`. Default `x-api-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The name of the secret.
    pub secret: Name,
}

/// How a credential is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialType {
    /// `Authorization: Bearer …`
    #[default]
    Bearer,
    /// In a header of its own.
    ApiKey,
}

/// How much, and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct McpLimits {
    /// The largest request.
    #[serde(alias = "requestBytes", skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<NonZeroU32>,
    /// The largest answer of an API.
    #[serde(alias = "responseBytes", skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<NonZeroU32>,
    /// How long a tool may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// A tool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolOptions {
    /// Its name.
    pub name: ToolName,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, for the model that chooses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What a client may take it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Arg>,
    /// The JSON Schema of its arguments, in place of the one that `args` make.
    #[serde(alias = "inputSchema", skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Map<String, Value>>,
    /// The JSON Schema of its answer.
    #[serde(alias = "outputSchema", skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Map<String, Value>>,
    /// The one call it makes.
    #[serde(alias = "requestTemplate", skip_serializing_if = "Option::is_none")]
    pub request_template: Option<RequestTemplate>,
    /// The calls it makes, each as soon as those are done whose results it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What it answers.
    #[serde(alias = "responseTemplate", skip_serializing_if = "Option::is_none")]
    pub response_template: Option<ResponseTemplate>,
    /// What it says of an answer that is an error.
    #[serde(alias = "errorTemplate", skip_serializing_if = "Option::is_none")]
    pub error_template: Option<ErrorTemplate>,
    /// How long it may take as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// A call of a REST API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestTemplate {
    /// The URL: a template behind its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<WrittenUrl>,
    /// The same, shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Header fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body's media type.
    #[serde(alias = "contentType", skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How long an answer may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// A URL, as it is or under a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "a URL, or a URL under the key \"url\"")]
pub enum WrittenUrl {
    /// As it is.
    Plain(String),
    /// Under a key.
    Keyed(OwnUpstream),
}

/// `response_template`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseTemplate {
    /// A template over the answer's JSON.
    pub body: Template,
}

/// `error_template`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorTemplate {
    /// A template over `.status` and `.body`.
    pub body: Template,
}

/// One of several calls that a tool makes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: ArgName,
    /// Steps it waits for without naming their results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ArgName>,
    /// Whether it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Template>,
    /// The list for whose items it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<Template>,
    /// The call.
    #[serde(alias = "requestTemplate")]
    pub request_template: RequestTemplate,
    /// Whether the tool goes on if it fails.
    #[serde(default)]
    pub optional: bool,
}

/// Something that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its URI with variables.
    #[serde(alias = "uriTemplate", skip_serializing_if = "Option::is_none")]
    pub uri_template: Option<String>,
    /// A name for programs.
    pub name: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its media type.
    #[serde(alias = "mimeType", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// What it says, where that is always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What is asked for it otherwise.
    #[serde(alias = "requestTemplate", skip_serializing_if = "Option::is_none")]
    pub request_template: Option<RequestTemplate>,
    /// What completes its variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
}

/// `proxy`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// The server's name.
    pub name: Name,
    /// The servers behind it.
    pub upstreams: Vec<ProxyUpstream>,
    /// What they are called with, unless one has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<UpstreamAuth>,
    /// Patterns of the tools that pass. Default all.
    #[serde(alias = "allowTools", skip_serializing_if = "Option::is_none")]
    pub allow_tools: Option<Vec<ToolPattern>>,
    /// Patterns of the tools that do not pass.
    #[serde(default, alias = "denyTools", skip_serializing_if = "Vec::is_empty")]
    pub deny_tools: Vec<ToolPattern>,
    /// Request header fields that pass, beside those of the protocol.
    #[serde(default, alias = "forwardHeaders", skip_serializing_if = "Vec::is_empty")]
    pub forward_headers: Vec<String>,
    /// How much, and how long.
    #[serde(default)]
    pub limits: McpLimits,
}

/// `proxy.upstreams[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyUpstream {
    /// A host, or a service in a registry.
    pub url: String,
    /// The path of its endpoint. Default that of the URL, or `/mcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its name, with which its tools begin where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// What it is called with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<UpstreamAuth>,
    /// What it speaks.
    #[serde(default)]
    pub protocol: Transport,
    /// The revision it speaks, where requests of the other era are to be converted for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}
