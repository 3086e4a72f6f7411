//! What Envoy is started with: the file that points it to the control plane, or one with everything in it.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::snapshot::{Kind, Snapshot};

/// How Envoy connects to the control plane over TLS, with files that it reads itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that the control plane's certificate is verified with.
    pub ca: PathBuf,
    /// Envoy's own certificate and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A bootstrap whose Envoy gets everything from the control plane at `xds`.
pub fn dynamic(xds: &str, tls: Option<&Tls>, admin: SocketAddr) -> Result<String, InvalidAddress> {
    let (host, port) = xds.rsplit_once(':').ok_or(InvalidAddress)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().map_err(|_| InvalidAddress)?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "{}[],\"'#&*!|>%@`".contains(c)) {
        return Err(InvalidAddress);
    }
    let socket = tls.map(|tls| tls.socket(host)).unwrap_or_default();
    Ok(TEMPLATE
        .replacen(CONNECT, &format!("{CONNECT}{socket}"), 1)
        .replace(XDS, &address(host, port))
        .replace(ADMIN, &address(&admin.ip().to_string(), admin.port())))
}

impl Tls {
    /// The lines of the cluster; the certificate must be for the host that is connected to.
    fn socket(&self, host: &str) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let file = |path: &Path| format!("{{filename: {}}}", text(&path.to_string_lossy()));
        let (kind, sni) = match host.parse::<IpAddr>() {
            Ok(_) => ("IP_ADDRESS", String::new()),
            Err(_) => ("DNS", format!("        sni: {}\n", text(host))),
        };
        let identity = self.identity.as_ref().map(|(certificate, key)| {
            let (certificate, key) = (file(certificate), file(key));
            format!(
                "          tls_certificates:\n          - {{certificate_chain: {certificate}, private_key: {key}}}\n"
            )
        });
        let (ca, host, identity) = (file(&self.ca), text(host), identity.unwrap_or_default());
        format!(
            r#"    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
{sni}        common_tls_context:
          alpn_protocols: [h2]
          validation_context:
            trusted_ca: {ca}
            match_typed_subject_alt_names:
            - {{san_type: {kind}, matcher: {{exact: {host}}}}}
{identity}"#
        )
    }
}

/// A bootstrap with every resource in it, for `envoy --mode validate`. Its secrets are not the real ones, so its
/// listener has no TLS.
pub fn complete(snapshot: &Snapshot) -> Value {
    let mut listeners: Vec<Value> = bodies(snapshot, Kind::Listeners).collect();
    let mut clusters: Vec<Value> = bodies(snapshot, Kind::Clusters).collect();
    listeners.iter_mut().for_each(|listener| inline_listener(listener, snapshot));
    clusters.iter_mut().for_each(|cluster| inline_cluster(cluster, snapshot));
    let generic = |secret: &Value| secret.get("generic_secret").is_some();
    let secrets: Vec<Value> = bodies(snapshot, Kind::Secrets).filter(generic).collect();
    json!({"static_resources": {"listeners": listeners, "clusters": clusters, "secrets": secrets}})
}

fn bodies(snapshot: &Snapshot, kind: Kind) -> impl Iterator<Item = Value> {
    snapshot.of(kind).map(|(_, resource)| resource.body.clone())
}

fn find(snapshot: &Snapshot, kind: Kind, name: &Value) -> Option<Value> {
    let mut named = snapshot.of(kind).filter(|(known, _)| Some(*known) == name.as_str());
    named.next().map(|(_, resource)| resource.body.clone())
}

/// Puts the filters and the routes in the places of their references.
fn inline_listener(listener: &mut Value, snapshot: &Snapshot) {
    if let Some(chain) = listener.pointer_mut("/filter_chains/0").and_then(Value::as_object_mut) {
        chain.remove("transport_socket");
    }
    let managers = listener.pointer_mut("/filter_chains/0/filters/0/typed_config");
    let Some(manager) = managers.and_then(Value::as_object_mut) else { return };
    let routes = manager.remove("rds").and_then(|rds| rds.get("route_config_name").cloned());
    if let Some(routes) = routes.and_then(|name| find(snapshot, Kind::Routes, &name)) {
        manager.insert("route_config".into(), routes);
    }
    inline_filters(manager.get_mut("http_filters"), snapshot);
}

