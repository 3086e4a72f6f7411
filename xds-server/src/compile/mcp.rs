//! MCP servers: the configuration of their filter, the clusters of what they call, and the routes to servers behind them.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, time::Duration};

use serde_json::{Value, json};
use weir_schema::{
    Name,
    mcp::{
        Backend, Config, Grant, HUB_ROUTE, Mount, Orchestrator, Proxy, Revision, Server, SessionKeys,
        SessionSource, Transport,
    },
    router::{Identity, McpEndpoint, Relayed},
    state,
};

use super::{
    cluster::{self, BEARER, Way},
    seconds, typed, with,
};
use crate::{
    bootstrap,
    hub::{self, Address, DOMAIN_HEADER, GATEWAY_HEADER, KEY_HEADER, List, Servers, SseServer},
    model::{self, CircuitBreakers, CredentialType, Gateway, McpPlan, Parts, PlannedUpstream, UpstreamAuth},
    secret::Secret,
    session_keys,
    snapshot::{Kind, Snapshot, Version},
};

/// What the filter is told; nothing if there is no server.
pub(super) fn config(parts: &Parts) -> Option<Config> {
    let server = |(route, options, plan): (&model::Route, &model::McpOptions, _)| {
        let McpPlan { name, request_bytes, backend, .. } = plan;
        let grants = options.grants.as_ref().map(|grants| {
            let grant = |grant: &model::Grant| Grant {
                tools: grant.tools.clone(),
                consumers: parts.granted(grant),
                scopes: grant.scopes.clone(),
            };
            grants.iter().map(grant).collect()
        });
        Server {
            name,
            domain: route.domain.clone(),
            path: route.path.clone(),
            origins: options.origins.clone(),
            request_bytes,
            grants,
            backend,
        }
    };
    let servers: Vec<_> = adapted(parts).map(server).collect();
    let is_proxy = |server: &Server| matches!(server.backend, Backend::Proxy(_));
    let sessions = servers.iter().any(is_proxy).then(|| SessionSource {
        cluster: bootstrap::CLUSTER.into(),
        path: format!("{}/{}", session_keys::PATH, parts.gateway.name),
        epoch: session_keys(parts).keys.into_iter().map(|key| key.id).collect(),
    });
    (!servers.is_empty()).then_some(Config { servers, identity: Identity::Required, hub: true, sessions })
}

/// The servers as Envoy sees them: what speaks HTTP with SSE only, the control plane offers as Streamable HTTP.
fn adapted(parts: &Parts) -> impl Iterator<Item = (&model::Route, &model::McpOptions, McpPlan)> {
    parts.mcp_servers().map(|(route, options, mut plan)| {
        if let Backend::Proxy(proxy) = &mut plan.backend {
            let is_alone = proxy.upstreams.len() == 1;
            for upstream in proxy.upstreams.iter_mut().filter(|upstream| upstream.protocol == Transport::Sse)
            {
                let (gateway, name) = (&parts.gateway.name, &upstream.name);
                upstream.path = format!("{}/{gateway}/{}/{name}", hub::SSE_PREFIX, plan.name);
                upstream.cluster = bootstrap::CLUSTER.into();
                upstream.authority = Some(bootstrap::CLUSTER.into());
                upstream.protocol = Transport::Streamable;
                // Such a server begins sessions, whatever its client speaks.
                upstream.revision = upstream.revision.or(is_alone.then_some(Revision::V2025_06_18));
            }
        }
        (route, options, plan)
    })
}

/// What sessions are sealed with, if the configuration says it.
pub(super) fn session_keys(parts: &Parts) -> SessionKeys {
    let secrets = parts.gateway.mcp_sessions.iter().filter_map(|name| parts.secrets.get(name));
    let gateway = parts.gateway.name.as_str();
    SessionKeys { keys: secrets.map(|secret| session_keys::derive(secret, gateway)).collect() }
}

