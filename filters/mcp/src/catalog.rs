//! The MCP servers of a configuration, as tenants and callers see them.

use std::rc::Rc;

use weir_core::{ConfigError, Cx, UnixTime};
use weir_schema::Name;
use weir_schema::mcp::{
    Backend, Config, Grant, McpUpstream, Mount, Place, Proxy, Server, ToolPattern, Transport,
};
use weir_schema::oauth::Scope;
use weir_schema::state::{self, Token};
use weir_tool::LoadError;
use weir_wire::jsonrpc::{Asked, asked};

use crate::orchestrator::Orchestrator;

/// All servers.
#[derive(Debug)]
pub(crate) struct Catalog(Vec<Rc<Served>>);

/// A server, as a caller sees it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) name: Name,
    domain: Option<Name>,
    path: Mount,
    origins: Vec<String>,
    pub(crate) request_bytes: u64,
    grants: Option<Vec<Grant>>,
    /// Grants that the caller's token lacks a scope for.
    attainable: Vec<Grant>,
    token: Option<Token>,
    /// Whether a hub holds its streams.
    pub(crate) hub: bool,
    pub(crate) behind: Rc<Behind>,
}

/// What answers for a server.
#[derive(Debug)]
pub(crate) enum Behind {
    Orchestrator(Box<Orchestrator>),
    Proxy(Box<Proxy>),
}

impl Catalog {
    pub(crate) fn of(config: Config) -> Result<Self, ConfigError> {
        let mut servers: Vec<Rc<Served>> = Vec::new();
        for (at, server) in config.servers.into_iter().enumerate() {
            let clash = servers.iter().any(|other| {
                let apart =
                    other.domain.is_some() && server.domain.is_some() && other.domain != server.domain;
                !apart && other.path.overlaps(&server.path)
            });
            if clash {
                let field = format!("servers[{at}].path");
                return Err(ConfigError { field, problem: "another server has this path" });
            }
            let served =
                Served::of(server, config.hub).map_err(|LoadError { field, problem }| ConfigError {
                    field: format!("servers[{at}].backend.{field}: {problem}"),
                    problem: "the server is refused",
                })?;
            servers.push(Rc::new(served));
        }
        Ok(Self(servers))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The servers at a path, whose query is cut off, with what stands there: one for each tenant at most.
    pub(crate) fn at<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a Rc<Served>, Place)> {
        self.0.iter().filter_map(move |server| Some((server, server.path.find(path)?)))
    }
}

impl Served {
    fn of(server: Server, hub: bool) -> Result<Self, LoadError> {
        let Server { name, domain, path, origins, request_bytes, grants, backend } = server;
        let behind = match backend {
            Backend::Orchestrator(orchestrator) => {
                let orchestrator = Orchestrator::of(*orchestrator).map_err(|e| e.within("orchestrator"))?;
                Behind::Orchestrator(Box::new(orchestrator))
            }
            Backend::Proxy(proxy) => {
                check(&proxy.upstreams)?;
                Behind::Proxy(proxy)
            }
        };
        let (request_bytes, behind) = (request_bytes.get().into(), Rc::new(behind));
        let attainable = Vec::new();
        Ok(Self { name, domain, path, origins, request_bytes, grants, attainable, token: None, hub, behind })
    }

    /// The server as the caller of a request sees it: with the grants that its token, if it has one, has the scopes for.
    pub(crate) fn seen_by(self: &Rc<Self>, cx: &Cx<'_>) -> Rc<Self> {
        let is_scoped = |grant: &Grant| !grant.scopes.is_empty();
        let Some(grants) = self.grants.as_ref().filter(|grants| grants.iter().any(is_scoped)) else {
            return Rc::clone(self);
        };
        let token = cx.state(state::TOKEN).and_then(Token::parse);
        let has = |scope: &Scope| token.as_ref().is_some_and(|token| token.has(scope.as_str()));
        let (own, others): (Vec<_>, Vec<_>) =
            grants.iter().cloned().partition(|grant| grant.scopes.iter().all(has));
        let attainable = if token.is_some() { others } else { Vec::new() };
        Rc::new(Self { grants: Some(own), attainable, token, ..self.as_ref().clone() })
    }

    /// Whether it is there for a tenant.
    pub(crate) fn is_for(&self, domain: &str) -> bool {
        self.domain.as_ref().is_none_or(|own| own.as_str() == domain)
    }

