//! The MCP servers of the configuration, as a marketplace offers them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use weir_schema::{
    HostPattern, Name,
    mcp::{Backend, ToolPattern},
};

use super::document::is_version;
use crate::model::{self, Domain, McpOptions, McpPlan, Model, Parts, Route};

/// What a configuration offers, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    offers: Vec<Offer>,
    domains: Vec<Place>,
    /// Where callers of no domain reach the gateway.
    base: String,
    /// Where those of a domain do, or all, as a route of the marketplace says it.
    said: Vec<(Option<Name>, String)>,
    consumers: BTreeMap<Name, Name>,
    keys: BTreeMap<Name, Name>,
}

/// An MCP server of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    /// The label of its route.
    route: String,
    domain: Option<Name>,
    name: Name,
    path: String,
    /// Whether clients of the old transport can call it.
    sse: bool,
    title: Option<String>,
    description: String,
    version: String,
    /// What is known of its tools; nothing of those of a server behind the gateway.
    tools: Option<Vec<String>>,
    grants: Option<Vec<Granted>>,
}

/// Tools, and who may use them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Granted {
    tools: Vec<ToolPattern>,
    /// `None`: everyone.
    consumers: Option<BTreeSet<Name>>,
}

/// Where the callers of a domain reach the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    domain: Name,
    base: Option<String>,
    /// The namespaces that are the domain's own.
    namespaces: Vec<String>,
}

/// Who looks at a marketplace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Somebody who sees all of it.
    Everything,
    /// A tenant.
    Domain(Name),
    /// Somebody who calls through the gateway.
    Consumer {
        /// The tenant.
        domain: Name,
        /// Who.
        consumer: Name,
    },
}

impl Viewer {
    /// Whether what is of this domain, or of none, may be shown.
    pub(crate) fn sees(&self, of: Option<&Name>) -> bool {
        match (self, of) {
            (Self::Everything, _) | (_, None) => true,
            (Self::Domain(domain) | Self::Consumer { domain, .. }, Some(of)) => domain == of,
        }
    }

    fn domain(&self) -> Option<&Name> {
        match self {
            Self::Everything => None,
            Self::Domain(domain) | Self::Consumer { domain, .. } => Some(domain),
        }
    }
}

impl Catalog {
    /// What a model offers.
    pub fn of(model: &Model) -> Self {
        let parts = model.parts();
        let consumers = parts.consumers.iter().map(|consumer| {
            let domain = consumer.domain.clone().unwrap_or_else(Name::default_domain);
            (consumer.name.clone(), domain)
        });
        let keys = parts.keys_with_domains().map(|(key, domain)| {
            let consumer = key.consumer.clone().unwrap_or_else(|| key.id.clone());
            (key.id.clone(), (consumer, domain))
        });
        let keys: Vec<_> = keys.collect();
        let of_keys = keys.iter().map(|(_, of)| of.clone());
        Self {
            offers: parts.mcp_servers().map(|server| Offer::of(parts, server)).collect(),
            domains: parts.domains.iter().map(|domain| Place::of(domain, parts)).collect(),
            base: format!("http://localhost:{}", gateways(parts).first().map_or(0, |gateway| gateway.port)),
            said: said(parts),
            consumers: consumers.chain(of_keys).collect(),
            keys: keys.into_iter().map(|(key, (consumer, _))| (key, consumer)).collect(),
        }
    }

    /// Whoever calls with a key on a domain.
    pub fn caller(&self, domain: &str, key: &str) -> Option<Viewer> {
        let (_, consumer) = self.keys.iter().find(|(id, _)| id.as_str() == key)?;
        let domain = Name::try_from(domain.to_owned()).ok()?;
        Some(Viewer::Consumer { domain, consumer: consumer.clone() })
    }

