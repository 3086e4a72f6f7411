//! LDS: the one listener. It depends on `gateway` alone, so nothing else can drain its connections.

mod access_log;
mod local_reply;

use serde::Serialize;
use serde_json::{Value, json};

use super::{GATEWAY, ads, extension, typed};
use crate::model::Gateway;

pub(super) fn listener(gateway: &Gateway) -> Value {
    let manager = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed(MANAGER, connection_manager(gateway)),
    });
    json!({
        "name": GATEWAY,
        "address": {"socket_address": {"address": gateway.address.to_string(), "port_value": gateway.port}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "filter_chains": [{"filters": [manager]}],
    })
}

fn connection_manager(gateway: &Gateway) -> Value {
    json!({
        "stat_prefix": GATEWAY,
        "codec_type": "AUTO",
        "server_name": GATEWAY,
        "use_remote_address": true,
        "internal_address_config": {"cidr_ranges": [NOBODY]},
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "max_request_headers_kb": 60,
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 1024,
            "initial_stream_window_size": 65536,
            "initial_connection_window_size": CONNECTION_BUFFER,
        },
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "always_set_request_id_in_response": true,
        "local_reply_config": local_reply::config(),
        "access_log": [access_log::access_log(gateway)],
        "rds": {"route_config_name": GATEWAY, "config_source": ads()},
        "http_filters": [
            extension::place(extension::AUTH),
            extension::place(extension::ROUTER),
            {
                "name": "envoy.filters.http.router",
                "typed_config": typed(
                    "envoy.extensions.filters.http.router.v3.Router",
                    json!({"suppress_envoy_headers": true}),
                ),
            },
        ],
    })
}

const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// Callers that may steer Envoy with `x-envoy-*` headers: no request comes from this address. An empty list
/// would stand for every private network.
const NOBODY: Cidr = Cidr { address_prefix: "255.255.255.255", prefix_len: 32 };

#[derive(Serialize)]
struct Cidr {
    address_prefix: &'static str,
    prefix_len: u8,
}

/// What Envoy buffers of a connection before it stops reading, in bytes.
const CONNECTION_BUFFER: u32 = 1024 * 1024;
