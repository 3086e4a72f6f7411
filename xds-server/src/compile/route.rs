//! RDS: one route a model, found by the header that the `router` filter sets.

use serde_json::{Map, Value, json};

use super::{GATEWAY, Routes, extension::HELD_BODY_BYTES, seconds, typed, with};
use crate::model::{Model, Provider, PublicModel};

pub(super) fn table(model: &Model, routes: &Routes<'_>) -> Value {
    // Every target's provider exists, or there would be no `Model`.
    let actions: Map<String, Value> = routes
        .iter()
        .filter_map(|(name, served)| {
            let provider = model.provider(&served.target.provider)?;
            Some((name.to_string(), action(name.as_str(), route(served, provider))))
        })
        .collect();
    // The router filter answers for models that do not exist; this is for a request without its header.
    let nowhere = json!({"match": {"prefix": "/"}, "direct_response": {"status": 404}});
    let nothing = json!({"on_no_match": action("nowhere", nowhere)});
    let matcher = if actions.is_empty() { nothing } else { with(nothing, tree(actions)) };
    json!({
        "name": GATEWAY,
        "virtual_hosts": [{
            "name": GATEWAY,
            "domains": ["*"],
            "include_request_attempt_count": true,
            "request_body_buffer_limit": HELD_BODY_BYTES,
            "request_headers_to_remove": PRIVATE,
            "matcher": matcher,
        }],
    })
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

fn route(model: &PublicModel, provider: &Provider) -> Value {
    let upstream = &provider.upstream;
    let host = upstream.authority().map_or_else(
        || json!({"auto_host_rewrite": true}),
        |authority| json!({"host_rewrite_literal": authority}),
    );
    let route = json!({
        "cluster": provider.name,
        "prefix_rewrite": format!("{}/", upstream.base_path()),
        "timeout": model.total_timeout.map_or("0s".into(), seconds),
        "idle_timeout": seconds(model.idle_timeout),
    });
    json!({"match": {"prefix": "/v1/"}, "route": with(route, host)})
}

fn action(name: &str, route: Value) -> Value {
    json!({"action": {"name": name, "typed_config": typed("envoy.config.route.v3.Route", route)}})
}

/// What is no business of a provider's: how we route, and who is calling.
const PRIVATE: [&str; 5] = [
    weir_schema::ROUTE_HEADER,
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
];

const HEADER_INPUT: &str = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";