fn inline_filters(chain: Option<&mut Value>, snapshot: &Snapshot) {
    for place in chain.and_then(Value::as_array_mut).into_iter().flatten() {
        if place.get("config_discovery").is_none() {
            continue;
        }
        if let Some(filter) = place.get("name").and_then(|name| find(snapshot, Kind::Extensions, name)) {
            *place = filter;
        }
    }
}

/// Puts the endpoints and the filters in the places of their references, and names the secrets instead of asking for them.
fn inline_cluster(cluster: &mut Value, snapshot: &Snapshot) {
    if let Some(fields) = cluster.as_object_mut()
        && let Some(eds) = fields.remove("eds_cluster_config")
    {
        let name = eds.get("service_name").or_else(|| fields.get("name")).cloned().unwrap_or_default();
        // What only a registry knows is not known here.
        let none = || json!({"cluster_name": name});
        let endpoints = find(snapshot, Kind::Endpoints, &name).unwrap_or_else(none);
        fields.insert("type".into(), "STATIC".into());
        fields.insert("load_assignment".into(), endpoints);
    }
    inline_filters(cluster.pointer_mut(CHAIN), snapshot);
    if let Some(credential) = cluster.pointer_mut(CREDENTIAL).and_then(Value::as_object_mut) {
        credential.remove("sds_config");
    }
}

fn address(host: &str, port: u16) -> String {
    format!("{{address: \"{host}\", port_value: {port}}}")
}

/// The text is not a host and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is HOST:PORT, such as 127.0.0.1:18000 or weir.example:18000")]
pub struct InvalidAddress;

/// The cluster of the control plane in the bootstrap.
pub const CLUSTER: &str = "weir-xds";

const TEMPLATE: &str = include_str!("../../envoy/bootstrap.yaml");
const XDS: &str = "{address: \"127.0.0.1\", port_value: 18000}";
const ADMIN: &str = "{address: \"127.0.0.1\", port_value: 9901}";

/// The line of the control plane's cluster after which its TLS stands.
const CONNECT: &str = "    connect_timeout: 5s\n";

/// Where a cluster has its filters.
const CHAIN: &str = "/typed_extension_protocol_options\
    /envoy.extensions.upstreams.http.v3.HttpProtocolOptions\
    /http_filters";

/// Where a cluster has the name of its provider's credential.
const CREDENTIAL: &str = "/typed_extension_protocol_options\
    /envoy.extensions.upstreams.http.v3.HttpProtocolOptions\
    /http_filters/0/typed_config/credential/typed_config/credential";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_addresses_give_the_file_as_it_is() {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(dynamic("127.0.0.1:18000", None, local(9901)).as_deref(), Ok(TEMPLATE));
        let other = dynamic("weir.example:19000", None, local(9902)).unwrap();
        let changed: Vec<_> = other.lines().zip(TEMPLATE.lines()).filter(|(new, old)| new != old).collect();
        assert_eq!(changed.len(), 2, "{changed:?}");
        assert!(other.contains("{address: \"weir.example\", port_value: 19000}"));
        assert_eq!(dynamic("weir.example", None, local(9902)), Err(InvalidAddress));
    }

    #[test]
    fn over_tls_the_control_plane_must_be_the_host_that_was_named() {
        let admin = SocketAddr::from(([127, 0, 0, 1], 9901));
        let identity = Some(("/tls/envoy.crt".into(), "/tls/envoy.key".into()));
        let tls = Tls { ca: "/tls/ca \"1\".crt".into(), identity };
        let of = |xds: &str| {
            let text = dynamic(xds, Some(&tls), admin).unwrap();
            let bootstrap: Value = serde_saphyr::from_str(&text).unwrap();
            bootstrap["static_resources"]["clusters"][0]["transport_socket"]["typed_config"].clone()
        };
        let context = of("weir.example:18000");
        assert_eq!(
            context["common_tls_context"],
            json!({
                "alpn_protocols": ["h2"],
                "validation_context": {
                    "trusted_ca": {"filename": "/tls/ca \"1\".crt"},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "weir.example"}}],
                },
                "tls_certificates": [
                    {"certificate_chain": {"filename": "/tls/envoy.crt"}, "private_key": {"filename": "/tls/envoy.key"}},
                ],
            })
        );
        assert_eq!(context["sni"], "weir.example");
        let context = of("[fd00::1]:18000");
        assert_eq!(
            (
                context.get("sni"),
                &context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"][0]
            ),
            (None, &json!({"san_type": "IP_ADDRESS", "matcher": {"exact": "fd00::1"}}))
        );
    }
}
