//! Metrics of whole requests, by domain, model and provider, and of calls of MCP, by server, tool and outcome.
//!
//! Envoy counts them as it writes the access log. Every label is a name in the configuration or a status, so there are no
//! more series than the configuration allows, whatever clients send.

use serde_json::{Value, json};
use weir_schema::state;

use crate::compile::{typed, with};

/// A number that is not there is no zero, and Envoy warns of it: what not every request has is counted apart.
pub(super) fn metrics() -> [Value; 4] {
    let requests = json!({"stat": stat("requests_total", &[&LABELS, &[CODE]]), "value_fixed": 1});
    let tokens = state::TOKENS.iter().map(|key| {
        let name = format!("{}_total", key.trim_start_matches("weir."));
        json!({"stat": stat(&name, &[&LABELS]), "value_format": state(key)})
    });
    let time = |(name, value): (&str, &str)| json!([{"stat": stat(name, &[&LABELS]), "unit": "Milliseconds", "value_format": value}]);
    let called = json!({"stat": stat("mcp_calls_total", &[&CALL]), "value_fixed": 1});
    let took = stat("mcp_call_ms", &[&CALL]);
    let took = json!({"stat": took, "unit": "Milliseconds", "value_format": state(state::MCP_MILLIS)});
    [
        logger(json!({"counters": [requests], "histograms": time(DURATION)})),
        with(logger(json!({"histograms": time(FIRST_BYTE)})), only("response.code > 0")),
        with(logger(json!({"counters": tokens.collect::<Vec<_>>()})), only(HAS_TOKENS)),
        with(logger(json!({"counters": [called], "histograms": [took]})), only(IS_CALL)),
    ]
}

fn state(key: &str) -> String {
    format!("%FILTER_STATE(wasm.{key}:PLAIN)%")
}

fn logger(stats: Value) -> Value {
    let body = with(stats, json!({"stat_prefix": "weir"}));
    json!({
        "name": "envoy.access_loggers.stats",
        "typed_config": typed("envoy.extensions.access_loggers.stats.v3.Config", body),
    })
}

/// For requests of which this expression in CEL is true.
fn only(expression: &str) -> Value {
    let filter = typed(
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        json!({"expression": expression}),
    );
    json!({"filter": {"extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": filter,
    }}})
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

/// Those of a call of MCP, whose tool has a name of the configuration.
const CALL: [(&str, &str); 4] = [
    ("domain", "%FILTER_STATE(wasm.weir.domain:PLAIN)%"),
    ("mcp_server", "%FILTER_STATE(wasm.weir.mcp_server:PLAIN)%"),
    ("mcp_tool", "%FILTER_STATE(wasm.weir.mcp_known_tool:PLAIN)%"),
    ("outcome", "%FILTER_STATE(wasm.weir.mcp_outcome:PLAIN)%"),
];

/// The route of a wildcard has a name for all that clients make of it.
const UPSTREAM_MODEL: &str = concat!(
    r#"%COALESCE({"operators": [{"command": "METADATA", "param": "ROUTE:weir:upstream_model"}, "#,
    r#"{"command": "FILTER_STATE", "param": "wasm.weir.upstream_model:PLAIN"}]})%"#
);

const CODE: (&str, &str) = ("code", "%RESPONSE_CODE%");

const FIRST_BYTE: (&str, &str) = ("first_byte_ms", "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ms)%");
const DURATION: (&str, &str) = ("duration_ms", "%DURATION%");

/// `quota` has told what was used. All of the numbers come together.
const HAS_TOKENS: &str = "filter_state['wasm.weir.input_tokens'] != b''";
/// `mcp` has told how long a call took.
const IS_CALL: &str = "filter_state['wasm.weir.mcp_millis'] != b''";
