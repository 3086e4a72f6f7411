//! What the `mcp` filter is told of a server, and the upstreams it needs.

use std::{num::NonZeroU32, time::Duration};

use weir_schema::Name;
use weir_schema::mcp::{self, Backend, Request, Template, Tool, Transport};
use weir_tool::{LoadError, PromptPlan, ResourcePlan, ToolPlan};

use super::options::{
    CredentialType, McpOptions, Orchestrator, Proxy, ProxyUpstream, RequestTemplate, Resource, Step,
    ToolOptions, UpstreamAuth, WrittenUrl,
};
use super::url::CallUrl;
use crate::model::{Span, Upstream};

/// An MCP server, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpPlan {
    /// The server's name.
    pub name: Name,
    /// The largest request.
    pub request_bytes: NonZeroU32,
    /// What answers.
    pub backend: Backend,
    /// What it calls, each once.
    pub upstreams: Vec<PlannedUpstream>,
}

/// Something that an MCP server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedUpstream {
    /// The name of its cluster.
    pub cluster: String,
    /// Where it is.
    pub upstream: Upstream,
    /// What it is called with.
    pub auth: Option<UpstreamAuth>,
    /// The field that names it.
    pub field: String,
    /// The field with the secret that it is called with.
    pub secret_field: String,
    /// Where its stream is, and its name, if it speaks HTTP with SSE: the control plane is its client.
    pub sse: Option<(String, Name)>,
}

impl McpOptions {
    /// Checks the options.
    pub(super) fn plan(&self) -> Result<McpPlan, LoadError> {
        if let Some(message) = self.message.as_ref().filter(|message| !message.ends_with(MESSAGE)) {
            return Err(LoadError::new(
                "@type",
                format!("is {message}, and not one that ends with {MESSAGE}"),
            ));
        }
        for (at, origin) in self.origins.iter().enumerate() {
            if origin != "*" && !origin.contains("://") {
                return Err(LoadError::new(
                    format!("origins[{at}]"),
                    "is no origin such as https://chat.example.com",
                ));
            }
        }
        match (&self.orchestrator, &self.proxy) {
            (Some(orchestrator), None) => {
                orchestrator.plan().map_err(|error| error.within("apiOrchestrator"))
            }
            (None, Some(proxy)) => proxy.plan().map_err(|error| error.within("proxy")),
            (Some(_), Some(_)) | (None, None) => {
                Err(LoadError::new("", "must have one of \"apiOrchestrator\" and \"proxy\""))
            }
        }
    }

    /// The server's name.
    pub(super) fn name(&self) -> Option<&str> {
        let orchestrator = self.orchestrator.as_ref().map(|of| of.server.name.as_str());
        orchestrator.or(self.proxy.as_ref().map(|of| of.name.as_str()))
    }

    /// The server's name for people.
    pub(crate) fn title(&self) -> Option<&str> {
        self.orchestrator.as_ref().and_then(|of| of.server.title.as_deref())
    }

    /// The key of what answers.
    pub(super) fn kind_field(&self) -> &'static str {
        if self.proxy.is_some() { "proxy" } else { "apiOrchestrator" }
    }
}

/// The upstreams that have been met so far.
struct Upstreams<'a> {
    server: &'a Name,
    auth: Option<&'a UpstreamAuth>,
    met: Vec<PlannedUpstream>,
}

impl Upstreams<'_> {
    /// The cluster of an upstream.
    fn cluster(&mut self, upstream: Upstream, origin: &str, field: &str) -> String {
        // A colon is in no name of a provider.
        let cluster = format!("mcp:{}/{origin}", self.server);
        if self.met.iter().all(|known| known.cluster != cluster) {
            self.met.push(PlannedUpstream {
                cluster: cluster.clone(),
                upstream,
                auth: self.auth.cloned(),
                field: field.into(),
                secret_field: "auth.secret".into(),
                sse: None,
            });
        }
        cluster
    }
}

