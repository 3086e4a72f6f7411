//! ECDS: the filters, each with its module and its configuration in one resource.

use std::{num::NonZeroU32, path::Path, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use weir_schema::{Name, auth, compat, cooling, router};

use super::{
    CompileError, Routes, ads,
    attempt::{Lane, Plan},
    chat_template::{self, Pinned},
    mcp, oauth, route, typed, with,
};
use crate::{
    bootstrap,
    key_table::KeyTable,
    lookup,
    model::{Cooling, Model, Parts, PublicModel},
};

/// The resource that has the `auth` filter.
pub(super) const AUTH: &str = "weir.auth";
/// The resource that has the `chat-template` filter.
pub(super) const CHAT_TEMPLATE: &str = "weir.chat-template";
/// The resource that has the `mcp` filter.
pub(super) const MCP: &str = "weir.mcp";
/// The resource that has the `router` filter.
pub(super) const ROUTER: &str = "weir.router";

/// The names of the extensions that stand in the chains of clusters begin with this.
pub const OF_CLUSTERS: &str = "weir.model-compat/";
/// The resource that has the `quota` filter.
pub(super) const QUOTA: &str = "weir.quota";

/// How much of a request is held until its model is known, at the filter and at the route.
pub(super) const HELD_BODY_BYTES: NonZeroU32 = NonZeroU32::MIN.saturating_add(1024 * 1024 - 1);

/// A place in a filter chain whose filter is the extension resource of that name.
pub(super) fn place(name: &str) -> Value {
    place_for(name, &[WASM])
}

/// A place whose filter may be one that does nothing.
pub(super) fn place_at_need(name: &str) -> Value {
    place_for(name, &[WASM, NOTHING])
}

/// The place of the filter that verifies tokens, if there is one.
pub(super) fn place_of_tokens() -> Value {
    place_for(oauth::JWT, &[oauth::JWT_AUTHN, NOTHING])
}

/// A filter that does nothing. The listener, whose connections drain when it changes, has the place of each filter in any
/// case.
pub(super) fn nothing(name: &str) -> Value {
    json!({"name": name, "typed_config": typed(NOTHING, json!({}))})
}

fn place_for(name: &str, types: &[&str]) -> Value {
    // No time limit: a listener without its filters must not open.
    let source = with(ads(), json!({"initial_fetch_timeout": "0s"}));
    let type_urls: Vec<_> = types.iter().map(|name| format!("type.googleapis.com/{name}")).collect();
    json!({"name": name, "config_discovery": {"config_source": source, "type_urls": type_urls}})
}

pub(super) fn auth(parts: &Parts, module: &Path) -> Result<Value, CompileError> {
    let keys: Vec<auth::Key> = keys(parts).collect();
    let (keys, lookup) =
        if is_looked_up(parts) { (Vec::new(), Some(key_lookup(&keys)?)) } else { (keys, None) };
    let domains = parts
        .domains
        .iter()
        .map(|domain| auth::Domain { name: domain.name.clone(), hosts: domain.hosts.clone() });
    let config = auth::Config {
        keys,
        domains: domains.collect(),
        lookup,
        model_check: auth::ModelCheck::Router,
        held_body_bytes: HELD_BODY_BYTES,
        relayed: mcp::relayed(parts),
        resources: oauth::resources(parts),
    };
    plugin("auth", AUTH, module, &config)
}

/// Every key with what it allows.
fn keys(parts: &Parts) -> impl Iterator<Item = auth::Key> {
    parts.keys_with_domains().map(|(key, domain)| auth::Key {
        id: key.id.clone(),
        sha256: key.sha256.clone(),
        consumer: key.consumer.clone().unwrap_or_else(|| key.id.clone()),
        domain,
        models: key.models.clone(),
        expires_at: key.expires_at,
        disabled: key.disabled,
    })
}

/// Whether there are more keys than a filter's configuration should carry: every worker parses all of it.
fn is_looked_up(parts: &Parts) -> bool {
    parts.keys.len() > usize::try_from(parts.gateway.inline_keys).unwrap_or(usize::MAX)
}

/// The keys that the filter looks up, if it does not carry them.
pub(super) fn looked_up(parts: &Parts) -> KeyTable {
    if is_looked_up(parts) { KeyTable::of(keys(parts)) } else { KeyTable::default() }
}

fn key_lookup(keys: &[auth::Key]) -> Result<auth::Lookup, CompileError> {
    let refused = |problem| CompileError::Config { filter: "auth", problem };
    let digest: [u8; 32] = Sha256::digest(serde_json::to_vec(keys).map_err(refused)?).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    let lookup = json!({
        "cluster": bootstrap::CLUSTER,
        "path": lookup::PATH,
        "cache_slots": keys.len().max(LEAST_CACHE_SLOTS),
        "epoch": u64::from_le_bytes([a, b, c, d, e, f, g, h]),
    });
    serde_json::from_value(lookup).map_err(refused)
}

/// The `chat-template` filter, or in its place one that does nothing.
pub(super) fn chat_template(parts: &Parts, module: Option<&Path>) -> Result<Value, CompileError> {
    match chat_template::config(parts) {
        None => Ok(nothing(CHAT_TEMPLATE)),
        Some(config) => {
            let module = module.ok_or(CompileError::NoModule("chat-template"))?;
            plugin("chat-template", CHAT_TEMPLATE, module, &config)
        }
    }
}

/// The `mcp` filter, or in its place one that does nothing.
pub(super) fn mcp(parts: &Parts, module: Option<&Path>) -> Result<Value, CompileError> {
    match mcp::config(parts) {
        None => Ok(nothing(MCP)),
        Some(config) => plugin("mcp", MCP, module.ok_or(CompileError::NoModule("mcp"))?, &config),
    }
}

pub(super) fn router(
    model: &Model,
    routes: &Routes<'_>,
    pinned: &[Pinned],
    module: &Path,
) -> Result<Value, CompileError> {
    let parts = model.parts();
    let router_model = |route: &Name, served: &PublicModel| {
        let plan = Plan::of(model, served);
        let targets = plan.attempts().iter().map(|attempt| router::Target {
            cluster: attempt.lane.cluster(),
            upstream_model: attempt.model.clone(),
            priority: attempt.priority,
            weight: attempt.weight,
            rules: attempt.rules(),
        });
        router::Model {
            name: served.name.clone(),
            aliases: served.aliases.clone(),
            domain: served.domain.clone(),
            route: route.clone(),
            upstream_model: None,
            targets: targets.collect(),
            owned_by: served.owned_by.clone(),
            created: 0,
        }
    };
    let models = routes.iter().map(|(route, served)| router_model(route, served));
    let pins = pinned.iter().map(|Pinned { of, provider, route, model }| router::Pin {
        of: of.clone(),
        provider: provider.clone(),
        model: router_model(route, model),
    });
    let domains = parts.domains.iter().map(|domain| router::Domain {
        name: domain.name.clone(),
        models: domain.models.clone(),
        default_model: domain.default_model.clone(),
    });
    let providers =
        parts.providers.iter().filter(|provider| !provider.stored_for.is_empty()).map(|provider| {
            router::Provider {
                name: provider.name.clone(),
                route: route::of_provider(&provider.name),
                domains: provider.stored_for.clone(),
            }
        });
    let config = router::Config {
        models: models.collect(),
        pins: pins.collect(),
        domains: domains.collect(),
        providers: providers.collect(),
        default_model: parts.gateway.default_model.clone(),
        identity: router::Identity::Required,
        mcp: mcp::endpoints(parts),
        body_bytes: parts.gateway.request_body,
        held_body_bytes: HELD_BODY_BYTES.min(parts.gateway.request_body),
        replay_body_bytes: parts.gateway.replay_body,
        cooling: parts.gateway.cooling.as_ref().map(terms),
    };
    plugin("router", ROUTER, module, &config)
}

/// The resource that has the `model-compat` filter of a cluster.
pub(super) fn model_compat_name(cluster: &str) -> String {
    format!("{OF_CLUSTERS}{cluster}")
}

/// The `model-compat` filter of a lane's cluster, and the name of its resource.
pub(super) fn model_compat(
    lane: &Lane<'_>,
    cooling: Option<&Cooling>,
    module: &Path,
) -> Result<(String, Value), CompileError> {
    let (upstream, needs) = (&lane.provider.upstream, &lane.provider.needs);
    let config = compat::Config {
        cluster: lane.cluster(),
        authority: upstream.authority(),
        base_path: upstream.base_path().to_owned(),
        path: needs.path.clone(),
        query: needs.query.clone(),
        protocols: if is_plain(&lane.provider.protocols) {
            Vec::new()
        } else {
            lane.provider.protocols.clone()
        },
        foreign_credentials: compat::CredentialHeader::ALL
            .into_iter()
            .filter(|header| lane.credential.is_none() || *header != lane.provider.credential_header)
            .collect(),
        cooling: cooling.map(terms),
        rules: needs.compat.clone(),
        held_body_bytes: HELD_BODY_BYTES,
    };
    let name = model_compat_name(&config.cluster);
    let body = plugin("model-compat", &name, module, &config)?;
    Ok((name, body))
}

fn terms(cooling: &Cooling) -> cooling::Terms {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    cooling::Terms {
        failures: cooling.failures,
        millis: millis(cooling.time),
        longest_millis: millis(cooling.longest),
    }
}

/// Whether these are what the filter takes for granted.
fn is_plain(protocols: &[compat::Protocol]) -> bool {
    protocols == [compat::Protocol::Chat]
}

pub(super) fn quota(config: &weir_schema::quota::Config, module: &Path) -> Result<Value, CompileError> {
    plugin("quota", QUOTA, module, config)
}

fn plugin(
    filter: &'static str,
    name: &str,
    module: &Path,
    config: &impl Serialize,
) -> Result<Value, CompileError> {
    let config = serde_json::to_value(config).map_err(|problem| CompileError::Config { filter, problem })?;
    let wasm = json!({"config": {
        "name": format!("weir.{filter}"),
        "root_id": filter,
        "failure_policy": "FAIL_RELOAD",
        "allow_on_headers_stop_iteration": true,
        "vm_config": {
            "vm_id": "weir",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": module.to_string_lossy()}},
        },
        "configuration": typed("google.protobuf.StringValue", json!({"value": config.to_string()})),
    }});
    Ok(json!({"name": name, "typed_config": typed(WASM, wasm)}))
}

/// A cache that a key seldom loses its place in, with room for clients that try wrong ones.
const LEAST_CACHE_SLOTS: usize = 16 * 1024;

/// A filter that changes the headers it is told to: none.
const NOTHING: &str = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