/// The paths of servers that clients of 2024-11-05 can call, whose messages come back from the hub.
pub(super) fn relayed(parts: &Parts) -> Vec<Mount> {
    parts.mcp_servers().map(|(route, _, _)| route.path.clone()).collect()
}

/// What the hub is told.
pub(super) fn servers(parts: &Parts) -> Servers {
    let Gateway { ref name, address, port, .. } = parts.gateway;
    let tls = parts.domains.iter().any(|domain| domain.tls.is_some());
    let mut servers = Servers {
        name: name.to_string(),
        gateway: Address::listening(SocketAddr::new(address, port), tls),
        ..Servers::default()
    };
    for (route, options, plan) in parts.mcp_servers() {
        let domain = route.domain.as_ref().map_or("", Name::as_str);
        let lists = match &plan.backend {
            Backend::Orchestrator(served) => lists(served, options),
            // What a server behind this one offers is its own to tell.
            Backend::Proxy(_) => BTreeMap::new(),
        };
        servers.lists.insert(format!("{domain}{}", route.path.base()), lists);
        for PlannedUpstream { auth, sse, .. } in &plan.upstreams {
            if let Some((url, name)) = sse {
                let credential = auth.as_ref().and_then(|auth| credential(parts, auth));
                let served = SseServer { url: url.clone(), credential };
                servers.sse.insert(format!("{}/{name}", plan.name), served);
            }
        }
    }
    servers
}

/// What the control plane itself calls a server with.
fn credential(parts: &Parts, auth: &UpstreamAuth) -> Option<(String, &'static str, Secret)> {
    let UpstreamAuth { kind, header, secret } = auth;
    let secret = parts.secrets.get(secret)?.clone();
    Some(match kind {
        CredentialType::Bearer => (BEARER.0.to_owned(), BEARER.1, secret),
        CredentialType::ApiKey => (header.clone().unwrap_or_else(|| API_KEY.into()), "", secret),
    })
}

/// The lists of a server, as hashes; who may use what is a part of them.
fn lists(served: &Orchestrator, options: &model::McpOptions) -> BTreeMap<List, Version> {
    let hashed = |parts: &[serde_json::Result<Vec<u8>>]| {
        Version::of(parts.iter().map(|part| part.as_deref().unwrap_or_default()))
    };
    let grants = || serde_json::to_vec(&options.grants);
    BTreeMap::from([
        (List::Tools, hashed(&[serde_json::to_vec(&served.tools), grants()])),
        (List::Resources, hashed(&[serde_json::to_vec(&served.resources)])),
        (List::Prompts, hashed(&[serde_json::to_vec(&served.prompts)])),
    ])
}

/// The endpoints, for the `router` filter to let pass.
pub(super) fn endpoints(parts: &Parts) -> Vec<McpEndpoint> {
    let endpoint = |(route, _, plan): (&model::Route, _, McpPlan)| McpEndpoint {
        server: plan.name,
        domain: route.domain.clone(),
        path: route.path.clone(),
        request_bytes: plan.request_bytes,
        relayed: match plan.backend {
            Backend::Orchestrator(_) => Relayed::Streams,
            Backend::Proxy(_) => Relayed::Sse,
        },
    };
    parts.mcp_servers().map(endpoint).chain(markets(parts)).collect()
}

/// The marketplace, which the hub answers for.
fn markets(parts: &Parts) -> impl Iterator<Item = McpEndpoint> {
    let markets = parts.routes.iter().filter(|route| route.mcp_registry().is_some());
    markets.filter_map(|route| {
        Some(McpEndpoint {
            server: Name::try_from(MARKET.to_owned()).ok()?,
            domain: route.domain.clone(),
            path: route.path.clone(),
            request_bytes: NonZeroU32::MIN,
            relayed: Relayed::All,
        })
    })
}