    /// Whether a page of this origin may call it.
    pub(crate) fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin)
    }

    /// Whether a caller may use a tool.
    pub(crate) fn grants(&self, consumer: Option<&str>, tool: &str) -> bool {
        self.grants.as_ref().is_none_or(|grants| grants.iter().any(|grant| covers(grant, consumer, tool)))
    }

    /// Whether a caller may use a tool, or may with a token of more scopes.
    pub(crate) fn shows(&self, consumer: Option<&str>, tool: &str) -> bool {
        self.grants(consumer, tool) || self.attainable.iter().any(|grant| covers(grant, consumer, tool))
    }

    /// Says which tool is called, if one is, for metrics: by a name that the configuration has, so that callers cannot
    /// make up series. Gives the time it began at.
    pub(crate) fn note_call(&self, cx: &mut Cx<'_>) -> Option<UnixTime> {
        let tools = String::from_utf8(cx.state(state::MCP_TOOL)?).ok()?;
        let tool = tools.lines().next().unwrap_or_default();
        cx.publish(state::MCP_KNOWN_TOOL, if self.names(tool) { tool } else { nameless(tool) });
        cx.publish(state::MCP_OUTCOME, UNFINISHED);
        Some(cx.now())
    }

    /// Whether the configuration names a tool.
    fn names(&self, tool: &str) -> bool {
        let is_named = |patterns: &[ToolPattern]| patterns.iter().any(|pattern| pattern.as_str() == tool);
        match self.behind.as_ref() {
            Behind::Orchestrator(orchestrator) => orchestrator.has_tool(tool),
            Behind::Proxy(proxy) => {
                let granted = self.grants.iter().flatten().chain(&self.attainable);
                is_named(proxy.allow_tools.as_deref().unwrap_or_default())
                    || is_named(&proxy.deny_tools)
                    || granted.into_iter().any(|grant| is_named(&grant.tools))
            }
        }
    }

    /// What a caller is told whose token lacks the scopes of a tool that a body calls.
    pub(crate) fn challenge(&self, consumer: Option<&str>, body: &[u8]) -> Option<String> {
        let token = self.token.as_ref().filter(|_| !self.attainable.is_empty())?;
        asked(body).into_iter().find_map(|asked| match asked {
            Asked::Tool(tool) if !self.grants(consumer, &tool) => {
                let grant = self.attainable.iter().find(|grant| covers(grant, consumer, &tool))?;
                Some(token.challenge(grant.scopes.iter().map(Scope::as_str)))
            }
            Asked::Tool(_) | Asked::Resource => None,
        })
    }

    /// Whether some tools are not for everyone.
    pub(crate) fn has_grants(&self) -> bool {
        self.grants.is_some()
    }

    /// Whether several servers stand behind it.
    pub(crate) fn is_several(&self) -> bool {
        self.proxy().is_some_and(|proxy| proxy.upstreams.len() > 1)
    }

    /// The server behind it, if there is one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match self.behind.as_ref() {
            Behind::Proxy(proxy) => Some(proxy),
            Behind::Orchestrator(_) => None,
        }
    }
}

/// Each server behind this one is of a kind that is served; several have names that tell them apart.
fn check(upstreams: &[McpUpstream]) -> Result<(), LoadError> {
    if upstreams.is_empty() || upstreams.iter().any(|upstream| upstream.protocol != Transport::Streamable) {
        return Err(LoadError::new("proxy.upstreams", "must have one, and all must speak streamable"));
    }
    for (at, upstream) in upstreams.iter().enumerate().filter(|_| upstreams.len() > 1) {
        let is_taken = upstreams.iter().take(at).any(|other| other.name == upstream.name);
        if is_taken || !upstream.can_be_prefix() {
            let field = format!("proxy.upstreams[{at}].name");
            return Err(LoadError::new(field, "is another's, or no prefix of names"));
        }
    }
    Ok(())
}

/// What metrics call a tool that the configuration does not name, and the reading of a resource.
fn nameless(tool: &str) -> &'static str {
    if tool.is_empty() { "_resource" } else { "_unknown" }
}

/// Whether a grant is for a caller and a tool.
fn covers(grant: &Grant, consumer: Option<&str>, tool: &str) -> bool {
    let is_among = match &grant.consumers {
        None => true,
        Some(names) => consumer.is_some_and(|name| names.iter().any(|known| known.as_str() == name)),
    };
    is_among && grant.tools.iter().any(|tools| tools.matches(tool))
}

/// How a call has ended of which nothing more is heard.
const UNFINISHED: &str = "unfinished";
