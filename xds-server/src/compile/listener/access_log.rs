//! The access log: who asked for which model, how it went, and nothing of what was said.

use serde_json::{Map, Value, json};
use weir_schema::state;

use crate::{compile::typed, model::Gateway};

pub(super) fn access_log(gateway: &Gateway) -> Value {
    let body = json!({
        "path": gateway.access_log.to_string_lossy(),
        "log_format": {"json_format": fields()},
    });
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", body),
    })
}

fn fields() -> Value {
    let envoys = FIELDS.iter().map(|(name, format)| ((*name).to_owned(), Value::from(*format)));
    let ours = STATES.iter().map(|(name, state)| {
        ((*name).to_owned(), Value::from(format!("%FILTER_STATE(wasm.{state}:PLAIN)%")))
    });
    Value::Object(envoys.chain(ours).collect::<Map<_, _>>())
}

const FIELDS: [(&str, &str); 14] = [
    ("time", "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%PATH(NQ:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("code", "%RESPONSE_CODE%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("duration_ms", "%DURATION%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
    ("cluster", "%UPSTREAM_CLUSTER%"),
    ("upstream", "%UPSTREAM_HOST%"),
];

const STATES: [(&str, &str); 6] = [
    ("consumer", state::CONSUMER),
    ("key_id", state::KEY_ID),
    ("domain", state::DOMAIN),
    ("model", state::MODEL),
    ("upstream_model", state::UPSTREAM_MODEL),
    ("usage", state::USAGE),
];
