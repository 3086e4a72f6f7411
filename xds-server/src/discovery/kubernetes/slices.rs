//! Endpoint slices, and what events make of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::{Endpoint, Health, ResolveError};

/// The endpoint slices of a service.
#[derive(Debug, Deserialize)]
#[serde(try_from = "List")]
pub(super) struct Slices {
    version: String,
    by_name: BTreeMap<String, Slice>,
}

/// What a watch tells.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    kind: Kind,
    object: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// Why a watch is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// What was listed is too old to go on from.
    Expired,
    /// Another error of the server.
    Refused(i64),
}

#[derive(Debug, Deserialize)]
struct List {
    metadata: Metadata,
    #[serde(default)]
    items: Vec<Slice>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    resource_version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    metadata: Metadata,
    endpoints: Option<Vec<Node>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
struct Node {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
    zone: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Port {
    name: Option<String>,
    port: Option<u16>,
}

impl Slices {
    /// The version to watch from.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Takes an event in. True if slices have changed.
    pub(super) fn apply(&mut self, event: Event) -> Result<bool, Gone> {
        let Event { kind, object } = event;
        if kind == Kind::Error {
            let code = object.get("code").and_then(Value::as_i64).unwrap_or_default();
            return Err(if code == EXPIRED { Gone::Expired } else { Gone::Refused(code) });
        }
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        let metadata: Metadata = serde_json::from_value(metadata).unwrap_or_default();
        if !metadata.resource_version.is_empty() {
            self.version = metadata.resource_version;
        }
        match kind {
            Kind::Bookmark | Kind::Error => Ok(false),
            Kind::Deleted => Ok(self.by_name.remove(&metadata.name).is_some()),
            Kind::Added | Kind::Modified => match serde_json::from_value(object) {
                Ok(slice) => {
                    self.by_name.insert(metadata.name, slice);
                    Ok(true)
                }
                // What cannot be read is listed again, where the error is told.
                Err(_) => Err(Gone::Expired),
            },
        }
    }

    /// The nodes behind a port: the one of that name or number, or the only one.
    pub(super) fn endpoints(&self, port: Option<&str>) -> Vec<Endpoint> {
        let slices = self.by_name.values();
        slices.flat_map(|slice| slice.endpoints(port).into_iter().flatten()).collect()
    }
}

impl Slice {
    fn endpoints(&self, wanted: Option<&str>) -> Option<impl Iterator<Item = Endpoint>> {
        let ports = self.ports.as_deref().unwrap_or_default();
        let port = match wanted {
            None => ports.first().filter(|_| ports.len() == 1)?,
            Some(wanted) => ports.iter().find(|port| {
                port.name.as_deref() == Some(wanted)
                    || port.port.is_some_and(|port| port.to_string() == wanted)
            })?,
        };
        let port = port.port?;
        let nodes = self.endpoints.iter().flatten();
        Some(nodes.filter_map(move |node| {
            let health = node.conditions.health()?;
            let zone = node.zone.clone();
            // All addresses of an endpoint are the same one.
            let address = node.addresses.first()?;
            Some(Endpoint { zone, health, ..Endpoint::at(address, port)? })
        }))
    }
}

impl Conditions {
    /// Nothing for a node that gets no requests at all. What is not known counts as good.
    fn health(self) -> Option<Health> {
        if self.terminating.unwrap_or(false) {
            return self.serving.unwrap_or(true).then_some(Health::Draining);
        }
        self.ready.unwrap_or(true).then_some(Health::Healthy)
    }
}

impl Event {
    /// What a server says that has forgotten where a watch should begin.
    pub(super) fn gone() -> Self {
        Self { kind: Kind::Error, object: serde_json::json!({"code": EXPIRED}) }
    }
}

impl TryFrom<List> for Slices {
    type Error = ResolveError;

    fn try_from(list: List) -> Result<Self, ResolveError> {
        if list.metadata.resource_version.is_empty() {
            return Err(ResolveError::Missing("resourceVersion"));
        }
        let by_name = list.items.into_iter().map(|slice| (slice.metadata.name.clone(), slice));
        Ok(Self { version: list.metadata.resource_version, by_name: by_name.collect() })
    }
}

const EXPIRED: i64 = 410;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(name: &str, version: &str, endpoints: Value) -> Value {
        json!({
            "metadata": {"name": name, "resourceVersion": version},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8000}, {"name": "metrics", "port": 9000}],
            "endpoints": endpoints,
        })
    }

    fn event(kind: &str, object: Value) -> Event {
        serde_json::from_value(json!({"type": kind, "object": object})).unwrap()
    }

    fn list(items: Value) -> Slices {
        serde_json::from_value(json!({"metadata": {"resourceVersion": "5"}, "items": items})).unwrap()
    }

    #[test]
    fn conditions_say_who_gets_requests() {
        let node = |host: &str, conditions: Value| json!({"addresses": [host], "conditions": conditions});
        let slices = list(json!([slice(
            "a",
            "4",
            json!([
                node("10.0.0.1", json!({"ready": true, "serving": true, "terminating": false})),
                node("10.0.0.2", json!({"ready": false, "serving": false, "terminating": false})),
                node("10.0.0.3", json!({"ready": false, "serving": true, "terminating": true})),
                node("10.0.0.4", json!({"ready": false, "serving": false, "terminating": true})),
                node("10.0.0.5", json!({})),
            ])
        )]));
        let at = |host: &str, health| Endpoint { health, ..Endpoint::at(host, 8000).unwrap() };
        let expected = [
            at("10.0.0.1", Health::Healthy),
            at("10.0.0.3", Health::Draining),
            at("10.0.0.5", Health::Healthy),
        ];
        assert_eq!(slices.endpoints(Some("http")), expected);
        assert_eq!(slices.endpoints(Some("8000")), expected);
        assert_eq!(slices.endpoints(None), [], "two ports, and none is named");
    }

    #[test]
    fn events_change_what_was_listed() {
        let one = |host: &str| json!([{"addresses": [host], "zone": "a"}]);
        let mut slices = list(json!([slice("a", "4", one("10.0.0.1"))]));
        let hosts = |slices: &Slices| -> Vec<String> {
            slices.endpoints(Some("http")).iter().map(|node| node.address.ip().to_string()).collect()
        };
        assert_eq!(slices.version(), "5");
        assert_eq!(slices.apply(event("ADDED", slice("b", "6", one("10.0.0.2")))), Ok(true));
        assert_eq!(hosts(&slices), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(slices.apply(event("MODIFIED", slice("b", "7", json!(null)))), Ok(true));
        assert_eq!(hosts(&slices), ["10.0.0.1"]);
        assert_eq!(slices.apply(event("DELETED", slice("a", "8", one("10.0.0.1")))), Ok(true));
        assert_eq!(hosts(&slices), [""; 0]);
        let bookmark = json!({"kind": "EndpointSlice", "metadata": {"resourceVersion": "20"}});
        assert_eq!(slices.apply(event("BOOKMARK", bookmark)), Ok(false));
        assert_eq!(slices.version(), "20");
    }

    #[test]
    fn an_expired_version_is_told_from_other_errors() {
        let mut slices = list(json!([]));
        assert_eq!(slices.apply(event("ERROR", json!({"kind": "Status", "code": 410}))), Err(Gone::Expired));
        assert_eq!(slices.apply(event("ERROR", json!({"code": 500}))), Err(Gone::Refused(500)));
        assert_eq!(slices.apply(Event::gone()), Err(Gone::Expired));
    }
}
