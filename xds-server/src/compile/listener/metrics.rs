//! Metrics of whole requests, by domain, model and provider.
//!
//! Envoy counts them as it writes the access log. Every label is a name in the configuration or a status, so there are no
//! more series than the configuration allows, whatever clients send.

use serde_json::{Value, json};
use weir_schema::state;

use crate::compile::typed;

pub(super) fn metrics() -> Value {
    let requests = json!({"stat": stat("requests_total", &[&LABELS, &[CODE]]), "value_fixed": 1});
    let tokens = state::TOKENS.iter().map(|key| {
        let name = format!("{}_total", key.trim_start_matches("weir."));
        json!({"stat": stat(&name, &[&LABELS]), "value_format": format!("%FILTER_STATE(wasm.{key}:PLAIN)%")})
    });
    let times = TIMES.iter().map(|(name, value)| {
        json!({"stat": stat(name, &[&LABELS]), "unit": "Milliseconds", "value_format": value})
    });
    let (counters, histograms): (Vec<_>, Vec<_>) = (tokens.chain([requests]).collect(), times.collect());
    let body = json!({"stat_prefix": "weir", "counters": counters, "histograms": histograms});
    json!({
        "name": "envoy.access_loggers.stats",
        "typed_config": typed("envoy.extensions.access_loggers.stats.v3.Config", body),
    })
}

fn stat(name: &str, labels: &[&[(&str, &str)]]) -> Value {
    let tags =
        labels.iter().copied().flatten().map(|(name, value)| json!({"name": name, "value_format": value}));
    json!({"name": name, "tags": tags.collect::<Vec<_>>()})
}

const LABELS: [(&str, &str); 4] = [
    ("domain", "%FILTER_STATE(wasm.weir.domain:PLAIN)%"),
    ("model", "%METADATA(ROUTE:weir:model)%"),
    ("provider", "%METADATA(CLUSTER:weir:provider)%"),
    ("upstream_model", UPSTREAM_MODEL),
];

/// The route of a wildcard has a name for all that clients make of it.
const UPSTREAM_MODEL: &str = concat!(
    r#"%COALESCE({"operators": [{"command": "METADATA", "param": "ROUTE:weir:upstream_model"}, "#,
    r#"{"command": "FILTER_STATE", "param": "wasm.weir.upstream_model:PLAIN"}]})%"#
);

const CODE: (&str, &str) = ("code", "%RESPONSE_CODE%");

const TIMES: [(&str, &str); 2] =
    [("first_byte_ms", "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ms)%"), ("duration_ms", "%DURATION%")];
