//! Nacos: its instances, asked for again and again.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use tokio::time;

use super::{Endpoint, ResolveError, Resolver, http::Client};
use crate::model::{self, encode};

/// Follows one service.
#[derive(Debug)]
pub(super) struct Nacos {
    client: Client,
    path: String,
    interval: Duration,
    /// Whether there was an answer; the next one is then not asked for at once.
    answered: bool,
}

#[derive(Debug, Deserialize)]
struct List {
    #[serde(default)]
    hosts: Vec<Host>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    ip: String,
    port: u16,
    #[serde(default = "one")]
    weight: f64,
    healthy: bool,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    cluster_name: String,
    metadata: Option<BTreeMap<String, String>>,
}

impl Nacos {
    pub(super) fn new(
        nacos: &model::Nacos,
        service: &str,
        namespace: Option<&str>,
        group: Option<&str>,
    ) -> Result<Self, ResolveError> {
        let mut path = format!("/v1/ns/instance/list?serviceName={}", encode(service));
        for (name, value) in [("namespaceId", namespace), ("groupName", group)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        Ok(Self { client: Client::new(&nacos.server)?, path, interval: nacos.interval, answered: false })
    }
}

#[tonic::async_trait]
impl Resolver for Nacos {
    async fn next(&mut self) -> Result<Vec<Endpoint>, ResolveError> {
        if self.answered {
            time::sleep(self.interval).await;
        }
        let list: List = self.client.get(&self.path, PATIENCE).await?.json()?;
        self.answered = true;
        Ok(list.hosts.into_iter().filter_map(endpoint).collect())
    }

    fn reset(&mut self) {
        self.answered = false;
    }
}

fn endpoint(host: Host) -> Option<Endpoint> {
    if !(host.healthy && host.enabled && host.weight > 0.0) {
        return None;
    }
    let mut metadata = host.metadata.unwrap_or_default();
    if !host.cluster_name.is_empty() {
        metadata.insert("cluster".into(), host.cluster_name);
    }
    Some(Endpoint { metadata, ..Endpoint::at(&host.ip, host.port)?.weighing(hundredths(host.weight)) })
}

/// A weight as a whole number: Nacos has fractions, from 0 to 10 000.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::as_conversions,
    reason = "the number is clamped, and such a conversion saturates"
)]
fn hundredths(weight: f64) -> u32 {
    (weight * 100.0).clamp(1.0, f64::from(u32::MAX)) as u32
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_that_are_well_and_wanted_are_the_nodes() {
        let list: List = serde_json::from_str(
            r#"{"name": "DEFAULT_GROUP@@llm", "cacheMillis": 10000, "hosts": [
                {"ip": "10.0.0.1", "port": 8000, "weight": 2.5, "healthy": true, "enabled": true,
                 "ephemeral": true, "clusterName": "DEFAULT", "metadata": {"gpu": "h20"}},
                {"ip": "10.0.0.2", "port": 8000, "weight": 1.0, "healthy": false, "enabled": true},
                {"ip": "10.0.0.3", "port": 8000, "weight": 1.0, "healthy": true, "enabled": false},
                {"ip": "10.0.0.4", "port": 8000, "weight": 0.0, "healthy": true, "enabled": true},
                {"ip": "10.0.0.5", "port": 8000, "healthy": true, "metadata": null}]}"#,
        )
        .unwrap();
        let nodes: Vec<Endpoint> = list.hosts.into_iter().filter_map(endpoint).collect();
        let first = Endpoint {
            metadata: [("cluster", "DEFAULT"), ("gpu", "h20")].map(|(k, v)| (k.into(), v.into())).into(),
            ..Endpoint::at("10.0.0.1", 8000).unwrap().weighing(250)
        };
        assert_eq!(nodes, [first, Endpoint::at("10.0.0.5", 8000).unwrap().weighing(100)]);
    }
}