    /// Whether a tenant may publish under this namespace: it is the tenant's host in reverse, or below that. Where there
    /// are no domains, there is one tenant.
    pub fn owns(&self, domain: &Name, namespace: &str) -> bool {
        let own = |own: &String| {
            namespace.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.domains.is_empty()
            || self.domains.iter().any(|place| place.domain == *domain && place.namespaces.iter().any(own))
    }

    /// Whether the configuration has a server of this name, for whomever.
    pub fn has(&self, name: &str) -> bool {
        let places = self.domains.iter().filter_map(|place| place.base.as_deref());
        let said = self.said.iter().map(|(_, base)| base.as_str());
        let mut bases = places.chain(said).chain([self.base.as_str()]);
        bases.any(|base| self.offers.iter().any(|offer| offer.listed_name(&namespace(base)) == name))
    }

    /// The documents of what somebody may use, each with the label of its route.
    pub(crate) fn documents(&self, viewer: &Viewer) -> Vec<(&str, Map<String, Value>)> {
        let visible = self.offers.iter().filter(|offer| viewer.sees(offer.domain.as_ref()));
        let offered = visible.filter_map(|offer| {
            let tools = offer.tools_for(viewer, &self.consumers)?;
            Some((offer.route.as_str(), offer.document(&self.base(offer, viewer), tools)))
        });
        offered.collect()
    }

    /// Where somebody calls a server.
    fn base(&self, offer: &Offer, viewer: &Viewer) -> String {
        let domain = offer.domain.as_ref().or(viewer.domain());
        let is_theirs = |of: &&(Option<Name>, String)| of.0.is_none() || of.0.as_ref() == domain;
        if let Some((_, base)) = self.said.iter().find(is_theirs) {
            return base.clone();
        }
        let mut places =
            self.domains.iter().filter(|place| domain.is_none_or(|domain| place.domain == *domain));
        let base = places.find_map(|place| place.base.clone());
        base.unwrap_or_else(|| self.base.clone())
    }
}

impl Offer {
    fn of(parts: &Parts, (route, options, plan): (&Route, &McpOptions, McpPlan)) -> Self {
        let grant =
            |grant: &model::Grant| Granted { tools: grant.tools.clone(), consumers: parts.granted(grant) };
        let (info, tools) = match &plan.backend {
            Backend::Orchestrator(served) => {
                let tools = served.tools.iter().map(|tool| tool.name.to_string());
                (Some(&served.server), Some(tools.collect()))
            }
            Backend::Proxy(_) => (None, None),
        };
        let title = info.and_then(|info| info.title.clone());
        let description = info.and_then(|info| info.description.clone()).or_else(|| title.clone());
        let version = info.map(|info| info.version.clone()).filter(|version| is_version(version));
        Self {
            route: route.label(),
            domain: route.domain.clone(),
            path: route.path.base().to_owned(),
            sse: route.path.as_str() != route.path.base(),
            title: title.map(|title| short(&title)),
            description: short(&description.unwrap_or_else(|| format!("The MCP server {}", plan.name))),
            version: version.unwrap_or_else(|| FIRST.into()),
            tools,
            grants: options.grants.as_ref().map(|grants| grants.iter().map(grant).collect()),
            name: plan.name,
        }
    }

    /// The tools that somebody may use, as far as they are known; `None` if there is nothing to use.
    fn tools_for(&self, viewer: &Viewer, consumers: &BTreeMap<Name, Name>) -> Option<Option<Vec<&str>>> {
        let is_theirs = |granted: &&Granted| match (&granted.consumers, viewer) {
            (None, _) | (_, Viewer::Everything) => true,
            (Some(named), Viewer::Domain(domain)) => {
                named.iter().any(|name| consumers.get(name) == Some(domain))
            }
            (Some(named), Viewer::Consumer { consumer, .. }) => named.contains(consumer),
        };
        let known = self.tools.iter().flatten().map(String::as_str);
        let Some(grants) = self.grants.as_ref().filter(|_| *viewer != Viewer::Everything) else {
            return Some(self.tools.is_some().then(|| known.collect()));
        };
        let theirs: Vec<_> = grants.iter().filter(is_theirs).flat_map(|granted| &granted.tools).collect();
        let usable = known.filter(|tool| theirs.iter().any(|pattern| pattern.matches(tool)));
        (!theirs.is_empty()).then(|| self.tools.is_some().then(|| usable.collect()))
    }

