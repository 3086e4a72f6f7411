//! RDS: the routes of each model, found by the header that the `router` filter sets.

use std::{num::NonZeroU32, time::Duration};

use serde_json::{Map, Value, json};
use weir_schema::{Name, state};

use super::{
    GATEWAY, METADATA, Routes,
    attempt::{Attempt, Lane, Plan},
    chat_template,
    listener::CONNECTION_BUFFER,
    mcp, seconds, typed, with,
};
use crate::model::{Model, PublicModel};

pub(super) fn table(model: &Model, routes: &Routes<'_>) -> Value {
    let mut actions = Map::new();
    for (name, served) in routes {
        let route = route_of(served, &Plan::of(model, served), model.parts().gateway.replay_body);
        actions.insert(name.to_string(), action(name.as_str(), route));
    }
    for provider in model.parts().providers.iter().filter(|provider| !provider.stored_for.is_empty()) {
        if let Some(lane) = Lane::of(provider, 0).next() {
            let name = of_provider(&provider.name);
            let limits = json!({"timeout": "0s", "idle_timeout": seconds(PASSING_IDLE)});
            let to = with(limits, to_lane(&lane));
            let route = json!({"match": {"prefix": "/v1/"}, "route": to});
            actions.insert(name.clone(), action(&name, route));
        }
    }
    for (name, route) in mcp::routes(model.parts()) {
        let action = action(&name, route);
        actions.insert(name, action);
    }
    // The router filter answers for models that do not exist; this is for a request without its header.
    // It is the route of every request until its model is known, and only a route to a cluster has a limit for what is held.
    let to = json!({"cluster": NOWHERE, "cluster_not_found_response_code": "NOT_FOUND"});
    let nowhere = json!({"match": {"prefix": "/"}, "route": to});
    let nothing = json!({"on_no_match": action("nowhere", nowhere)});
    let matcher = if actions.is_empty() { nothing } else { with(nothing, tree(actions)) };
    let host = json!({
        "name": GATEWAY,
        "domains": ["*"],
        "include_request_attempt_count": true,
        // Envoy adds what comes to what is held before the filter that holds it sees it and may refuse it.
        "request_body_buffer_limit": chat_template::held_body_bytes(model.parts()).saturating_add(CONNECTION_BUFFER),
        "request_headers_to_remove": PRIVATE,
        "matcher": matcher,
    });
    let told = if model.parts().gateway.response_headers { TOLD.as_slice() } else { &[] };
    let headers = told.iter().map(|(name, format)| {
        let header = json!({"key": name, "value": format});
        json!({"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"})
    });
    let headers = json!({"response_headers_to_add": headers.collect::<Vec<_>>()});
    json!({"name": GATEWAY, "virtual_hosts": [with(host, headers)]})
}

/// Finds a model's route in constant time, however many there are.
fn tree(actions: Map<String, Value>) -> Value {
    let header = json!({"header_name": weir_schema::ROUTE_HEADER});
    json!({"matcher_tree": {
        "input": {
            "name": "envoy.matching.inputs.request_headers",
            "typed_config": typed(HEADER_INPUT, header),
        },
        "exact_match_map": {"map": actions},
    }})
}

/// A model's route.
fn route_of(model: &PublicModel, plan: &Plan<'_>, replay_body: NonZeroU32) -> Value {
    match plan.attempts() {
        [attempt] => route(model, 1, single(model, attempt)),
        attempts => {
            let route = route(model, attempts.len(), several(model, attempts));
            // A body is kept until an answer begins, and up to this limit.
            with(route, json!({"request_body_buffer_limit": replay_body}))
        }
    }
}

/// A route that leads on as `to` says, with limits that leave each of the attempts its time; `model-compat` writes the path
/// and the host.
fn route(model: &PublicModel, attempts: usize, to: Value) -> Value {
    let idle = model.idle_timeout.saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX));
    let common = json!({
        "timeout": model.total_timeout.map_or("0s".into(), seconds),
        "idle_timeout": seconds(idle),
    });
    let metadata = json!({"filter_metadata": {METADATA: labels(model)}});
    json!({"match": {"prefix": "/v1/"}, "metadata": metadata, "route": with(common, to)})
}

/// The route of requests that name a provider and no model. No model's route begins with this character.
pub(super) fn of_provider(name: &Name) -> String {
    format!("@{name}")
}