impl Orchestrator {
    fn plan(&self) -> Result<McpPlan, LoadError> {
        let name =
            Name::try_from(self.server.name.clone()).map_err(|error| LoadError::new("server.name", error))?;
        let mut upstreams = Upstreams { server: &name, auth: self.auth.as_ref(), met: Vec::new() };
        check_auth(self.auth.as_ref())?;
        let base = self.upstream.as_ref().map(|upstream| upstream.url.as_str());
        if let Some(base) = base {
            CallUrl::parse(base, None).map_err(|error| error.within("upstream.url"))?;
        }
        if self.tools.len() > MAX_TOOLS {
            return Err(LoadError::new("tools", format!("a server has at most {MAX_TOOLS}")));
        }
        let mut tools: Vec<Tool> = Vec::with_capacity(self.tools.len());
        for (at, options) in self.tools.iter().enumerate() {
            // People look for the tool, and then for its field.
            let field = format!("tools.{}", options.name);
            if tools.iter().any(|other| other.name == options.name) {
                return Err(LoadError::new(format!("tools[{at}].name"), "another tool has this name"));
            }
            let tool = options.tool(&mut upstreams, base).map_err(|error| error.within(&field))?;
            ToolPlan::of(&tool).map_err(|error| renamed(error).within(&field))?;
            tools.push(tool);
        }
        let mut resources = Vec::with_capacity(self.resources.len());
        for (at, resource) in self.resources.iter().enumerate() {
            let resource = resource
                .resource(&mut upstreams, base)
                .and_then(|resource| ResourcePlan::of(resource.clone()).map(|_| resource).map_err(renamed));
            resources.push(resource.map_err(|error| error.within(&format!("resources[{at}]")))?);
        }
        for (at, prompt) in self.prompts.iter().enumerate() {
            PromptPlan::of(prompt.clone()).map_err(|error| error.within(&format!("prompts[{at}]")))?;
        }
        let met = upstreams.met;
        let orchestrator = mcp::Orchestrator {
            server: self.server.clone(),
            tools,
            resources,
            prompts: self.prompts.clone(),
            page_size: self.page_size.unwrap_or(DEFAULT_PAGE_SIZE),
            response_bytes: self.limits.response_bytes.unwrap_or(DEFAULT_RESPONSE_BYTES),
            timeout_ms: self.limits.timeout.map_or(DEFAULT_TIMEOUT_MS, millis),
        };
        let backend = Backend::Orchestrator(Box::new(orchestrator));
        Ok(McpPlan {
            name,
            request_bytes: self.limits.request_bytes.unwrap_or(DEFAULT_REQUEST_BYTES),
            backend,
            upstreams: met,
        })
    }
}

impl ToolOptions {
    fn tool(&self, upstreams: &mut Upstreams<'_>, base: Option<&str>) -> Result<Tool, LoadError> {
        let request = self.request_template.as_ref();
        let request = request.map(|request| request.request(upstreams, base)).transpose();
        let step = |(at, step): (usize, &Step)| {
            let request = step.request_template.request(upstreams, base);
            Ok(mcp::Step {
                name: step.name.clone(),
                after: step.after.clone(),
                when: step.when.clone(),
                each: step.each.clone(),
                request: request.map_err(|error| error.within(&format!("steps[{at}].request_template")))?,
                optional: step.optional,
            })
        };
        Ok(Tool {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            annotations: self.annotations,
            args: self.args.clone(),
            input_schema: self.input_schema.clone(),
            output_schema: self.output_schema.clone(),
            request: request.map_err(|error| error.within("request_template"))?,
            steps: self.steps.iter().enumerate().map(step).collect::<Result<_, LoadError>>()?,
            response: self.response_template.as_ref().map(|response| response.body.clone()),
            error: self.error_template.as_ref().map(|error| error.body.clone()),
            timeout_ms: self.timeout.map(millis),
        })
    }
}

