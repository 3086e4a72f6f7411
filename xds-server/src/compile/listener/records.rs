//! Usage records, which Envoy sends over its gRPC access log.

use serde_json::{Value, json};

use crate::{bootstrap, compile::typed, records::record::TAGS};

pub(super) fn records() -> Value {
    let tags: Vec<Value> = TAGS.iter().map(|(tag, value)| json!({"tag": tag, "value": value})).collect();
    let common = json!({
        "log_name": "weir.usage",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": bootstrap::CLUSTER}},
        "buffer_flush_interval": "0.5s",
        "buffer_size_bytes": 65536,
        "custom_tags": tags,
    });
    json!({
        "name": "envoy.access_loggers.http_grpc",
        "typed_config": typed(
            "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
            json!({"common_config": common}),
        ),
    })
}
