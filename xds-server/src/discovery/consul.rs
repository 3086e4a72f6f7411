//! Consul: blocking queries on the health of a service.

use std::{collections::BTreeMap, time::Duration};

use http::HeaderName;
use serde::Deserialize;

use super::{Endpoint, ResolveError, Resolver, http::Client};
use crate::{
    model::{Server, encode},
    secret::Secret,
};

/// Follows one service.
#[derive(Debug)]
pub(super) struct Consul {
    client: Client,
    path: String,
    index: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    address: String,
    #[serde(default)]
    datacenter: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: String,
    port: u16,
    weights: Option<Weights>,
    meta: Option<BTreeMap<String, String>>,
    locality: Option<Locality>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Locality {
    #[serde(default)]
    zone: String,
}

impl Consul {
    pub(super) fn new(
        server: &Server,
        token: Option<&Secret>,
        service: &str,
        tag: Option<&str>,
        dc: Option<&str>,
    ) -> Result<Self, ResolveError> {
        let mut client = Client::new(server)?;
        if let Some(token) = token {
            client.set_header(HeaderName::from_static("x-consul-token"), token.expose());
        }
        let mut path = format!("/v1/health/service/{}?passing=1&wait=30s", encode(service));
        for (name, value) in [("tag", tag), ("dc", dc)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        Ok(Self { client, path, index: 0 })
    }
}

#[tonic::async_trait]
impl Resolver for Consul {
    async fn next(&mut self) -> Result<Vec<Endpoint>, ResolveError> {
        let path = format!("{}&index={}", self.path, self.index);
        let answer = self.client.get(&path, PATIENCE).await?;
        let entries: Vec<Entry> = answer.json()?;
        let index = answer.headers.get("x-consul-index").and_then(|index| index.to_str().ok()?.parse().ok());
        self.index = following(self.index, index.ok_or(ResolveError::Missing("index"))?);
        Ok(entries.into_iter().filter_map(endpoint).collect())
    }

    fn reset(&mut self) {
        self.index = 0;
    }
}

/// The index to wait at: one that went backwards belongs to a server that was restored, and nought would not
/// wait at all.
fn following(last: u64, index: u64) -> u64 {
    if index < last { 0 } else { index.max(1) }
}

fn endpoint(entry: Entry) -> Option<Endpoint> {
    let Entry { node, service } = entry;
    let host = if service.address.is_empty() { node.address } else { service.address };
    let zone = service.locality.map(|locality| locality.zone).filter(|zone| !zone.is_empty());
    let zone = zone.or(Some(node.datacenter)).filter(|zone| !zone.is_empty());
    let weight = service.weights.map_or(1, |weights| weights.passing);
    let metadata = service.meta.unwrap_or_default();
    Some(Endpoint { zone, metadata, ..Endpoint::at(&host, service.port)?.weighing(weight) })
}

/// A query answers after 30 seconds and a sixteenth of it at the latest.
const PATIENCE: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_goes_backwards_begins_anew() {
        assert_eq!([(0, 0), (0, 7), (7, 7), (7, 9), (9, 3)].map(|(l, i)| following(l, i)), [1, 7, 7, 9, 0]);
    }

    #[test]
    fn a_service_without_an_address_is_at_its_node() {
        let entries: Vec<Entry> = serde_json::from_str(
            r#"[{"Node": {"Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1"},
                 "Service": {"ID": "a", "Address": "", "Port": 8000, "Weights": {"Passing": 5, "Warning": 1},
                             "Meta": {"gpu": "h20"}}, "Checks": []},
                {"Node": {"Address": "10.0.0.1"},
                 "Service": {"Address": "fd00::2", "Port": 8000, "Meta": null, "Locality": {"Zone": "b"}}},
                {"Node": {"Address": "10.0.0.1"}, "Service": {"Address": "vm.internal", "Port": 8000}}]"#,
        )
        .unwrap();
        let nodes: Vec<Endpoint> = entries.into_iter().filter_map(endpoint).collect();
        let first = Endpoint {
            zone: Some("dc1".into()),
            metadata: [("gpu".into(), "h20".into())].into(),
            ..Endpoint::at("10.0.0.1", 8000).unwrap().weighing(5)
        };
        let second = Endpoint { zone: Some("b".into()), ..Endpoint::at("fd00::2", 8000).unwrap() };
        assert_eq!(nodes, [first, second]);
    }
}
