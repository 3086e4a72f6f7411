//! OAuth: Envoy's own filter `jwt_authn`, which verifies tokens before `auth` decides by them, and the clusters that it
//! fetches keys from.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use weir_schema::{auth, mcp::Mount, oauth::Scope};

use super::{
    cluster::{self, Way},
    extension, seconds, typed,
};
use crate::{
    model::{CircuitBreakers, Jwks, McpOptions, OAuth, Parts, Route, Span},
    snapshot::{Kind, Snapshot},
};

/// The resource that has the filter.
pub(super) const JWT: &str = "weir.jwt";
/// The filter's configuration.
pub(super) const JWT_AUTHN: &str = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";

/// The `jwt_authn` filter; without a server whose callers have tokens, one that does nothing.
///
/// A provider is named by the hash of all that it verifies by, and so is what it leaves for `auth`: while the two filters
/// change one after the other, none takes what the other's older configuration has verified.
pub(super) fn jwt(parts: &Parts) -> Value {
    let servers: Vec<_> = servers(parts).collect();
    if servers.is_empty() {
        return extension::nothing(JWT);
    }
    let providers: Map<_, _> =
        servers.iter().map(|(_, _, oauth)| (payload(oauth), provider(oauth))).collect();
    let mut mounts: Vec<&Mount> = servers.iter().map(|(route, ..)| &route.path).collect();
    // The first rule that matches is the one that counts.
    mounts.sort_by_key(|mount| (std::cmp::Reverse(mount.base().len()), mount.as_str()));
    mounts.dedup();
    let rule = |mount: &&Mount| {
        let at = servers.iter().filter(|(route, ..)| route.path.overlaps(mount));
        let mut names: Vec<_> = at.map(|(_, _, oauth)| payload(oauth)).collect();
        names.sort();
        names.dedup();
        let any = names.iter().map(|name| json!({"provider_name": name}));
        // It is `auth` that refuses: there may be a key, and what is refused is told why.
        let any: Vec<_> = any.chain([json!({"allow_missing_or_failed": {}})]).collect();
        let path = if mount.base() == mount.as_str() { "path" } else { "path_separated_prefix" };
        json!({"match": {path: mount.base()}, "requires": {"requires_any": {"requirements": any}}})
    };
    let rules: Vec<_> = mounts.iter().map(rule).collect();
    json!({"name": JWT, "typed_config": typed(JWT_AUTHN, json!({"providers": providers, "rules": rules}))})
}

/// Adds what keys are fetched from.
pub(super) fn upstreams(parts: &Parts, snapshot: &mut Snapshot) {
    for (_, _, oauth) in servers(parts) {
        let Ok(Jwks::Remote { cluster, upstream, .. }) = oauth.keys() else { continue };
        let body = cluster::of(Way {
            name: &cluster,
            endpoints: &cluster,
            metadata: json!({"provider": cluster}),
            upstream: &upstream,
            connect_timeout: FETCH,
            outlier_detection: None,
            circuit_breakers: CircuitBreakers::default(),
            http2: false,
            ca: oauth.ca.as_deref(),
            filters: Vec::new(),
        });
        snapshot.insert(Kind::Clusters, &cluster, body);
        if let Some(endpoints) = cluster::endpoints_of(&cluster, &upstream) {
            snapshot.insert(Kind::Endpoints, &cluster, endpoints);
        }
    }
}

/// What `auth` is told of the servers whose callers have tokens.
pub(super) fn resources(parts: &Parts) -> Vec<auth::Resource> {
    let resource = |(route, options, oauth): (&Route, &McpOptions, &OAuth)| {
        let more = options.grants.iter().flatten().flat_map(|grant| &grant.scopes);
        let mut supported: Vec<Scope> = Vec::new();
        for scope in oauth.scopes.iter().chain(more) {
            if !supported.contains(scope) {
                supported.push(scope.clone());
            }
        }
        auth::Resource {
            path: route.path.clone(),
            domain: route.domain.clone(),
            resource: oauth.resource.clone(),
            title: options.title().map(str::to_owned),
            authorization_servers: oauth.servers(),
            scopes: oauth.scopes.clone(),
            scopes_supported: supported,
            payload: payload(oauth),
            claim: oauth.consumer.claim.clone(),
            prefix: oauth.consumer.prefix.clone(),
            allow_keys: oauth.allow_keys,
        }
    };
    servers(parts).map(resource).collect()
}

/// The servers whose callers have tokens.
fn servers(parts: &Parts) -> impl Iterator<Item = (&Route, &McpOptions, &OAuth)> {
    parts.mcp_servers().filter_map(|(route, options, _)| Some((route, options, options.oauth.as_deref()?)))
}

fn provider(oauth: &OAuth) -> Value {
    let name = payload(oauth);
    let failed = format!("{name}.failed");
    let mut provider = verified_by(oauth);
    let more = json!({
        // Nowhere else, such as in a query; and `auth` removes it.
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "forward": true,
        "payload_in_metadata": name,
        "failed_status_in_metadata": failed,
    });
    if let (Value::Object(provider), Value::Object(more)) = (&mut provider, more) {
        provider.extend(more);
    }
    provider
}

/// All that decides whether a token is accepted.
fn verified_by(oauth: &OAuth) -> Value {
    let skew = oauth.clock_skew.map_or(SKEW, Span::duration);
    let mut provider = json!({
        "issuer": oauth.issuer,
        "audiences": oauth.audiences(),
        "require_expiration": true,
        "clock_skew_seconds": skew.as_secs().max(1),
    });
    let (field, keys) = match oauth.keys() {
        Ok(Jwks::Remote { uri, cluster, .. }) => {
            let refresh = oauth.jwks_refresh.map_or(REFRESH, Span::duration);
            let http = json!({"uri": uri, "cluster": cluster, "timeout": seconds(FETCH)});
            // Keys that could not be fetched anew go on being used.
            let fetch = json!({"fast_listener": true});
            (
                "remote_jwks",
                json!({"http_uri": http, "cache_duration": seconds(refresh), "async_fetch": fetch}),
            )
        }
        Ok(Jwks::File(path)) => ("local_jwks", json!({"filename": path.to_string_lossy()})),
        Ok(Jwks::Inline(set)) => ("local_jwks", json!({"inline_string": set})),
        // None, as nothing of a model that was checked: nobody's tokens are accepted.
        Err(_) => ("local_jwks", json!({"inline_string": "{\"keys\":[]}"})),
    };
    if let Value::Object(provider) = &mut provider {
        provider.insert(field.into(), keys);
    }
    provider
}

/// The name of what is verified by these terms.
fn payload(oauth: &OAuth) -> String {
    let terms = Sha256::digest(verified_by(oauth).to_string());
    terms.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

const FETCH: Duration = Duration::from_secs(5);
const REFRESH: Duration = Duration::from_secs(300);
const SKEW: Duration = Duration::from_secs(60);