impl RequestTemplate {
    fn request(&self, upstreams: &mut Upstreams<'_>, base: Option<&str>) -> Result<Request, LoadError> {
        let (url, field) = match (&self.upstream, &self.url) {
            (Some(WrittenUrl::Keyed(upstream)), None) => (&upstream.url, "upstream.url"),
            (Some(WrittenUrl::Plain(url)), None) => (url, "upstream"),
            (None, Some(url)) => (url, "url"),
            (Some(_), Some(_)) => {
                return Err(LoadError::new("url", "stands beside \"upstream\"; one is enough"));
            }
            (None, None) => return Err(LoadError::new("upstream", "is missing")),
        };
        let url = CallUrl::parse(url, base).map_err(|error| error.within(field))?;
        Ok(Request {
            cluster: upstreams.cluster(url.upstream, &url.origin, field),
            authority: url.authority,
            path: Template(url.path),
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            content_type: self.content_type.clone(),
            timeout_ms: self.timeout.map(millis),
        })
    }
}

impl Resource {
    fn resource(
        &self,
        upstreams: &mut Upstreams<'_>,
        base: Option<&str>,
    ) -> Result<mcp::Resource, LoadError> {
        let request = self.request_template.as_ref();
        let request = request.map(|request| request.request(upstreams, base)).transpose();
        Ok(mcp::Resource {
            uri: self.uri.clone(),
            uri_template: self.uri_template.clone(),
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            mime_type: self.mime_type.clone(),
            text: self.text.clone(),
            request: request.map_err(|error| error.within("request_template"))?,
            variables: self.variables.clone(),
        })
    }
}

impl Proxy {
    fn plan(&self) -> Result<McpPlan, LoadError> {
        check_auth(self.auth.as_ref())?;
        if self.upstreams.is_empty() || self.upstreams.len() > MAX_UPSTREAMS {
            let problem = format!("there must be one, and at most {MAX_UPSTREAMS}");
            return Err(LoadError::new("upstreams", problem));
        }
        let mut met = Vec::new();
        let mut proxied: Vec<mcp::McpUpstream> = Vec::new();
        for (at, upstream) in self.upstreams.iter().enumerate() {
            let field = |name: &str| format!("upstreams[{at}].{name}");
            let (planned, one) =
                upstream.plan(self).map_err(|error| error.within(&format!("upstreams[{at}]")))?;
            if proxied.iter().any(|other| other.name == one.name) {
                return Err(LoadError::new(field("name"), "another upstream has this name"));
            }
            let secret_field =
                if upstream.auth.is_some() { field("auth.secret") } else { "auth.secret".into() };
            met.push(PlannedUpstream { field: field("url"), secret_field, ..planned });
            proxied.push(one);
        }
        let proxy = mcp::Proxy {
            upstreams: proxied,
            allow_tools: self.allow_tools.clone(),
            deny_tools: self.deny_tools.clone(),
            forward_headers: self.forward_headers.clone(),
            response_bytes: self.limits.response_bytes.unwrap_or(DEFAULT_RESPONSE_BYTES),
            timeout_ms: self.limits.timeout.map_or(DEFAULT_TIMEOUT_MS, millis),
        };
        let backend = Backend::Proxy(Box::new(proxy));
        Ok(McpPlan {
            name: self.name.clone(),
            request_bytes: self.limits.request_bytes.unwrap_or(DEFAULT_REQUEST_BYTES),
            backend,
            upstreams: met,
        })
    }
}

