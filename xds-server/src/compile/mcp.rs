//! MCP servers: the configuration of their filter, the clusters of what they call, and the routes to servers behind them.

use std::time::Duration;

use serde_json::{Value, json};
use weir_schema::{
    mcp::{Backend, Config, Grant, Proxy, Server},
    router::{Identity, McpEndpoint},
};

use super::{
    cluster::{self, BEARER, Way},
    seconds, with,
};
use crate::{
    model::{self, CredentialType, McpPlan, Parts, PlannedUpstream, UpstreamAuth},
    snapshot::{Kind, Snapshot},
};

/// What the filter is told; nothing if there is no server.
pub(super) fn config(parts: &Parts) -> Option<Config> {
    let server = |(route, options, plan): (&model::Route, &model::McpOptions, _)| {
        let McpPlan { name, request_bytes, backend, .. } = plan;
        let grants = options.grants.as_ref().map(|grants| {
            let grant =
                |grant: &model::Grant| Grant { tools: grant.tools.clone(), consumers: parts.granted(grant) };
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
    let servers: Vec<_> = parts.mcp_servers().map(server).collect();
    (!servers.is_empty()).then_some(Config { servers, identity: Identity::Required })
}

/// The endpoints, for the `router` filter to let pass.
pub(super) fn endpoints(parts: &Parts) -> Vec<McpEndpoint> {
    let endpoint = |(route, _, plan): (&model::Route, _, McpPlan)| McpEndpoint {
        server: plan.name,
        domain: route.domain.clone(),
        path: route.path.clone(),
        request_bytes: plan.request_bytes,
    };
    parts.mcp_servers().map(endpoint).collect()
}

/// Adds what the servers call.
pub(super) fn upstreams(parts: &Parts, snapshot: &mut Snapshot) {
    for upstream in parts.mcp_servers().flat_map(|(_, _, plan)| plan.upstreams) {
        let PlannedUpstream { cluster, upstream, auth, field: _ } = &upstream;
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
    for (route, _, plan) in parts.mcp_servers() {
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
    routes
}

/// Where an API key stands unless another header is named.
const API_KEY: &str = "x-api-key";
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(3600);
