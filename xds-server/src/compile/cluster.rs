//! CDS and EDS: one cluster a provider.

use std::time::Duration;

use serde_json::{Value, json};
use weir_schema::Name;

use super::{ads, seconds, typed, with};
use crate::model::{Host, Provider, Upstream};

pub(super) fn cluster(provider: &Provider) -> Value {
    let upstream = &provider.upstream;
    let common = json!({
        "name": provider.name,
        "connect_timeout": seconds(provider.connect_timeout),
        "load_balancing_policy": {"policies": [{"typed_extension_config": {
            "name": "envoy.load_balancing_policies.least_request",
            "typed_config": typed(LEAST_REQUEST, json!({})),
        }}]},
        "circuit_breakers": {"thresholds": [{
            "max_connections": UNLIMITED,
            "max_pending_requests": UNLIMITED,
            "max_requests": UNLIMITED,
        }]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol(provider),
        },
    });
    let discovery = match upstream.host() {
        Host::Ip(_) => json!({"type": "EDS", "eds_cluster_config": {"eds_config": ads()}}),
        Host::Dns(_) => json!({
            "cluster_type": {"name": "envoy.cluster.dns", "typed_config": dns(upstream)},
            "load_assignment": load_assignment(provider),
        }),
    };
    let cluster = with(common, discovery);
    if !upstream.is_tls() {
        return cluster;
    }
    let tls = json!({"name": "envoy.transport_sockets.tls", "typed_config": typed(TLS, tls(provider))});
    with(cluster, json!({"transport_socket": tls}))
}

/// The endpoints of a provider whose address is known without looking it up.
pub(super) fn endpoints(provider: &Provider) -> Option<Value> {
    matches!(provider.upstream.host(), Host::Ip(_)).then(|| load_assignment(provider))
}

fn load_assignment(provider: &Provider) -> Value {
    let Provider { name, upstream, .. } = provider;
    let address = json!({"socket_address": {
        "address": upstream.host().to_string(),
        "port_value": upstream.port(),
    }});
    json!({
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    })
}

/// A public service answers each look-up with some of its many addresses, so the last answer is no list of
/// its hosts; a name inside a cluster is such a list.
fn dns(upstream: &Upstream) -> Value {
    let body = json!({
        "respect_dns_ttl": true,
        "dns_lookup_family": "ALL",
        "all_addresses_in_single_endpoint": upstream.is_tls(),
    });
    typed("envoy.extensions.clusters.dns.v3.DnsCluster", body)
}

fn protocol(provider: &Provider) -> Value {
    let mut filters: Vec<Value> = provider.credential.iter().map(credential).collect();
    filters.push(json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": typed("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", json!({})),
    }));
    let common = json!({
        "common_http_protocol_options": {"idle_timeout": seconds(IDLE)},
        "http_filters": filters,
    });
    let version = if provider.upstream.is_tls() {
        json!({"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}})
    } else if provider.http2 {
        json!({"explicit_http_config": {"http2_protocol_options": {}}})
    } else {
        json!({"explicit_http_config": {"http_protocol_options": {}}})
    };
    typed("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", with(common, version))
}

fn credential(secret: &Name) -> Value {
    let generic = json!({
        "credential": {"name": secret, "sds_config": ads()},
        "header": "authorization",
        "header_value_prefix": "Bearer ",
    });
    json!({
        "name": "envoy.filters.http.credential_injector",
        "typed_config": typed(
            "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
            json!({
                "overwrite": true,
                "credential": {
                    "name": "envoy.http.injected_credentials.generic",
                    "typed_config": typed("envoy.extensions.http.injected_credentials.generic.v3.Generic", generic),
                },
            }),
        ),
    })
}

fn tls(provider: &Provider) -> Value {
    let host = provider.upstream.host();
    let san_type = match host {
        Host::Ip(_) => "IP_ADDRESS",
        Host::Dns(_) => "DNS",
    };
    let ca = provider.ca.as_deref().map_or(SYSTEM_CA.into(), |path| path.to_string_lossy());
    let tls = json!({"common_tls_context": {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "validation_context": {
            "trusted_ca": {"filename": ca},
            "match_typed_subject_alt_names": [
                {"san_type": san_type, "matcher": {"exact": host.to_string()}},
            ],
        },
    }});
    match host {
        Host::Ip(_) => tls,
        Host::Dns(name) => with(tls, json!({"sni": name})),
    }
}

const LEAST_REQUEST: &str = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
const TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

/// The certificate authorities of a Debian system, and of Envoy's images.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// More than Envoy can open: limits are the providers' and the quotas', not the circuit breaker's.
const UNLIMITED: u32 = 1_000_000;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);