/// What metrics call the model; what clients make of a wildcard is not theirs to say.
fn labels(model: &PublicModel) -> Value {
    let name = json!({"model": model.name});
    if model.name.as_str().contains('*') { with(name, json!({"upstream_model": "*"})) } else { name }
}

/// To a provider, for a request that names no model; the path and the host are the route's to write.
fn to_lane(lane: &Lane<'_>) -> Value {
    let upstream = &lane.provider.upstream;
    let host = upstream.authority().map_or_else(
        || json!({"auto_host_rewrite": true}),
        |authority| json!({"host_rewrite_literal": authority}),
    );
    let to = json!({
        "cluster": lane.cluster(),
        "prefix_rewrite": format!("{}/", upstream.base_path()),
    });
    with(to, host)
}

/// To the one cluster.
fn single(model: &PublicModel, attempt: &Attempt<'_>) -> Value {
    let to = json!({"cluster": attempt.lane.cluster()});
    let limit = model
        .first_token_timeout
        .map(|limit| json!({"retry_policy": {"num_retries": 0, "per_try_timeout": seconds(limit)}}));
    with(to, limit.unwrap_or_else(|| json!({})))
}

/// To one cluster after the other, until one answers: to the one that the filters name for each attempt.
fn several(model: &PublicModel, attempts: &[Attempt<'_>]) -> Value {
    let to = |cluster: String| json!({"action": {"name": cluster, "typed_config": typed(CLUSTER_ACTION, json!({"cluster": cluster}))}});
    let clusters: Map<_, _> =
        attempts.iter().map(|attempt| attempt.lane.cluster()).map(|name| (name.clone(), to(name))).collect();
    let first = attempts.first().map_or(Value::Null, |attempt| to(attempt.lane.cluster()));
    let matcher = json!({
        "matcher_tree": {
            "input": {
                "name": "envoy.matching.inputs.filter_state",
                "typed_config": typed(FILTER_STATE, json!({"key": format!("wasm.{}", state::NEXT)})),
            },
            "exact_match_map": {"map": clusters},
        },
        "on_no_match": first,
    });
    let retries = json!({
        "retry_on": "5xx,reset,connect-failure,envoy-ratelimited,retriable-status-codes",
        "retriable_status_codes": OUR_FAULT_OR_BUSY,
        "num_retries": attempts.len().saturating_sub(1),
        "refresh_cluster_on_retry": true,
        "per_try_idle_timeout": seconds(model.idle_timeout),
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.01s"},
    });
    let limit = model.first_token_timeout.map(|limit| json!({"per_try_timeout": seconds(limit)}));
    json!({
        "inline_cluster_specifier_plugin": {"extension": {
            "name": "envoy.router.cluster_specifier_plugin.matcher",
            "typed_config": typed(CLUSTER_MATCHER, json!({"cluster_matcher": matcher})),
        }},
        "retry_policy": with(retries, limit.unwrap_or_else(|| json!({}))),
    })
}

fn action(name: &str, route: Value) -> Value {
    json!({"action": {"name": name, "typed_config": typed("envoy.config.route.v3.Route", route)}})
}

/// How long neither side of a request without a model may be silent.
const PASSING_IDLE: Duration = Duration::from_secs(300);

/// Answers below 500 that say nothing against the request: a credential of ours that is refused, and a provider that
/// has too much to do.
const OUR_FAULT_OR_BUSY: [u16; 2] = [401, 429];

/// What a client is told of the way its request took.
const TOLD: [(&str, &str); 4] = [
    ("x-weir-model", "%FILTER_STATE(wasm.weir.model:PLAIN)%"),
    ("x-weir-provider", "%METADATA(CLUSTER:weir:provider)%"),
    ("x-weir-upstream-model", "%FILTER_STATE(wasm.weir.upstream_model:PLAIN)%"),
    ("x-weir-attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
];

/// What is no business of a provider's: how we route, and who is calling.
const PRIVATE: [&str; 5] = [
    weir_schema::ROUTE_HEADER,
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
];

/// A cluster that there is not: no provider's name begins as this one does.
const NOWHERE: &str = "weir-nowhere";

const CLUSTER_MATCHER: &str = "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier";
const CLUSTER_ACTION: &str = "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction";
const FILTER_STATE: &str = "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput";
const HEADER_INPUT: &str = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";
