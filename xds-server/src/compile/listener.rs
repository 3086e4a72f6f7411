//! LDS: the one listener. It depends on `gateway` and on which certificates there are, so nothing else can drain
//! its connections.

mod access_log;
mod local_reply;
mod metrics;
mod records;

use serde::Serialize;
use serde_json::{Value, json};

use super::{GATEWAY, ads, extension, typed, with};
use crate::model::{Domain, Gateway, Parts, ServerTls};

pub(super) fn listener(parts: &Parts) -> Value {
    let gateway = &parts.gateway;
    let manager = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed(MANAGER, connection_manager(gateway)),
    });
    json!({
        "name": GATEWAY,
        "address": {"socket_address": {"address": gateway.address.to_string(), "port_value": gateway.port}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "filter_chains": [with(json!({"filters": [manager]}), tls(&parts.domains))],
    })
}

/// The resource that has a domain's certificate. No secret of a provider has a plus in its name.
pub(super) fn secret_name(tls: &ServerTls) -> String {
    format!("{}+{}", tls.certificate, tls.key)
}

/// How the listener speaks TLS, if it does: Envoy picks the certificate whose names have the client's, else the
/// first. What is in the certificates is no part of the listener.
fn tls(domains: &[Domain]) -> Value {
    let mut names: Vec<String> = Vec::new();
    for name in domains.iter().filter_map(|domain| domain.tls.as_ref()).map(secret_name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return json!({});
    }
    let certificates = names.iter().map(|name| json!({"name": name, "sds_config": ads()}));
    let context = json!({"common_tls_context": {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": certificates.collect::<Vec<_>>(),
    }});
    json!({
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": typed(TLS, context)},
        "transport_socket_connect_timeout": "10s",
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
        // Names of models and MCP servers have slashes, which clients escape. No filter decodes a path, and `router` refuses
        // every other one.
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
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
        "access_log": access_logs(gateway),
        "rds": {"route_config_name": GATEWAY, "config_source": ads()},
        "http_filters": [
            extension::place_of_tokens(),
            extension::place(extension::AUTH),
            extension::place_at_need(extension::CHAT_TEMPLATE),
            extension::place(extension::ROUTER),
            extension::place(extension::QUOTA),
            extension::place_at_need(extension::MCP),
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

fn access_logs(gateway: &Gateway) -> Vec<Value> {
    let records = gateway.has_records.then(records::records);
    [access_log::access_log(gateway)].into_iter().chain(metrics::metrics()).chain(records).collect()
}

const TLS: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";

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
pub(super) const CONNECTION_BUFFER: u32 = 1024 * 1024;