    fn listed_name(&self, namespace: &str) -> String {
        // A slash of its own would be the second one.
        format!("{namespace}/{}", self.name.as_str().replace('/', "_"))
    }

    fn document(&self, base: &str, tools: Option<Vec<&str>>) -> Map<String, Value> {
        let namespace = namespace(base);
        let remote = |kind: &str, url: String| json!({"type": kind, "url": url, "headers": [key_header()]});
        let url = format!("{base}{}", self.path);
        let mut remotes = vec![remote("streamable-http", url.clone())];
        if self.sse {
            remotes.push(remote("sse", format!("{url}/sse")));
        }
        let name = self.listed_name(&namespace);
        let title = self.title.as_ref().map(|title| ("title".to_owned(), title.as_str().into()));
        let head = [("$schema", SCHEMA), ("name", &name), ("description", &self.description)];
        let mut fields: Map<String, Value> =
            head.into_iter().map(|(field, text)| (field.to_owned(), text.into())).collect();
        fields.extend(title);
        fields.insert("version".into(), self.version.as_str().into());
        fields.insert("remotes".into(), remotes.into());
        if let Some(tools) = tools {
            fields.insert("_meta".into(), json!({format!("{namespace}/gateway"): {"tools": tools}}));
        }
        fields
    }
}

impl Place {
    fn of(domain: &Domain, parts: &Parts) -> Self {
        let gateways = gateways(parts);
        let serves = |of: &&model::Gateway| of.domains.is_empty() || of.domains.contains(&domain.name);
        let port = gateways.iter().copied().find(serves).map_or(0, |gateway| gateway.port);
        let (scheme, usual) = if domain.tls.is_some() { ("https", 443) } else { ("http", 80) };
        let port = if port == usual { String::new() } else { format!(":{port}") };
        let host = domain.hosts.iter().find_map(|host| match host {
            HostPattern::One(host) => Some(host.as_str()),
            HostPattern::Any | HostPattern::Below(_) => None,
        });
        let own = domain.hosts.iter().filter_map(|host| match host {
            HostPattern::One(host) | HostPattern::Below(host) => Some(reverse(host.as_str())),
            HostPattern::Any => None,
        });
        Self {
            domain: domain.name.clone(),
            base: host.map(|host| format!("{scheme}://{host}{port}")),
            namespaces: own.collect(),
        }
    }
}

/// What routes of the marketplace say; those of a domain before those of all.
fn said(parts: &Parts) -> Vec<(Option<Name>, String)> {
    let said = parts
        .routes
        .iter()
        .filter_map(|route| Some((route.domain.clone(), route.mcp_registry()??.to_owned())));
    let mut said: Vec<_> = said.collect();
    said.sort_by_key(|(domain, _)| domain.is_none());
    said
}

fn gateways(parts: &Parts) -> Vec<&model::Gateway> {
    if parts.gateways.is_empty() { vec![&parts.gateway] } else { parts.gateways.iter().collect() }
}

/// The host of a URL in reverse: `com.example.mcp`.
fn namespace(base: &str) -> String {
    let host = base.split_once("://").map_or(base, |(_, rest)| rest);
    reverse(host.split([':', '/']).next().unwrap_or_default())
}

/// A host in reverse, of characters that a namespace may have.
fn reverse(host: &str) -> String {
    let labels: Vec<_> = host.split('.').rev().collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' };
    labels.join(".").chars().map(plain).collect()
}

/// At most a hundred characters, on one line.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    let cut: String = line.chars().take(LONGEST.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// What a client fills in: its key of the gateway.
fn key_header() -> Value {
    let key = json!({"description": "A key of the gateway", "isRequired": true, "isSecret": true});
    json!({"name": "Authorization", "value": "Bearer {api_key}", "isRequired": true, "isSecret": true,
        "variables": {"api_key": key}})
}

const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
const FIRST: &str = "1.0.0";
const LONGEST: usize = 100;
