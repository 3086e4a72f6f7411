//! CDS and EDS: a cluster for each way to a provider.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};

use serde_json::{Value, json};
use weir_schema::{Name, compat::CredentialHeader};

use super::{METADATA, ads, attempt::Lane, extension, seconds, typed, with};
use crate::{
    discovery::{Endpoint, Health},
    model::{At, CircuitBreakers, Host, OutlierDetection, Provider, Service, Upstream},
};

/// The cluster of a lane.
///
/// Each has its `model-compat`, also where no attempt needs it yet: a chain changes with its cluster, and a model with the
/// `router` filter, and between the two a request would meet a cluster that does not fit it.
pub(super) fn cluster(lane: &Lane<'_>) -> Value {
    let provider = lane.provider;
    let header = match provider.credential_header {
        CredentialHeader::Authorization => BEARER,
        other @ (CredentialHeader::XApiKey | CredentialHeader::ApiKey | CredentialHeader::XGoogApiKey) => {
            (other.as_str(), "")
        }
    };
    let mut filters: Vec<Value> = lane.credential.map(|name| credential(name, header)).into_iter().collect();
    filters.push(extension::place(&extension::model_compat_name(&lane.cluster())));
    of(Way {
        name: &lane.cluster(),
        // All lanes of a provider lead to its endpoints.
        endpoints: provider.name.as_str(),
        metadata: json!({"provider": provider.name}),
        upstream: &provider.upstream,
        connect_timeout: provider.connect_timeout,
        outlier_detection: Some(provider.outlier_detection),
        circuit_breakers: provider.circuit_breakers,
        http2: provider.http2,
        ca: provider.ca.as_deref(),
        filters,
    })
}

/// What a cluster leads to, and how.
pub(super) struct Way<'a> {
    pub(super) name: &'a str,
    /// The name of its endpoints, where they are a resource.
    pub(super) endpoints: &'a str,
    /// What the access log is told of it.
    pub(super) metadata: Value,
    pub(super) upstream: &'a Upstream,
    pub(super) connect_timeout: Duration,
    /// When a node is left alone. Absent: never.
    pub(super) outlier_detection: Option<OutlierDetection>,
    pub(super) circuit_breakers: CircuitBreakers,
    pub(super) http2: bool,
    pub(super) ca: Option<&'a Path>,
    /// What each request passes on its way.
    pub(super) filters: Vec<Value>,
}

/// A cluster.
pub(super) fn of(way: Way<'_>) -> Value {
    let Way { name, endpoints, metadata, upstream, connect_timeout, http2, ca, filters, .. } = way;
    let common = json!({
        "name": name,
        "metadata": {"filter_metadata": {METADATA: metadata}},
        "connect_timeout": seconds(connect_timeout),
        "per_connection_buffer_limit_bytes": ONE_READ,
        "load_balancing_policy": {"policies": [{"typed_extension_config": {
            "name": "envoy.load_balancing_policies.least_request",
            "typed_config": typed(LEAST_REQUEST, json!({})),
        }}]},
        "circuit_breakers": thresholds(way.circuit_breakers),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol(upstream, http2, filters),
        },
    });
    let discovery = match upstream.at() {
        At::Host(Host::Ip(_), _) | At::Nodes(_) => {
            let eds = json!({"eds_config": ads()});
            let named = if name == endpoints { eds } else { with(eds, json!({"service_name": endpoints})) };
            json!({"type": "EDS", "eds_cluster_config": named})
        }
        // Named by the service: another service is another resource, and not the old one's nodes for a while.
        At::Service(service) => json!({
            "type": "EDS",
            "eds_cluster_config": {"eds_config": ads(), "service_name": service.to_string()},
        }),
        At::Host(host @ Host::Dns(_), port) => json!({
            "cluster_type": {"name": "envoy.cluster.dns", "typed_config": dns(upstream)},
            "load_assignment": load_assignment(name, vec![address(host.to_string(), *port)]),
        }),
    };
    let ejections = way.outlier_detection.filter(|_| upstream.may_have_several()).and_then(ejections);
    let cluster = with(with(common, discovery), ejections.unwrap_or_else(|| json!({})));
    if !upstream.is_tls() {
        return cluster;
    }
    let tls = json!({"name": "envoy.transport_sockets.tls", "typed_config": typed(TLS, tls(upstream, ca))});
    with(cluster, json!({"transport_socket": tls}))
}

fn thresholds(breakers: CircuitBreakers) -> Value {
    let CircuitBreakers { max_connections, max_pending_requests, max_requests, max_retries } = breakers;
    let limit = |limit: Option<NonZeroU32>| limit.map_or(UNLIMITED, NonZeroU32::get);
    json!({"thresholds": [{
        "max_connections": limit(max_connections),
        "max_pending_requests": limit(max_pending_requests),
        "max_requests": limit(max_requests),
        "max_retries": limit(max_retries),
    }]})
}

/// When nodes are left alone, if ever.
fn ejections(detection: OutlierDetection) -> Option<Value> {
    let OutlierDetection { consecutive_5xx, interval, base_ejection_time, max_ejection_percent } = detection;
    let detection = json!({"outlier_detection": {
        "consecutive_5xx": consecutive_5xx,
        "interval": seconds(interval.duration()),
        "base_ejection_time": seconds(base_ejection_time.duration()),
        "max_ejection_time": seconds(LONGEST_EJECTION.max(base_ejection_time.duration())),
        "max_ejection_percent": max_ejection_percent,
        "enforcing_success_rate": 0,
    }});
    (consecutive_5xx > 0).then_some(detection)
}

