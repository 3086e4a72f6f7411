//! The access log: who asked for which model, how it went, and nothing of what was said.

use serde_json::{Map, Value, json};
use weir_schema::state;

use crate::{compile::typed, model::Gateway};

pub(super) fn access_log(gateway: &Gateway) -> Value {
    let body = json!({
        "path": gateway.access_log.to_string_lossy(),
        "log_format": {"json_format": fields(gateway)},
    });
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", body),
    })
}

fn fields(gateway: &Gateway) -> Value {
    let gateway = ("gateway".to_owned(), Value::from(gateway.name.as_str()));
    let envoys = FIELDS.iter().map(|(name, format)| ((*name).to_owned(), Value::from(*format)));
    let state = |state: &str| Value::from(format!("%FILTER_STATE(wasm.{state}:PLAIN)%"));
    let ours = STATES.iter().map(|(name, key)| ((*name).to_owned(), state(key)));
    let tokens = state::TOKENS.iter().map(|key| (key.trim_start_matches("weir.").to_owned(), state(key)));
    Value::Object([gateway].into_iter().chain(envoys).chain(ours).chain(tokens).collect::<Map<_, _>>())
}

const FIELDS: [(&str, &str); 16] = [
    ("time", "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%PATH(NQ:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("code", "%RESPONSE_CODE%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("duration_ms", "%DURATION%"),
    ("first_byte_ms", "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ms)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
    ("provider", "%METADATA(CLUSTER:weir:provider)%"),
    ("cluster", "%UPSTREAM_CLUSTER%"),
    ("upstream", "%UPSTREAM_HOST%"),
];

const STATES: [(&str, &str); 16] = [
    ("consumer", state::CONSUMER),
    ("key_id", state::KEY_ID),
    ("domain", state::DOMAIN),
    ("model", state::MODEL),
    ("upstream_model", state::UPSTREAM_MODEL),
    ("replay", state::REPLAY),
    ("usage_source", state::USAGE_SOURCE),
    ("first_token_ms", state::FIRST_TOKEN),
    ("finish_reason", state::FINISH_REASON),
    ("template", state::TEMPLATE),
    ("template_version", state::TEMPLATE_VERSION),
    ("prompt_bytes", state::PROMPT_BYTES),
    ("mcp_server", state::MCP_SERVER),
    ("mcp_tool", state::MCP_TOOL),
    ("mcp_outcome", state::MCP_OUTCOME),
    ("mcp_upstream_code", state::MCP_UPSTREAM_CODE),
];