impl ProxyUpstream {
    /// The server as the filter and the clusters have it.
    fn plan(&self, proxy: &Proxy) -> Result<(PlannedUpstream, mcp::McpUpstream), LoadError> {
        let is_several = proxy.upstreams.len() > 1;
        check_auth(self.auth.as_ref())?;
        let is_sse = self.protocol == Transport::Sse;
        let url = CallUrl::parse(&self.url, None).map_err(|error| error.within("url"))?;
        if is_sse && url.upstream.service().is_some() {
            return Err(LoadError::new("url", "a server that speaks sse is at a host, not a service"));
        }
        let path = match (&self.path, url.path.as_str()) {
            (Some(path), _) => path.clone(),
            (None, "/") if is_sse => DEFAULT_STREAM.into(),
            (None, "/") => DEFAULT_ENDPOINT.into(),
            (None, path) => path.into(),
        };
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(LoadError::new("path", "is no path"));
        }
        let name = match &self.name {
            Some(name) => name.clone(),
            None if is_several => {
                return Err(LoadError::new("name", "is missing: the tools of several begin with it"));
            }
            None => proxy.name.clone(),
        };
        // Several have a cluster each, as each may have a credential of its own.
        let cluster = match is_several {
            true => format!("mcp:{}/{name}", proxy.name),
            false => format!("mcp:{}/{}", proxy.name, url.origin),
        };
        let one = mcp::McpUpstream {
            name,
            route: cluster.clone(),
            cluster: cluster.clone(),
            authority: url.upstream.authority(),
            path,
            protocol: self.protocol,
            revision: self.revision,
        };
        if is_several && one.revision.is_some() {
            return Err(LoadError::new("revision", "is for a server that is alone behind its endpoint"));
        }
        if is_several && !one.can_be_prefix() {
            let problem = "must be at most 32 lower-case letters, digits and '-' that begin with a letter";
            return Err(LoadError::new("name", problem));
        }
        let auth = self.auth.as_ref().or(proxy.auth.as_ref()).cloned();
        let (field, secret_field) = (String::new(), String::new());
        let sse = is_sse.then(|| (format!("{}{}", url.origin, one.path), one.name.clone()));
        let planned = PlannedUpstream { cluster, upstream: url.upstream, auth, field, secret_field, sse };
        Ok((planned, one))
    }
}

/// The fields of a tool as the file has them.
fn renamed(error: LoadError) -> LoadError {
    let named = [
        ("request", "request_template"),
        ("response", "response_template.body"),
        ("error", "error_template.body"),
    ];
    let field = named.into_iter().find_map(|(ours, theirs)| {
        let rest = error.field.strip_prefix(ours).filter(|rest| rest.is_empty() || rest.starts_with('.'))?;
        Some(format!("{theirs}{rest}"))
    });
    let field = field.unwrap_or_else(|| error.field.clone());
    LoadError { field: field.replace(".request.path", ".request_template.upstream.url"), ..error }
}

fn check_auth(auth: Option<&UpstreamAuth>) -> Result<(), LoadError> {
    let Some(UpstreamAuth { kind, header, .. }) = auth else { return Ok(()) };
    match (kind, header) {
        (CredentialType::Bearer, Some(_)) => {
            Err(LoadError::new("auth.header", "a bearer credential is in Authorization"))
        }
        (CredentialType::ApiKey, Some(name)) if http::HeaderName::from_bytes(name.as_bytes()).is_err() => {
            Err(LoadError::new("auth.header", "is no name of a header"))
        }
        (CredentialType::Bearer | CredentialType::ApiKey, _) => Ok(()),
    }
}

fn millis(span: Span) -> NonZeroU32 {
    let millis = u32::try_from(span.duration().min(MAX_TIMEOUT).as_millis()).unwrap_or(u32::MAX);
    NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN)
}

const MESSAGE: &str = "MCPServerConfig";
const DEFAULT_ENDPOINT: &str = "/mcp";
const DEFAULT_STREAM: &str = "/sse";
const MAX_TOOLS: usize = 1000;
const MAX_UPSTREAMS: usize = 16;
/// The longest time a tool may take.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
const DEFAULT_RESPONSE_BYTES: NonZeroU32 = NonZeroU32::MIN.saturating_add(1024 * 1024 - 1);
const DEFAULT_PAGE_SIZE: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
const DEFAULT_TIMEOUT_MS: NonZeroU32 = NonZeroU32::MIN.saturating_add(29_999);
const DEFAULT_REQUEST_BYTES: NonZeroU32 = NonZeroU32::MIN.saturating_add(64 * 1024 - 1);