/// The endpoints of a provider whose addresses are known without looking them up.
pub(super) fn endpoints(provider: &Provider) -> Option<Value> {
    endpoints_of(provider.name.as_str(), &provider.upstream)
}

/// The endpoints of an upstream whose addresses are known without looking them up, under this name.
pub(super) fn endpoints_of(name: &str, upstream: &Upstream) -> Option<Value> {
    let endpoints = match upstream.at() {
        At::Host(host @ Host::Ip(_), port) => vec![address(host.to_string(), *port)],
        At::Nodes(nodes) => nodes.iter().map(|node| with_hostname(*node)).collect(),
        At::Host(Host::Dns(_), _) | At::Service(_) => return None,
    };
    Some(load_assignment(name, endpoints))
}

/// The nodes of a service as an endpoint resource, which is named as the service is.
pub fn service_endpoints(service: &Service, nodes: &[Endpoint]) -> Value {
    let mut zones: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for node in nodes {
        let mut endpoint = with(with_hostname(node.address), json!({"load_balancing_weight": node.weight}));
        let health = match node.health {
            Health::Healthy => "HEALTHY",
            Health::Draining => "DRAINING",
        };
        endpoint = with(endpoint, json!({"health_status": health}));
        if !node.metadata.is_empty() {
            let metadata = json!({"metadata": {"filter_metadata": {METADATA: node.metadata}}});
            endpoint = with(endpoint, metadata);
        }
        zones.entry(node.zone.as_deref().unwrap_or_default()).or_default().push(endpoint);
    }
    let localities = zones.into_iter().map(|(zone, endpoints)| match zone {
        "" => json!({"lb_endpoints": endpoints}),
        _ => json!({"locality": {"zone": zone}, "lb_endpoints": endpoints}),
    });
    json!({"cluster_name": service.to_string(), "endpoints": localities.collect::<Vec<_>>()})
}

fn load_assignment(name: &str, endpoints: Vec<Value>) -> Value {
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]})
}

fn address(host: String, port: u16) -> Value {
    json!({"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}})
}

/// An endpoint that is addressed, in `host`, by its own address.
fn with_hostname(node: SocketAddr) -> Value {
    let mut endpoint = address(node.ip().to_string(), node.port());
    if let Some(fields) = endpoint.get_mut("endpoint").and_then(Value::as_object_mut) {
        fields.insert("hostname".into(), node.to_string().into());
    }
    endpoint
}

/// A public service answers each look-up with some of its many addresses, so the last answer is no list of
/// its hosts; a name inside a cluster is such a list. Of a machine with both kinds of addresses that list would
/// have it twice, and a server such as one on `localhost` often listens at one of them only.
fn dns(upstream: &Upstream) -> Value {
    let body = json!({
        "respect_dns_ttl": true,
        "dns_lookup_family": if upstream.is_tls() { "ALL" } else { "V4_PREFERRED" },
        "all_addresses_in_single_endpoint": upstream.is_tls(),
    });
    typed("envoy.extensions.clusters.dns.v3.DnsCluster", body)
}

fn protocol(upstream: &Upstream, http2: bool, mut filters: Vec<Value>) -> Value {
    filters.push(json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": typed("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", json!({})),
    }));
    let common = json!({
        "common_http_protocol_options": {"idle_timeout": seconds(IDLE)},
        "http_filters": filters,
    });
    let version = if upstream.is_tls() {
        json!({"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}})
    } else if http2 {
        json!({"explicit_http_config": {"http2_protocol_options": {}}})
    } else {
        json!({"explicit_http_config": {"http_protocol_options": {}}})
    };
    typed("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", with(common, version))
}

/// Sends a secret in a header, behind a prefix.
pub(super) fn credential(secret: &Name, (header, prefix): (&str, &str)) -> Value {
    let generic = json!({
        "credential": {"name": secret, "sds_config": ads()},
        "header": header,
        "header_value_prefix": prefix,
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

fn tls(upstream: &Upstream, ca: Option<&Path>) -> Value {
    let ca = ca.map_or(SYSTEM_CA.into(), |path| path.to_string_lossy());
    let context = |names: Value| {
        json!({"common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "validation_context": {
                "trusted_ca": {"filename": ca},
                "match_typed_subject_alt_names": names,
            },
        }})
    };
    let name = |kind: &str, host: &Host| json!([{"san_type": kind, "matcher": {"exact": host.to_string()}}]);
    match upstream.at() {
        At::Host(host @ Host::Ip(_), _) => context(name("IP_ADDRESS", host)),
        At::Host(host @ Host::Dns(dns), _) => with(context(name("DNS", host)), json!({"sni": dns})),
        // Neither is ever reached over TLS.
        At::Nodes(_) | At::Service(_) => context(json!([])),
    }
}

/// How a key of OpenAI's kind is sent.
pub(super) const BEARER: (&str, &str) = ("authorization", "Bearer ");

const LEAST_REQUEST: &str = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
const TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

/// The certificate authorities of a Debian system, and of Envoy's images.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// More than Envoy can open. Its own limits are low: three requests at once could be tried elsewhere.
const UNLIMITED: u32 = 1_000_000;

/// How much of an answer comes at once at most, in bytes. With what `model-compat` holds of one it stays below what Envoy
/// buffers, beyond which it answers 500.
const ONE_READ: u32 = 256 * 1024;

/// How long a node is left alone at most, as Envoy has it.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);