/// Adds what the servers call.
pub(super) fn upstreams(parts: &Parts, snapshot: &mut Snapshot) {
    let plans = parts.mcp_servers().flat_map(|(_, _, plan)| plan.upstreams);
    for upstream in plans.filter(|upstream| upstream.sse.is_none()) {
        let PlannedUpstream { cluster, upstream, auth, .. } = &upstream;
        let filters = auth.iter().map(|UpstreamAuth { kind, header, secret }| match kind {
            CredentialType::Bearer => cluster::credential(secret, BEARER),
            CredentialType::ApiKey => cluster::credential(secret, (header.as_deref().unwrap_or(API_KEY), "")),
        });
        let body = cluster::of(Way {
            name: cluster,
            endpoints: cluster,
            metadata: json!({"provider": cluster}),
            upstream,
            connect_timeout: CONNECT,
            outlier_detection: None,
            circuit_breakers: CircuitBreakers::default(),
            http2: false,
            ca: None,
            filters: filters.collect(),
        });
        snapshot.insert(Kind::Clusters, cluster, body);
        if let Some(endpoints) = cluster::endpoints_of(cluster, upstream) {
            snapshot.insert(Kind::Endpoints, cluster, endpoints);
        }
        let secret = auth.as_ref().and_then(|auth| parts.secrets.get_key_value(&auth.secret));
        if let Some((name, secret)) = secret {
            snapshot.insert_secret(name.as_str(), secret.clone());
        }
    }
}

/// The routes to servers behind this one, by what stands in the route header. Their streams may be silent for long.
pub(super) fn routes(parts: &Parts) -> Vec<(String, Value)> {
    let mut routes = Vec::new();
    for (route, _, plan) in adapted(parts) {
        let Backend::Proxy(proxy) = plan.backend else { continue };
        let Proxy { upstreams, .. } = *proxy;
        for upstream in upstreams {
            let host = upstream.authority.map_or_else(
                || json!({"auto_host_rewrite": true}),
                |authority| json!({"host_rewrite_literal": authority}),
            );
            let to = json!({
                "cluster": upstream.cluster,
                "timeout": route.timeout.map_or("0s".into(), seconds),
                "idle_timeout": seconds(SILENCE),
            });
            routes.push((upstream.route, json!({"match": {"prefix": "/"}, "route": with(to, host)})));
        }
    }
    if parts.mcp_servers().next().is_some() || markets(parts).next().is_some() {
        routes.push((HUB_ROUTE.into(), to_hub(&parts.gateway)));
    }
    routes
}

/// To the hub, which is told who asks. Its streams last. Where there are several, all of a caller's requests go to one of
/// them: a message reaches the stream that it is for, whatever its session says.
fn to_hub(gateway: &Gateway) -> Value {
    let state = |name: &str| format!("%FILTER_STATE(wasm.{name}:PLAIN)%");
    let told = [
        (GATEWAY_HEADER, gateway.name.to_string()),
        (DOMAIN_HEADER, state(state::DOMAIN)),
        (KEY_HEADER, state(state::KEY_ID)),
    ];
    let headers = told.map(|(name, value)| {
        json!({"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"})
    });
    let caller = [DOMAIN_HEADER, KEY_HEADER].map(|name| json!({"header": {"header_name": name}}));
    json!({
        "match": {"prefix": "/"},
        "route": {
            "cluster": bootstrap::CLUSTER,
            "prefix_rewrite": format!("{}/", hub::PREFIX),
            "timeout": "0s",
            "idle_timeout": seconds(SILENCE),
            "hash_policy": caller,
            "retry_policy": {
                "retry_on": "connect-failure",
                "num_retries": 2,
                "retry_host_predicate": [{
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": typed(PREVIOUS_HOSTS, json!({})),
                }],
                "host_selection_retry_max_attempts": 64,
            },
        },
        "request_headers_to_add": headers,
    })
}

/// What the `router` filter calls the marketplace.
const MARKET: &str = "marketplace";
/// Where an API key stands unless another header is named.
const API_KEY: &str = "x-api-key";
const PREVIOUS_HOSTS: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(3600);
