//! Paths that are more than a model's API, as the file has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_schema::Name;
use weir_schema::chat_template::ChatTemplate;
use weir_schema::mcp::Mount;

use super::TemplateUse;
use crate::model::{self, McpOptions, Span};

/// `routes[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where it is called: a path, or with `/*` at its end a path and what is below it.
    pub path: Mount,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: RouteProtocol,
    /// How long an answer may take as a whole. Default as long as what answers may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The tenant it is for. Default every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    /// What answers: one.
    pub middlewares: Vec<Middleware>,
}

/// What is spoken at a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RouteProtocol {
    /// HTTP.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
}

/// `routes[].middlewares[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "name", content = "options", deny_unknown_fields)]
pub enum Middleware {
    /// Variables in, a chat completion out.
    #[serde(rename = "v1_chat_template")]
    ChatTemplate(Box<ChatTemplate>),
    /// An MCP server.
    #[serde(rename = "v1_mcp_server")]
    McpServer(Box<McpOptions>),
    /// The marketplace of MCP servers.
    #[serde(rename = "v1_mcp_registry")]
    McpRegistry(McpRegistry),
    /// The same, by a template that is kept under a name.
    #[serde(rename = "v1_stored_chat_template")]
    StoredChatTemplate(TemplateUse),
}

/// `v1_mcp_registry`: the MCP registry API, for callers of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpRegistry {
    /// Where clients reach the gateway, such as `https://mcp.example.com`. Default the first host of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Route {
    /// What tells the route apart from every other: its path, and its domain if it has one.
    pub fn label(&self) -> String {
        model::route_label(&self.path, self.domain.as_ref())
    }

    pub(super) fn into_model(self) -> model::Route {
        let Self { path, protocol: RouteProtocol::Http, timeout, domain, middlewares } = self;
        let answers = middlewares.into_iter().map(|middleware| match middleware {
            Middleware::ChatTemplate(options) => model::RouteAnswer::ChatTemplate(options),
            Middleware::McpServer(options) => model::RouteAnswer::McpServer(options),
            Middleware::McpRegistry(McpRegistry { url }) => model::RouteAnswer::McpRegistry(url),
            Middleware::StoredChatTemplate(used) => model::RouteAnswer::StoredChatTemplate(used.into_model()),
        });
        model::Route { path, domain, timeout: timeout.map(Span::duration), answers: answers.collect() }
    }
}
